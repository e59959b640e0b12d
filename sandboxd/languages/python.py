"""Waits for a program, runs it as `__main__`, and leaves as Python itself would.

Started ahead of the program, so that what a run waits for is its own work only.
"""

import gc
import json
import os
import sys
import threading
import types

MESSAGE, NOTE = 3, 4
PROGRAM = "/sandbox/main.py"


def receive():
    """Blocks until the guest closes the message, which is the signal to go."""
    os.write(NOTE, b"\n")
    os.close(NOTE)
    with open(MESSAGE, "rb") as message:
        return json.loads(message.read())


def execute():
    """Runs the program in a fresh `__main__`; returns its exit status."""
    main = types.ModuleType("__main__")
    main.__file__ = PROGRAM
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    try:
        with open(PROGRAM, "rb") as file:
            code = compile(file.read(), PROGRAM, "exec")
        exec(code, main.__dict__)
    except SystemExit as leaving:
        return exit_status(leaving.code)
    except BaseException as error:
        # The first frame is the one above, or for a syntax error all of them.
        traceback = error.__traceback__.tb_next
        if isinstance(error, SyntaxError) and error.filename == PROGRAM:
            traceback = None
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def exit_status(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def leave(status):
    """What the interpreter does at its end, without taking itself apart first.

    That last part costs more than most programs. The module is emptied before,
    so that open files are flushed and finalizers run.
    """
    try:
        threading._shutdown()
        import atexit

        atexit._run_exitfuncs()
        main = sys.modules["__main__"]
        main.__dict__.clear()
        gc.collect()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BrokenPipeError:
        status = status or 120
    finally:
        os._exit(status)


gc.freeze()
message = receive()
os.environ.update(message["env"])
sys.argv = [PROGRAM, *message["args"]]
sys.path.insert(0, "/sandbox")
del message
leave(execute())
