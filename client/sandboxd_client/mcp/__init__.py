"""A server of the Model Context Protocol: models run code through sandboxd.

`sandbox mcp` serves it on stdin and stdout. It stands on the official SDK, which
`pip install 'sandboxd-client[mcp]'` brings. The tools live in a module for each
subject, which ends with its `TOOLS`; `server` joins them.
"""
