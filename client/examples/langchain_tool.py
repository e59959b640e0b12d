"""Code execution as a LangChain tool; needs `pip install langchain-core`.

    agent = create_agent(model, tools=[SandboxTool()])

A program that fails is told to the model as a result, what the daemon refuses as an
error of the tool.
"""

from __future__ import annotations

from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, Field

from sandboxd_client import AsyncClient, Client, RunResult, SandboxError


class RunCode(BaseModel):
    """What the model passes."""

    language: str = Field(description="Such as python or bash.")
    code: str = Field(description="The whole program.")
    stdin: str = Field(default="", description="What the program reads on its stdin.")


class SandboxTool(BaseTool):
    """`socket` is the daemon's; by default where it listens by default."""

    name: str = "run_code"
    description: str = (
        "Run a program in an isolated container without a network and get what it printed. "
        "Nothing of one run is there in the next."
    )
    args_schema: type[BaseModel] = RunCode
    handle_tool_error: bool = True
    socket: str | None = None

    def _run(self, language: str, code: str, stdin: str = "") -> str:
        try:
            with Client(self.socket) as client:
                return tell(client.run(language, code, stdin=stdin))
        except SandboxError as error:
            raise ToolException(str(error)) from error

    async def _arun(self, language: str, code: str, stdin: str = "") -> str:
        try:
            async with AsyncClient(self.socket) as client:
                return tell(await client.run(language, code, stdin=stdin))
        except SandboxError as error:
            raise ToolException(str(error)) from error


def tell(result: RunResult) -> str:
    """A result in words; the output alone when all went well."""
    if result.status == "ok":
        return f"{result.stdout}{result.stderr}"
    return f"{result.status}, exit code {result.exit_code}\n{result.stdout}{result.stderr}"


if __name__ == "__main__":
    print(SandboxTool().invoke({"language": "python", "code": "print(6 * 7)"}))
