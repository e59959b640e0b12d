"""What a run could leave behind for the next one in its container, and programs that look."""

from __future__ import annotations

from tests.attack.residue.bash import BASH
from tests.attack.residue.javascript import JAVASCRIPT
from tests.attack.residue.kinds import PAIRS, Dialect, Kind, lines, look_after, same_container
from tests.attack.residue.python import PYTHON
from tests.attack.residue.ruby import RUBY

DIALECTS = (PYTHON, BASH, JAVASCRIPT, RUBY)

__all__ = [
    "BASH",
    "DIALECTS",
    "JAVASCRIPT",
    "PAIRS",
    "PYTHON",
    "RUBY",
    "Dialect",
    "Kind",
    "lines",
    "look_after",
    "same_container",
]
