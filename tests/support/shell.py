"""bash, asked to complete a line as if Tab had been pressed at its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ASK = """
source "$1"
line=("${@:2}")
COMP_WORDS=("${line[@]}") COMP_CWORD=$((${#line[@]} - 1))
spec=$(complete -p "${line[0]}") || exit 3
function=${spec#*-F } function=${function%% *}
compopt() { :; }  # there is no line editor
"$function"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completions(script: Path, *words: str, **environment: str) -> list[str]:
    """What the last word of a line may become. The commands of this environment are found."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", _ASK, "bash", str(script), *words],
        env={**os.environ, **environment, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.split()
