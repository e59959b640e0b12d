"""Starts the driver of sessions, which lies in the image."""

import sys

if __name__ == "__main__":  # and not a child of multiprocessing, which runs this file too
    sys.path.insert(0, "/sandboxd/session")
    from _notebook.session import Session

    del sys.path[0]
    Session().serve()
