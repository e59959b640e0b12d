"""What a request gives to its run: arguments, environment, files and stdin.

A program prints the names of those that it has, a line each; with the argument "unread"
it leaves its stdin alone, as one does that ends before all of it came.
"""

from __future__ import annotations

import secrets

from sandboxd_client import Client
from tests.attack.residue.kinds import lines, same_container

GIVEN = ["arguments", "environment", "files", "stdin"]

PROGRAMS = {
    "python": """
import os, sys
if sys.argv[2:]: print("arguments")
if "GIVEN" in os.environ: print("environment")
if os.listdir("/sandbox") != ["main.py"]: print("files")
if sys.argv[1:2] != ["unread"] and sys.stdin.read(): print("stdin")
""",
    "bash": """
[ -z "$2" ] || echo arguments
[ -z "$GIVEN" ] || echo environment
[ "$(ls /sandbox)" = main.sh ] || echo files
[ "$1" = unread ] || [ -z "$(head -c 1)" ] || echo stdin
""",
    "javascript": """
const fs = require('fs');
const says = process.argv.slice(2);
if (says[1]) console.log('arguments');
if (process.env.GIVEN) console.log('environment');
if (`${fs.readdirSync('/sandbox')}` !== 'main.js') console.log('files');
if (says[0] !== 'unread' && fs.readFileSync(0).length) console.log('stdin');
""",
}


def seen_after(client: Client, language: str) -> list[str]:
    """What a run to which nothing was given has of what was given to those before it."""
    marker = secrets.token_hex(8)

    def give(first: str) -> list[str]:
        ran = client.run(
            language,
            PROGRAMS[language],
            args=[first, marker],
            env={"GIVEN": marker},
            files={marker: marker, f"a/b/{marker}": marker},
            stdin=marker * 10_000,
        )
        runs.append(ran)
        return lines(ran)

    runs = []
    assert give("read") == GIVEN
    assert give("unread") == GIVEN[:-1]
    runs.append(client.run(language, PROGRAMS[language]))
    same_container(*runs)
    return lines(runs[-1])
