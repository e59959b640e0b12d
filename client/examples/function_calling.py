"""Code execution for any model API that calls functions: a schema, and what answers it.

Give `TOOLS` with the request. For each call that the model makes, send back what
`answer` says, as the tool's message. Nothing but sandboxd-client is needed.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from sandboxd_client import Client, Limits, SandboxError

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "run_code",
            "description": (
                "Run a program in an isolated container without a network. Nothing of one run "
                "is there in the next. Answers with status (ok, error, timeout, oom, "
                "output_limit, killed), exit_code, stdout and stderr."
            ),
            "parameters": {
                "type": "object",
                "properties": {
                    "language": {"type": "string", "description": "Such as python or bash."},
                    "code": {"type": "string", "description": "The whole program."},
                    "stdin": {"type": "string", "description": "What it reads on its stdin."},
                    "timeout": {"type": "number", "description": "Seconds."},
                },
                "required": ["language", "code"],
                "additionalProperties": False,
            },
        },
    }
]


class RunCode(msgspec.Struct, forbid_unknown_fields=True):
    """The parameters above."""

    language: str
    code: str
    stdin: str = ""
    timeout: float | None = None


_arguments = msgspec.json.Decoder(RunCode)  # shared by threads, which may not meet making it


def answer(client: Client, name: str, arguments: str) -> str:
    """Calls the function; `arguments` is the JSON that the model wrote.

    What the model got wrong, and what the daemon refuses, is told to the model.
    """
    if name != "run_code":
        return json.dumps({"error": f"there is no function {name!r}; there is run_code"})
    try:
        wanted = _arguments.decode(arguments)
        result = client.run(
            wanted.language,
            wanted.code,
            stdin=wanted.stdin,
            limits=Limits(timeout=wanted.timeout),
        )
    except (msgspec.DecodeError, SandboxError) as error:
        return json.dumps({"error": str(error)})
    told = ("status", "exit_code", "stdout", "stderr", "truncated")
    return msgspec.json.encode({key: getattr(result, key) for key in told}).decode()


if __name__ == "__main__":
    with Client() as connected:
        print(answer(connected, "run_code", '{"language": "python", "code": "print(6 * 7)"}'))
