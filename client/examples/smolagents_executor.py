"""Where a smolagents agent runs its code; needs `pip install smolagents`.

    with CodeAgent(tools, model, executor=SandboxExecutor()) as agent:
        agent.run("…")

One session is the agent's: what a step defines is there in the next. Its tools are sent
there as source, and so must do with what is installed there, and without a network.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from smolagents import PythonExecutor, Tool
from smolagents.local_python_executor import CodeOutput
from smolagents.tools import get_tools_definition_code

from sandboxd_client import Client, RunResult, SandboxError, from_blob

# The answer leaves by a file, of which each step has one of its own.
FINAL_ANSWER = """
def final_answer(answer):
    import json, os
    with open(os.environ["FINAL_ANSWER"], "w") as file:
        json.dump(answer, file)
    raise SystemExit
"""


class SandboxExecutor(PythonExecutor):  # type: ignore[misc]  # it comes without types
    """`socket` is the daemon's, by default where it listens by default; the other
    arguments are a session's, such as `limits` and `profile`."""

    def __init__(self, socket: str | None = None, **options: Any) -> None:
        with contextlib.ExitStack() as opening:
            client = opening.enter_context(Client(socket))
            self._session = opening.enter_context(client.session("python", **options))
            self._open = opening.pop_all()
        self._steps = 0

    def cleanup(self) -> None:
        """Called by the agent when it is left."""
        self._open.close()

    def send_variables(self, variables: Mapping[str, Any]) -> None:
        """Those that JSON has no word for are refused with a TypeError."""
        files = {"variables.json": json.dumps(dict(variables))}
        self._run("import json; globals().update(json.load(open('variables.json')))", files=files)

    def send_tools(self, tools: Mapping[str, Tool]) -> None:
        """A `final_answer` among them stands for the one above."""
        others = {name: tool for name, tool in tools.items() if name != "final_answer"}
        self._run(get_tools_definition_code(others) + FINAL_ANSWER)

    def __call__(self, code_action: str) -> CodeOutput:
        """What goes wrong is raised, for the agent to tell its model of it."""
        self._steps += 1
        name = f"final-answer-{self._steps}.json"
        result = self._run(code_action, env={"FINAL_ANSWER": name}, outputs=[name])
        answers = [json.loads(from_blob(each.data)) for each in result.files if each.path == name]
        output = answers[0] if answers else result.value
        return CodeOutput(output=output, logs=printed(result), is_final_answer=bool(answers))

    def _run(self, code: str, **options: Any) -> RunResult:
        result = self._session.run(code, **options)
        if result.status == "ok":
            return result
        lost = f"\n{result.lost}" if result.lost else ""
        raise SandboxError(
            f"{result.status}, exit code {result.exit_code}\n{printed(result)}{lost}"
        )


def printed(result: RunResult) -> str:
    """Its stdout, and then its stderr."""
    return f"{result.stdout}{result.stderr}"


if __name__ == "__main__":
    executor = SandboxExecutor()
    executor("n = 6")
    print(executor("n * 7").output)
    executor.cleanup()
