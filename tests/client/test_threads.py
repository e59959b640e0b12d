"""One client in many threads, and one stream in several."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandboxd_client import (
    CancelledError,
    Client,
    ConnectionLostError,
    Output,
    RunStream,
    UnknownLanguageError,
)
from tests.support.service import ServiceThread
from tests.support.wait import DEADLINE

THREADS = 8
MUCH = bytes(range(256)) * 16_384
"""4 MiB: more than the sockets and the daemon hold."""


@pytest.fixture(autouse=True)
def _often() -> Iterator[None]:
    """Threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_each_thread_gets_its_own_answers(client: Client) -> None:
    def ask(number: int) -> None:
        for turn in range(10):
            text = f"{number}.{turn}"
            assert client.run("python", f"out {text}").stdout == f"{text}\n"
            assert client.status().engine.name == "double"
            with pytest.raises(UnknownLanguageError):
                client.run("cobol", "")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(ask, range(THREADS)))


def feed(run: RunStream) -> None:
    for start in range(0, len(MUCH), 65536):
        run.send_stdin(MUCH[start : start + 65536])
    run.end_stdin()


def test_one_thread_sends_stdin_while_another_takes_what_is_printed(client: Client) -> None:
    with client.stream("python", "cat", stdin=(), capture=False) as run:
        feeding = threading.Thread(target=feed, args=(run,))
        feeding.start()
        printed = b"".join(event.data for event in run if isinstance(event, Output))
        feeding.join()
    assert printed == MUCH
    assert run.result.exit_code == 0


def test_a_run_may_be_cancelled_from_another_thread_while_stdin_is_sent(client: Client) -> None:
    with client.stream("python", "out up\ncat\nhang", stdin=(), capture=False) as run:
        feeding = threading.Thread(target=feed, args=(run,))
        feeding.start()
        threading.Thread(target=run.cancel).start()
        with pytest.raises(CancelledError):
            list(run)
        feeding.join()
    assert client.run("python", "out again").stdout == "again\n"


def test_leaving_a_stream_ends_the_thread_that_sends_its_stdin(client: Client) -> None:
    with ThreadPoolExecutor() as pool:
        with client.stream("python", "out up\nhang", stdin=(), capture=False) as run:
            feeding = pool.submit(feed, run)
            next(iter(run))
        with pytest.raises(ConnectionLostError):
            feeding.result(DEADLINE)


def test_a_client_that_is_closed_keeps_no_connection_of_a_thread_that_goes_on(
    served: ServiceThread, client: Client
) -> None:
    with client.stream("python", "wait go") as run:
        events = iter(run)
        next(events)
        client.close()
        served.ask(lambda service: service.engine.events["go"].set())
        list(events)
    served.wait_for(lambda service: not service.hub.connections, "no connection is open")
