"""What isolates programs on this host, what is missing, and how to get it: `sandboxd doctor`.

`gather` looks, the checks decide, `command` shows. What is here does no I/O, so that
the daemon may ask whether an engine is good enough for it.
"""

from __future__ import annotations

from sandboxd.doctor.findings import Findings, Row, State
from sandboxd.doctor.report import Report, blockers, check, exit_code, report

__all__ = [
    "Findings",
    "Report",
    "Row",
    "State",
    "blockers",
    "check",
    "exit_code",
    "report",
]
