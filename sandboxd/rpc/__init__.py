"""JSON-RPC on a Unix socket: framing, dispatch, methods, connections, the server."""
