"""A smolagents agent whose code runs in a session, with a model that knows its lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("smolagents")

from smolagents import ChatMessage, CodeAgent, MessageRole, Model, tool

from sandboxd_client import Client, Limits, SandboxError
from tests.docker.test_examples import load
from tests.support.daemon import RunningDaemon

Executor = load("smolagents_executor").SandboxExecutor


class Script(Model):  # type: ignore[misc]  # it comes without types
    """Answers with one piece of code after another, and keeps what it was told."""

    def __init__(self, *pieces: str) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self.told = ""

    def generate(self, messages: list[ChatMessage], **_: Any) -> ChatMessage:
        self.told = str(messages[-1].content)
        code = f"Thought: next.\n<code>\n{next(self._pieces)}\n</code>"
        return ChatMessage(role=MessageRole.ASSISTANT, content=code)


@tool  # type: ignore[untyped-decorator]
def double(number: int) -> int:
    """Doubles a number.

    Args:
        number: The number.
    """
    return number * 2


@pytest.fixture
def executor(daemon: RunningDaemon) -> Iterator[Any]:
    made = Executor(str(daemon.socket), limits=Limits(timeout=10))
    yield made
    made.cleanup()


def test_an_agent_keeps_its_variables_and_uses_its_tools(
    daemon: RunningDaemon, client: Client
) -> None:
    model = Script("n = double(start)\nprint('n is', n)", "final_answer({'n': n * 7})")
    with CodeAgent([double], model, executor=Executor(str(daemon.socket))) as agent:
        answer = agent.run("What is it?", additional_args={"start": 3})
        assert answer == {"n": 42}
        assert "n is 6" in model.told
        session = agent.python_executor._session.id
        assert session in {each.session for each in client.sessions()}
    assert session not in {each.session for each in client.sessions()}


def test_what_goes_wrong_is_told_to_the_model(daemon: RunningDaemon) -> None:
    model = Script("n = 6\n1 / 0", "final_answer(n)")
    with CodeAgent([], model, executor=Executor(str(daemon.socket))) as agent:
        assert agent.run("What is it?") == 6
    assert "ZeroDivisionError" in model.told


def test_a_step_has_a_value_and_is_no_answer(executor: Any) -> None:
    executor.send_tools({})
    assert executor("final_answer('first')").is_final_answer
    step = executor("print('said')\n6 * 7")
    assert (step.output, step.logs, step.is_final_answer) == ("42", "said\n", False)


def test_what_a_session_loses_is_told(executor: Any) -> None:
    with pytest.raises(SandboxError, match="the session lost its variables, and kept its files"):
        executor("import os; os._exit(3)")
