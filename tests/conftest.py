"""What holds for all tests."""

import signal

# A shell has what it starts in the background ignore SIGINT, and its children's children
# inherit that: the commands under test are to be interrupted however the tests were started.
signal.signal(signal.SIGINT, signal.default_int_handler)
