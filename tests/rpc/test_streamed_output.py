"""How much a run may print: what is only streamed is bounded by whoever reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandboxd.config import LimitsConfig, MaximumValues, Size
from tests.support.service import SMALL, Service, replace
from tests.support.wire import Wire

MIB = 1024 * 1024
MUCH = 3 * MIB
ONLY_STREAMED = {"stream": True, "capture": False}


async def printed(wire: Wire, **options: Any) -> tuple[int, bool]:
    """Bytes of stdout that came, and whether there was more."""
    identity = wire.run(f"flood {MUCH}", **options)
    result = await wire.result(identity)
    sent = len(wire.output(identity)) if options.get("stream", True) else 0
    return sent or len(result["stdout"] or ""), result["truncated"]["stdout"]


async def test_output_that_is_only_streamed_has_no_limit_of_its_own(wire: Wire) -> None:
    assert await printed(wire, **ONLY_STREAMED) == (MUCH, False)


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param({"capture": True}, id="in the result"),
        pytest.param({"capture": False, "keep": True}, id="for whoever attaches"),
        pytest.param({"capture": True, "stream": False}, id="unseen until its end"),
    ],
)
async def test_output_that_is_kept_has_the_usual_limit(wire: Wire, kept: dict[str, bool]) -> None:
    assert await printed(wire, **kept) == (MIB, True)


async def test_a_limit_that_is_asked_for_holds(wire: Wire) -> None:
    asked = await printed(wire, **ONLY_STREAMED, limits={"output": "2MiB"})
    assert asked == (2 * MIB, True)


async def test_the_operators_maximum_is_the_bound_of_what_is_only_streamed(tmp_path: Path) -> None:
    limits = LimitsConfig(max=MaximumValues(output=Size(2 * MIB)))
    service = Service(tmp_path, replace(SMALL, limits=limits))
    async with service, Wire(service.socket) as wire:
        assert await printed(wire, **ONLY_STREAMED) == (2 * MIB, True)


async def test_a_run_in_a_session_streams_as_much(wire: Wire) -> None:
    session = (await wire.result(wire.ask("session.open", {"language": "python"})))["session"]
    assert await printed(wire, session=session, **ONLY_STREAMED) == (MUCH, False)
    assert await printed(wire, session=session) == (MIB, True)
