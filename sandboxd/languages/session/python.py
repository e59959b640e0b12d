"""Starts the driver of sessions, which lies in the image."""

import sys

if __name__ == "__main__":  # and not a child of multiprocessing, which runs this file too
    sys.path.remove("/sandbox")  # until all is imported: files of a program are no modules of this
    sys.path.insert(0, "/sandboxd/session")
    from _notebook.session import Session

    del sys.modules["runner"]  # python.py, which started this: no module of a program either
    sys.path[0] = "/sandbox"
    Session().serve()
