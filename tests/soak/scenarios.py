"""What clients do, the well-behaved and the others. Each is done once, and leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from sandboxd_client import AsyncClient, AsyncRunStream, Limits, Output, SandboxError, Started
from sandboxd_client.batch import Program as Wanted
from sandboxd_client.protocol import RunResult, from_blob
from tests.soak.ledger import PATIENCE, GaveUpError, Ledger, kind_of
from tests.soak.programs import Program, choose, hello
from tests.support.wire import Wire

_T = TypeVar("_T")


class Client(NamedTuple):
    """What a scenario is given."""

    socket: Path
    ledger: Ledger
    random: Random
    languages: Sequence[str]
    began: float

    def connect(self) -> AsyncClient:
        return AsyncClient(self.socket)

    def wire(self) -> Wire:
        return Wire(self.socket, PATIENCE)

    async def ask(self, what: str, work: Awaitable[_T], refusals: Collection[str] = ()) -> _T:
        """See `Ledger.ask`; harm that was done since the scenario began is an excuse."""
        return await self.ledger.ask(what, work, refusals, since=self.began)

    def must(self, what: str, *, hold: bool, detail: object) -> None:
        self.ledger.must(what, hold=hold, detail=detail)

    def program(self) -> Program:
        return choose(self.random, self.languages)

    def language(self, *among: str) -> str:
        return self.random.choice([each for each in among if each in self.languages])


async def programs(client: Client) -> None:
    """One after the other over one connection, their output streamed or not."""
    async with client.connect() as connection:
        for _ in range(client.random.randrange(1, 8)):
            program = client.program()
            if client.random.random() < 0.5 or "stdin" in program.options:
                work = connection.run(program.language, program.code, **program.options)
                await client.ledger.run("run", program, work)
            else:
                await client.ledger.run("stream", program, _streamed(connection, program))


async def _streamed(connection: AsyncClient, program: Program) -> RunResult:
    """A run whose output is read as it comes, and compared with what its result says."""
    printed = {"stdout": bytearray(), "stderr": bytearray()}
    async with connection.stream(program.language, program.code, **program.options) as stream:
        async for event in stream:
            if isinstance(event, Output):
                printed[event.stream] += event.data
    result = stream.result
    kept = {"stdout": from_blob(result.stdout or ""), "stderr": from_blob(result.stderr or "")}
    if kept != printed:
        raise SandboxError(f"run {result.run} streamed something else than its result says")
    return result


async def batch(client: Client) -> None:
    """Many at once over one connection, some of which the queue holds."""
    wanted = [client.program() for _ in range(client.random.randrange(4, 12))]
    listed = [Wanted(each.language, each.code, **each.options) for each in wanted]
    async with client.connect() as connection:
        outcomes = await client.ask("batch", connection.map(listed))
    for program, outcome in zip(wanted, outcomes, strict=True):
        with contextlib.suppress(GaveUpError):
            await client.ledger.run("batch", program, _outcome(outcome), client.began)


async def _outcome(outcome: RunResult | SandboxError) -> RunResult:
    if isinstance(outcome, SandboxError):
        raise outcome
    return outcome


# --- sessions ---

_STATE = {
    "bash": ("x=%d", "echo $((x + 1))"),
    "javascript": ("let x = %d", "console.log(x + 1)"),
    "python": ("x = %d", "print(x + 1)"),
    "ruby": ("x = %d", "puts x + 1"),
}


async def session(client: Client) -> None:
    """Opened, used, and closed or left by a connection that goes."""
    language = client.language(*_STATE)
    number = client.random.randrange(1000)
    first, then = _STATE[language]
    ask = client.ask
    async with client.connect() as connection:
        opened = connection.session(language, ttl=120.0, files={"a.txt": "one"})
        await ask("session.open", opened.__aenter__())
        await ask("session run", opened.run(first % number))
        for _ in range(client.random.randrange(1, 5)):
            result = await ask("session run", opened.run(then))
            client.ledger.ended(result)
            right = result.stdout == f"{number + 1}\n"
            client.must(f"session: {language}", hold=right, detail=result)
        await ask("files.write", opened.write_files({"b/c.txt": "two"}))
        read = await ask("files.read", opened.read_files(["a.txt", "b/c.txt"]))
        contents = [str(file.data) for file in read.files]
        client.must("files.read", hold=contents == ["one", "two"], detail=read)
        if client.random.random() < 0.5:
            await ask("session.close", connection.close_session(opened.id))


async def kept_session(client: Client) -> None:
    """It outlives the connection that opened it, and another one closes it."""
    language = client.language("bash", "python")
    first, then = _STATE[language]
    ask = client.ask
    async with client.connect() as connection:
        opened = connection.session(language, ttl=120.0, keep=True)
        await ask("session.open", opened.__aenter__())
        await ask("session run", opened.run(first % 1))
    async with client.connect() as connection:
        work = connection.run(language, then, session=opened.id)
        result = await ask("session run", work)
        client.ledger.ended(result)
        client.must("kept session", hold=result.stdout == "2\n", detail=result)
        await ask("session.close", connection.close_session(opened.id))


async def stuck_session(client: Client) -> None:
    """A run past its time; the session is told whether it lost its state, and is closed."""
    async with client.connect() as connection:
        opened = connection.session("python", ttl=120.0)
        await client.ask("session.open", opened.__aenter__())
        work = opened.run("while True: pass", limits=Limits(timeout=0.3))
        result = await client.ask("session run", work)
        client.ledger.ended(result)
        client.must("stuck session", hold=result.status == "timeout", detail=result)


# --- kept runs ---

_SLOWLY = "for n in range(%d): print(n); __import__('time').sleep(0.02)"


async def kept(client: Client) -> None:
    """Started by a connection that goes, and followed to its end by two others."""
    count = client.random.randrange(5, 50)
    run, seen, seq = await _detach(client, _SLOWLY % count)
    for after in (None, seq):
        async with client.connect() as connection:
            stream = connection.attach(run, after=after)
            printed = await client.ask("run.attach", _read(stream))
            before = b"" if after is None else seen
            right = before + printed == b"".join(b"%d\n" % n for n in range(count))
            client.must("run.attach", hold=right, detail=printed)
    client.ledger.ended(stream.result)


async def killed(client: Client) -> None:
    run, _, _ = await _detach(client, _SLOWLY % 10_000)
    async with client.connect() as connection:
        await client.ask("run.kill", connection.kill(run))
        stream = connection.attach(run)
        await client.ask("run.attach", _read(stream))
        client.ledger.ended(stream.result)
        right = stream.result.status == "killed"
        client.must("run.kill", hold=right, detail=stream.result)


async def _detach(client: Client, code: str) -> tuple[str, bytes, int | None]:
    """A kept run's id, and what was printed until its client went."""
    async with client.connect() as connection:
        stream = connection.stream("python", code, keep=True)

        async def begin() -> tuple[str, bytes, int | None]:
            run, printed = "", b""
            async with stream:
                async for event in stream:
                    if isinstance(event, Started):
                        run = event.run
                    else:
                        printed += event.data
                    if printed and client.random.random() < 0.5:
                        break
            return run, printed, stream.seq

        return await client.ask("run, kept", begin())


