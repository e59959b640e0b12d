"""The container engine behind a port; only this package knows Docker's words."""
