"""sandboxd: a pool of warm, network-less containers that run code nobody has read."""

__version__ = "0.1.0"