async def _read(stream: AsyncRunStream) -> bytes:
    async with stream:
        return b"".join([event.data async for event in stream if isinstance(event, Output)])


# --- clients that are no good ---


async def vanishing(client: Client) -> None:
    """It goes in the middle of its runs, of a line, or of what it does not read."""
    language = client.language("bash", "python")
    sleep, endless = {
        "bash": ("sleep 30", "yes"),
        "python": ("import time; time.sleep(30)", "while True: print('x' * 1000)"),
    }[language]
    async with client.wire() as wire:
        match client.random.randrange(5):
            case 0:
                for _ in range(client.random.randrange(1, 6)):
                    wire.run(sleep, language=language)
            case 1:
                wire.run(endless, language=language)
                wire.stop_reading()
            case 2:
                await wire.send_bytes(b'{"jsonrpc": "2.0", "id": 1, "method": "run", "par')
            case 3:
                wire.run("cat", language="bash", stdin={"stream": True})
                wire.notify("run.input", id=1, data="x" * 100_000)
            case 4:
                await wire.send_bytes(client.random.randbytes(10_000).replace(b"\n", b"?") + b"\n")
        await asyncio.sleep(client.random.uniform(0, 1.0))


async def cancelling(client: Client) -> None:
    """Each of its runs is answered all the same."""
    async with client.connect() as connection:

        async def cancelled() -> None:
            async with connection.stream("bash", "echo up; sleep 30") as stream:
                async for event in stream:
                    if isinstance(event, Output):
                        await stream.cancel()

        works = [
            client.ask("cancel", cancelled(), ("cancelled",))
            for _ in range(client.random.randrange(1, 4))
        ]
        for outcome in await asyncio.gather(*works, return_exceptions=True):
            client.must("cancel", hold=outcome is not None, detail="it ended by itself")


async def pipelined(client: Client) -> None:
    """All at once, before anything is read: one answer for each, and no more."""
    async with client.wire() as wire:
        language = client.random.choice(client.languages)
        program = hello(language)
        count = client.random.randrange(2, 12)
        runs = [wire.run(program.code, language=language) for _ in range(count)]
        nonsense = [wire.ask("no.such"), wire.run("", language="none"), wire.ask("run", {"x": 1})]

        async def answered() -> None:
            for each in [*runs, *nonsense]:
                await wire.answer(each)
            await wire.everything()

        await client.ask("pipelined", answered())
        answers = [len(wire.answers(each)) for each in [*runs, *nonsense]]
        client.must("pipelined", hold=set(answers) == {1}, detail=answers)


# --- those that only ask ---


async def asking(client: Client) -> None:
    """State, health, and what became of earlier runs."""
    ask = client.ask
    async with client.connect() as connection:
        await ask("status", connection.status())
        await ask("health", connection.health())
        await ask("session.list", connection.sessions())
        runs = await ask("history.list", connection.history(limit=100))
        if runs:
            run = client.random.choice(runs).run
            await ask("history.get", connection.history_get(run), ("run_not_found",))
            await ask("debug.report", connection.debug_report(run), ("run_not_found",))


Scenario = Callable[[Client], Awaitable[None]]

WEIGHTS: dict[Scenario, int] = {
    programs: 10,
    batch: 2,
    session: 4,
    kept_session: 1,
    stuck_session: 1,
    kept: 2,
    killed: 1,
    vanishing: 4,
    cancelling: 2,
    pipelined: 2,
    asking: 2,
}


async def act(client: Client) -> None:
    """One scenario, whichever comes."""
    (scenario,) = client.random.choices([*WEIGHTS], [*WEIGHTS.values()])
    name = scenario.__name__
    client.ledger.done[name] += 1
    try:
        await scenario(client)
    except GaveUpError:
        pass
    except SandboxError as error:
        client.ledger.fail(name, kind_of(error), str(error))
    except (OSError, EOFError) as error:
        client.ledger.fail(name, type(error).__name__, str(error))
