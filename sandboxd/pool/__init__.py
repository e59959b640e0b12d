"""The warm pool: core decides, pool acts, fleet has one pool for each language."""
