"""A program's failure, explained: from what was seen of a run to a `DebugReport`.

Pure: nothing here does any I/O. Each module in `languages` reads what one kind of
interpreter writes; adding a language is adding a module. `meanings` has their
tables of what errors mean; `sandbox` knows the sandbox's own restrictions.
"""

from sandboxd.diagnose.diagnosis import report
from sandboxd.diagnose.facts import Facts

__all__ = ["Facts", "report"]
