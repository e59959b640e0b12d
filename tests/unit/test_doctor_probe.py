"""The doctor's container, made as a pool would make it, on a double of the engine."""

from __future__ import annotations

import asyncio

from sandboxd.doctor.probe import start_probe
from sandboxd.errors import StartFailedError
from tests.support.engine import FakeEngine
from tests.support.pools import plan
from tests.support.wait import until


async def test_a_container_that_is_as_it_should_be_is_up_and_removed_again() -> None:
    engine = FakeEngine()
    found = await start_probe(engine, plan())
    assert (found.up, found.namespaces, found.faults) == (True, True, [])
    assert found.shown.network == "none"
    assert found.proof["CapEff"] == "0" * 16
    assert engine.guests == {}


async def test_what_a_container_lacks_is_said_in_the_words_of_the_pool() -> None:
    engine = FakeEngine()
    engine.temper.lies = {"root": "rw"}
    assert (await start_probe(engine, plan())).faults == ["its root can be written to"]


async def test_why_a_container_did_not_come_up_is_an_answer_too() -> None:
    engine = FakeEngine()
    engine.on["start"].fail(StartFailedError("no such runtime"))
    found = await start_probe(engine, plan())
    assert (found.up, found.problem) == (False, "no such runtime")
    engine.temper.silent = True
    found = await start_probe(engine, plan(start_timeout=0.01))
    assert found.problem == "its guest was not ready within 0.01 s"
    assert engine.guests == {}


async def test_a_probe_that_is_given_up_leaves_no_container() -> None:
    engine = FakeEngine()
    engine.on["describe"].hold()
    probing = asyncio.create_task(start_probe(engine, plan()))
    await until(lambda: engine.on["describe"].calls > 0, "the container is up")
    assert len(engine.guests) == 1
    probing.cancel()
    await asyncio.wait([probing])
    assert engine.guests == {}
