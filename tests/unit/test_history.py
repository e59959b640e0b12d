"""The history of runs: what is kept, for whom, for how long, and what goes wrong with files."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from sandboxd.errors import InvalidParamsError, RunNotFoundError, SetupError
from sandboxd.run import history_schema as schema
from sandboxd.run import history_writer as history_module
from sandboxd.run.history import History
from sandboxd.run.history_writer import HistorySettings
from sandboxd_client.protocol import (
    Base64,
    ContainerInfo,
    EffectiveLimits,
    HistoryListParams,
    OutputFile,
    RunError,
    RunRecord,
    RunResult,
    RunSummary,
    SkippedFile,
    Status,
    Timings,
    Truncated,
    Usage,
    to_blob,
)
from tests.support.wait import DEADLINE, turns, until

ROOT = Path(__file__).parents[2]
MIB = 1024**2
ALL = HistoryListParams(limit=1000)
EVERYTHING = HistorySettings(max_count=10**9, max_age=1e9, max_bytes=2**40)
LIMITS = EffectiveLimits(
    timeout=30.0,
    memory=512 * MIB,
    cpus=1.0,
    cpu_shares=1024,
    pids=100,
    output=MIB,
    files_total=MIB,
    tmp=MIB,
)


def run_of(number: int) -> str:
    return f"{number:016x}"


def number_of(summary: RunSummary) -> int:
    return int(summary.run, 16)


def make(
    number: int,
    *,
    owner: int = 1000,
    language: str = "python",
    status: Status = Status.OK,
    code: str = "print(1)",
    age: float = 0.0,
    label: str | None = None,
    **result: Any,
) -> RunRecord:
    started_at = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    exit_code = 0 if status is Status.OK else 1
    return RunRecord(
        summary=RunSummary(
            run=run_of(number),
            language=language,
            profile=language,
            status=status,
            exit_code=exit_code,
            duration=0.25,
            started_at=started_at,
            owner=owner,
            code_hash=hashlib.sha256(code.encode()).hexdigest(),
            label=label,
        ),
        result=RunResult(
            run=run_of(number),
            language=language,
            status=status,
            exit_code=exit_code,
            signal=None,
            **({"stdout": "1\n", "stderr": ""} | result),
            truncated=Truncated(),
            duration=0.25,
            timings=Timings(0.0, 0.001, 0.25),
            usage=Usage(0.1, 10 * MIB),
            warm=True,
            container=ContainerInfo("c0ffee", 3),
            started_at=started_at,
        ),
        limits=LIMITS,
        code=code,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


async def numbers(history: History, owner: int | None = None, **params: Any) -> list[int]:
    listed = await history.list(owner, HistoryListParams(**({"limit": 1000} | params)))
    return [number_of(summary) for summary in listed]


@contextlib.contextmanager
def sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def ask(path: Path, question: str) -> Any:
    with sqlite(path) as connection:
        return connection.execute(question).fetchone()[0]


def size(path: Path) -> int:
    return path.stat().st_size


def read(path: Path) -> bytes:
    return path.read_bytes()


def damage(path: Path, how: Callable[[bytes], bytes]) -> None:
    path.write_bytes(how(path.read_bytes()))


def block(folder: Path) -> None:
    """A file where a folder is to be: not even root can write into it."""
    folder.write_text("in the way")


def unblock(folder: Path) -> None:
    folder.unlink()


def names(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


def aside(path: Path) -> list[Path]:
    return list(path.parent.glob("history.db.broken-*"))


# --- what is kept ---


@pytest.mark.parametrize(
    "record",
    [
        make(1),
        make(1, label="a label\nof two lines", code="print('ünïcode 🙂 \\0')\n\0"),
        make(1, stdout=Base64("gIGC"), stderr="\N{SNOWMAN}" * 100_000),
        make(1, stdout=None, stderr=None),
        make(1, status=Status.TIMEOUT, error=RunError("compile", "it did not compile")),
        make(1, files_skipped=[SkippedFile("out/big", "too large")]),
    ],
    ids=["plain", "odd text", "bytes", "not captured", "failed", "skipped files"],
)
async def test_a_run_comes_back_as_it_was_recorded(path: Path, record: RunRecord) -> None:
    async with History(path, HistorySettings()) as history:
        history.record(record)
        assert await history.get(1000, record.summary.run) == record
        assert await history.list(1000, ALL) == [record.summary]
    assert history.written == 1


async def test_of_files_that_came_back_the_names_and_sizes_are_kept(path: Path) -> None:
    files = [OutputFile("a.txt", 3, "abc"), OutputFile("b.bin", 2, Base64("gIE="))]
    async with History(path, HistorySettings()) as history:
        history.record(make(1, files=files))
        kept = (await history.get(1000, run_of(1))).result.files
    assert kept == [OutputFile("a.txt", 3, ""), OutputFile("b.bin", 2, "")]


async def test_what_the_operator_does_not_keep_is_not_in_the_file(path: Path) -> None:
    record = make(1, code="secret()", stdout="secret", stderr="secret")
    async with History(path, HistorySettings(keep_code=False, keep_output=False)) as history:
        history.record(record)
        kept = await history.get(1000, run_of(1))
    assert (kept.code, kept.result.stdout, kept.result.stderr) == (None, None, None)
    assert kept.summary.code_hash == hashlib.sha256(b"secret()").hexdigest()
    assert b"secret" not in zlib.decompress(ask(path, "SELECT record FROM records"))


@pytest.mark.parametrize(
    ("settings", "code", "stdout"),
    [
        (HistorySettings(keep_code=False), None, "1\n"),
        (HistorySettings(keep_output=False), "print(1)", None),
    ],
)
async def test_code_and_output_are_kept_each_by_its_own_setting(
    path: Path, settings: HistorySettings, code: str | None, stdout: str | None
) -> None:
    async with History(path, settings) as history:
        history.record(make(1))
        kept = await history.get(1000, run_of(1))
    assert (kept.code, kept.result.stdout) == (code, stdout)


async def test_a_history_that_is_off_keeps_nothing_and_leaves_no_file(
    path: Path, tmp_path: Path
) -> None:
    async with History(path, HistorySettings(enabled=False)) as history:
        history.record(make(1))
        await history.flush()
        assert await history.list(None, ALL) == []
        with pytest.raises(RunNotFoundError):
            await history.get(None, run_of(1))
        assert (history.written, history.dropped, history.problem) == (0, 0, None)
    assert names(tmp_path / "any") == set()


# --- listing ---


async def test_runs_are_listed_in_the_order_they_were_recorded_the_newest_first(
    path: Path,
) -> None:
    order = list(range(100))
    random.Random(1).shuffle(order)
    async with History(path, HistorySettings()) as history:
        for number in order:
            history.record(make(number, age=number))
        assert await numbers(history) == order[::-1]
        assert await numbers(history, limit=7) == order[:-8:-1]
        assert len(await history.list(None, HistoryListParams())) == 50


async def test_pages_show_every_run_once_while_more_are_recorded(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        for number in range(100):
            history.record(make(number))
        seen = await numbers(history, limit=30)
        while page := await numbers(history, limit=30, before=run_of(seen[-1])):
            seen += page
            history.record(make(1000 + len(seen)))
        assert seen == list(range(99, -1, -1))


async def test_a_page_before_a_run_that_is_not_there_is_refused(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        history.record(make(1))
        with pytest.raises(RunNotFoundError, match="'nonsense'"):
            await history.list(1000, HistoryListParams(before="nonsense"))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"language": "bash"}, [10, 7, 4, 1]),
        ({"status": Status.TIMEOUT}, [8, 4, 0]),
        ({"language": "bash", "status": Status.TIMEOUT}, [4]),
        ({"language": "bash", "before": run_of(7)}, [4, 1]),
        ({"language": "bash", "limit": 2}, [10, 7]),
        ({"language": "cobol"}, []),
    ],
)
async def test_a_listing_is_filtered_before_it_is_cut(
    path: Path, params: dict[str, Any], expected: list[int]
) -> None:
    async with History(path, HistorySettings()) as history:
        for number in range(12):
            language = "bash" if number % 3 == 1 else "python"
            status = Status.TIMEOUT if number % 4 == 0 else Status.OK
            history.record(make(number, language=language, status=status))
        assert await numbers(history, 1000, **params) == expected


@pytest.mark.parametrize("limit", [-1, 0, 1001])
async def test_a_limit_that_cannot_be_is_refused(path: Path, limit: int) -> None:
    async with History(path, HistorySettings()) as history:
        with pytest.raises(InvalidParamsError, match="from 1 to 1000"):
            await history.list(None, HistoryListParams(limit=limit))


async def test_an_owner_sees_its_own_runs_and_root_sees_all(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        for number in range(9):
            history.record(make(number, owner=1000 + number % 3))
        assert await numbers(history, 1001) == [7, 4, 1]
        assert await numbers(history, 1001, before=run_of(4)) == [1]
        assert await numbers(history, 4711) == []
        assert await numbers(history, None) == [8, 7, 6, 5, 4, 3, 2, 1, 0]
        assert (await history.get(None, run_of(5))).summary.owner == 1002


async def test_another_owners_run_is_told_from_none_by_nothing(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        history.record(make(1, owner=1000))
        told = []
        for run in (run_of(1), run_of(2)):
            with pytest.raises(RunNotFoundError) as caught:
                await history.get(1001, run)
            told.append(str(caught.value).replace(run, "RUN"))
            with pytest.raises(RunNotFoundError):
                await history.list(1001, HistoryListParams(before=run))
        assert told[0] == told[1]


async def test_a_run_is_seen_at_once_by_whoever_recorded_it(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        for number in range(50):
            history.record(make(number))
            assert (await numbers(history, limit=1)) == [number]
            history.record(make(1000 + number))
            assert (await history.get(1000, run_of(1000 + number))).code == "print(1)"


# --- bounds ---


async def test_no_more_runs_are_kept_than_asked_for(path: Path) -> None:
    async with History(path, HistorySettings(max_count=10)) as history:
        for number in range(2000):
            history.record(make(number))
            if number % 700 == 0:
                await history.flush()
        assert await numbers(history) == list(range(1999, 1989, -1))
        assert history.written == 2000
        assert ask(path, "SELECT count(*) FROM records") == 10


async def test_runs_that_were_started_too_long_ago_go(path: Path) -> None:
    async with History(path, HistorySettings(max_age=3600.0)) as history:
        for number in range(10):
            history.record(make(number, age=4000 if number % 2 else 3000))
        assert await numbers(history) == [8, 6, 4, 2, 0]


async def test_bounds_that_are_lower_than_they_were_are_kept_to_from_the_start(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        for number in range(5000):
            history.record(make(number, age=5000 - number))
    settings = HistorySettings(max_count=1500, max_age=2000.0)
    async with History(path, settings) as history, asyncio.timeout(DEADLINE):
        while ask(path, "SELECT count(*) FROM runs") > 1500:
            await history.flush()
        assert await everything(history) == list(range(4999, 3499, -1))


def noise(count: int) -> Base64:
    """Output that cannot be compressed."""
    blob = to_blob(b"\xff" + os.urandom(count))
    assert isinstance(blob, Base64)
    return blob


def used(path: Path) -> int:
    with sqlite(path) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


async def test_the_file_stays_within_its_bytes_and_what_goes_is_the_oldest(path: Path) -> None:
    async with History(path, HistorySettings(max_bytes=2 * MIB)) as history:
        for number in range(200):
            history.record(make(number, stdout=noise(30_000)))
            if number % 20 == 0:
                await history.flush()
                assert used(path) <= 2 * MIB
        left = await numbers(history)
        assert left == list(range(199, 199 - len(left), -1))
        assert 50 < len(left) < 70
    assert size(path) < 2 * MIB + (schema._SLACK + 1) * 4096


async def test_the_file_shrinks_while_it_is_in_use(path: Path) -> None:
    async with History(path, EVERYTHING) as history:
        for number in range(40):
            history.record(make(number, stdout=noise(200_000)))
    assert size(path) > 8 * MIB
    async with History(path, HistorySettings(max_count=4)) as history, asyncio.timeout(DEADLINE):
        while size(path) > 2.1 * MIB:
            await history.flush()
        assert await numbers(history) == [39, 38, 37, 36]
        assert (await history.get(None, run_of(36))).result.stdout is not None


async def test_a_file_that_cannot_shrink_is_used_all_the_same(path: Path) -> None:
    """Somebody restored it from a dump, and with it went auto_vacuum."""
    make_version_1(path)
    async with History(path, EVERYTHING) as history:
        for number in range(20):
            history.record(make(number, stdout=noise(200_000)))
    with sqlite(path) as connection:
        connection.execute("DELETE FROM records")
        assert not schema.shrink(connection)
    async with History(path, EVERYTHING) as history:
        history.record(make(100))
        assert await numbers(history, limit=1) == [100]
    assert size(path) > 3 * MIB


async def test_a_run_as_large_as_the_history_pushes_nothing_out(path: Path) -> None:
    async with History(path, HistorySettings(max_bytes=MIB)) as history:
        history.record(make(1))
        history.record(make(2, stdout=noise(MIB)))
        history.record(make(3))
        assert await numbers(history) == [3, 2, 1]
        kept = await history.get(None, run_of(2))
    assert (kept.code, kept.result.stdout) == (None, None)


# --- the file ---


async def test_runs_survive_a_restart_in_their_order(path: Path) -> None:
    records = [make(number, stdout=f"{number}") for number in range(10)]
    for start in (0, 5):
        async with History(path, HistorySettings()) as history:
            for record in records[start : start + 5]:
                history.record(record)
    async with History(path, HistorySettings()) as history:
        assert await history.list(None, ALL) == [record.summary for record in records[::-1]]
        assert await history.get(None, run_of(3)) == records[3]
    history.record(make(10))
    await history.flush()
    assert (history.written, history.dropped) == (0, 1)


async def test_closing_writes_what_was_recorded(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        for number in range(1234):
            history.record(make(number))
    assert ask(path, "SELECT count(*) FROM runs") == 1234
    assert names(path) == {"history.db"}


@pytest.fixture
def open_to_all(path: Path) -> Iterator[Path]:
    """The file is there and everybody's, and what is made is to be so too."""
    path.parent.mkdir()
    path.touch()
    path.chmod(0o666)
    before = os.umask(0)
    yield path
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


async def test_files_are_their_owners_alone(open_to_all: Path) -> None:
    for path in (open_to_all, open_to_all.parent / "sub" / "history.db"):
        async with History(path, HistorySettings()) as history:
            history.record(make(1))
            await history.flush()
            found = modes(path.parent)
        assert found == dict.fromkeys(("history.db", "history.db-wal", "history.db-shm"), 0o600)
    assert modes(open_to_all.parent)["sub"] == 0o700


async def test_what_was_flushed_is_there_for_others(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        for number in range(100):
            history.record(make(number))
        await history.flush()
        assert ask(path, "SELECT count(*) FROM runs") == 100
        assert ask(path, "PRAGMA journal_mode") == "wal"
        assert ask(path, "PRAGMA integrity_check") == "ok"


async def test_a_file_that_is_taken_away_is_begun_anew(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        history.record(make(1))
        await history.flush()
        os.rename(path, f"{path}.elsewhere")  # noqa: PTH104 - path is no async one
        history.record(make(2))
        assert await numbers(history) == [2]
        assert (history.dropped, history.problem) == (0, None)


# --- versions ---

VERSION_1 = """
    PRAGMA user_version = 1;
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, language TEXT NOT NULL,
        profile TEXT NOT NULL, status TEXT NOT NULL, exit_code INTEGER NOT NULL,
        duration REAL NOT NULL, started_at TEXT NOT NULL, owner INTEGER NOT NULL,
        code_hash TEXT NOT NULL, label TEXT, started REAL NOT NULL, size INTEGER NOT NULL
    );
    CREATE INDEX runs_by_owner ON runs (owner, id);
    CREATE INDEX runs_by_start ON runs (started);
    CREATE TABLE records (
        id INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE, record BLOB NOT NULL
    );
    INSERT INTO runs VALUES (1, 'cafe', 'python', 'python', 'ok', 0, 0.5,
        '2024-05-06T07:08:09+00:00', 1000, 'abcd', 'old', 1714979289.0, 0);
"""
RECORD_1 = {
    "summary": {
        "run": "cafe",
        "language": "python",
        "profile": "python",
        "status": "ok",
        "exit_code": 0,
        "duration": 0.5,
        "started_at": "2024-05-06T07:08:09+00:00",
        "owner": 1000,
        "code_hash": "abcd",
        "label": "old",
    },
    "result": {
        "run": "cafe",
        "language": "python",
        "status": "ok",
        "exit_code": 0,
        "signal": None,
        "stdout": "6\n",
        "stderr": {"base64": "gIE="},
        "truncated": {"stdout": False, "stderr": False},
        "duration": 0.5,
        "timings": {"queued": 0.0, "handed_out": 0.0, "ran": 0.5},
        "usage": {"cpu": 0.1, "memory_peak": 1},
        "warm": True,
        "container": {"id": "c", "uses": 1},
        "started_at": "2024-05-06T07:08:09+00:00",
    },
    "limits": {
        "timeout": 30.0,
        "memory": 1,
        "cpus": 1.0,
        "cpu_shares": 1,
        "pids": 1,
        "output": 1,
        "files_total": 1,
        "tmp": 1,
    },
    "code": "print(6)",
}
"""As the first release writes it: later ones must be able to read it."""


def make_by_hand(path: Path, script: str) -> None:
    path.parent.mkdir()
    with sqlite(path) as connection:
        connection.executescript(script)


def make_version_1(path: Path) -> None:
    make_by_hand(path, VERSION_1)
    with sqlite(path) as connection:
        blob = zlib.compress(json.dumps(RECORD_1).encode())
        connection.execute("INSERT INTO records VALUES (1, ?)", (blob,))


ADDED = "ALTER TABLE runs ADD COLUMN added TEXT; CREATE INDEX runs_by_added ON runs (added);"


@pytest.mark.parametrize("added", [(), (ADDED,), (ADDED, "CREATE TABLE more (id INTEGER);")])
async def test_a_file_of_the_first_version_is_brought_up_to_the_newest(
    path: Path, added: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS + added)
    make_version_1(path)
    async with History(path, EVERYTHING) as history:
        history.record(make(1))
        assert [each.run for each in await history.list(1000, ALL)] == [run_of(1), "cafe"]
        old = await history.get(1000, "cafe")
    assert (old.code, old.result.stdout, old.summary.label) == ("print(6)", "6\n", "old")
    assert ask(path, "PRAGMA user_version") == len(schema.MIGRATIONS)
    assert ask(path, "SELECT count(*) FROM sqlite_master WHERE name = 'runs_by_added'") == bool(
        added
    )


async def test_the_first_version_is_what_a_new_file_began_as(tmp_path: Path) -> None:
    """VERSION_1 above is no invention of this test: the first script makes the same tables."""
    tables = []
    for name, script in (("by hand", VERSION_1), ("by script", schema.MIGRATIONS[0])):
        with sqlite(tmp_path / name) as connection:
            connection.executescript(script)
            rows = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name")
            tables.append([(table, "".join((sql or "").split())) for table, sql in rows])
    assert tables[0] == tables[1]


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    make_version_1(path)
    halfway = ADDED + "SELECT * FROM nowhere;"
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        schema.open_for_writing(path, (*schema.MIGRATIONS, halfway))
    assert ask(path, "PRAGMA user_version") == 1
    assert ask(path, "SELECT count(*) FROM pragma_table_info('runs') WHERE name = 'added'") == 0
    schema.open_for_writing(path, (*schema.MIGRATIONS, ADDED)).close()
    assert ask(path, "PRAGMA user_version") == 2


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (VERSION_1 + "PRAGMA user_version = 99;", "newer sandboxd.*version 99"),
        ("CREATE TABLE bookmarks (url TEXT)", "another program"),
    ],
)
async def test_a_file_that_is_not_for_this_version_is_refused_and_left_alone(
    path: Path, script: str, told: str
) -> None:
    make_by_hand(path, script)
    before = read(path)
    with pytest.raises(SetupError, match=told):
        async with History(path, HistorySettings()):
            pass
    assert read(path) == before
    assert names(path) == {"history.db"}


# --- broken files ---


def _replaced(data: bytes) -> bytes:
    return b"these are not the bytes of a database\n" * (len(data) // 38)


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _overwritten(data: bytes) -> bytes:
    """As by a disk that lost all pages but the first."""
    return data[:4096] + bytes(byte ^ 0x55 for byte in data[4096:])


@pytest.mark.parametrize("how", [_replaced, _cut, _overwritten])
async def test_a_broken_file_is_moved_aside_and_a_new_one_begun(
    path: Path, how: Callable[[bytes], bytes]
) -> None:
    async with History(path, HistorySettings()) as history:
        for number in range(500):
            history.record(make(number, stdout=noise(500)))
    damage(path, how)
    broken = read(path)
    with capture_logs() as logs:
        async with History(path, HistorySettings()) as history:
            history.record(make(1000))
            assert await numbers(history) == [1000]
            assert (history.problem, history.dropped) == (None, 0)
    (kept,) = aside(path)
    assert read(kept) == broken
    (entry,) = (each for each in logs if each["log_level"] == "error")
    assert entry["kept"] == str(kept)


async def test_a_file_that_breaks_under_way_is_found_by_whoever_reads(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        history.record(make(1))
        await history.flush()
        damage(path, _replaced)
        with capture_logs() as logs:
            assert await numbers(history) == []
        history.record(make(2))
        assert await numbers(history) == [2]
        assert (history.problem, history.dropped) == (None, 0)
    assert [each["event"] for each in logs] == ["history broken, and a new one begun"]
    assert len(aside(path)) == 1


# --- what cannot be written ---


async def test_what_cannot_be_stored_is_dropped_alone(path: Path) -> None:
    async with History(path, HistorySettings()) as history:
        for number in range(5):
            history.record(make(number, label="\ud800" if number == 2 else "fine"))
        history.record(make(4, label="again"))
        assert await numbers(history) == [4, 3, 1, 0]
        assert (history.written, history.dropped, history.problem) == (4, 2, None)
        assert (await history.list(None, ALL))[0].label == "fine"


async def test_a_folder_that_cannot_be_is_a_problem_and_no_reason_not_to_serve(
    path: Path,
) -> None:
    block(path.parent)
    with capture_logs() as logs:
        async with History(path, HistorySettings()) as history:
            for number in range(50):
                history.record(make(number))
                await history.flush()
            assert history.problem is not None
            assert str(path.parent) not in history.problem
            assert history.dropped == 50
            with pytest.raises(sqlite3.OperationalError):
                await history.list(None, ALL)
            unblock(path.parent)
            history.record(make(1000))
            assert await numbers(history) == [1000]
            assert (history.dropped, history.written) == (50, 1)
            problem: str | None = history.problem
            assert problem is None
    # One when it began, and one at the end that tells what the first could not know.
    assert [each.get("dropped") for each in logs if each["log_level"] == "warning"] == [0, 50]


async def test_a_problem_that_has_gone_is_not_told_for_want_of_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_RETRY", 0.0)
    block(path.parent)
    async with History(path, HistorySettings()) as history:
        assert history.problem is not None
        unblock(path.parent)
        await until(lambda: history.problem is None, "the file is tried again")
        assert await numbers(history) == []


FULL_DISK = """
import asyncio, json, resource, sys
from pathlib import Path
from sandboxd.run.history import History
from tests.unit.test_history import EVERYTHING, MIB, make, noise, numbers

async def main(path):
    told = {}
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    async with History(path, EVERYTHING) as history:
        async def record(number):
            history.record(make(number, stdout=noise(10_000)))
            await history.flush()

        # The log grows to its limit, and a transaction stops in the middle.
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, most))
        number = 0
        while not history.dropped:
            await record(number)
            number += 1
        told["until full"] = await numbers(history)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
        for number in range(1000, 1003):
            await record(number)
        told["problem"], told["dropped"] = history.problem, history.dropped
        await history._turn()  # a step with nothing to write, as after a while without runs
        told["problem still"] = history.problem
        told["while full"] = await numbers(history)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        await history.flush()
        told["problem after"] = history.problem
        await record(2000)
        told["after"] = await numbers(history)
        print(json.dumps(told))

asyncio.run(asyncio.wait_for(main(Path(sys.argv[1])), 60))
"""


def test_a_full_disk_costs_the_runs_that_came_meanwhile_and_no_others(path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=100,
    )
    told = json.loads(next(line for line in ended.stdout.splitlines() if line[0] == "{"))
    stored = told["until full"]
    assert len(stored) > 20
    assert stored == list(range(len(stored)))[::-1]
    assert told["problem"] in ("disk I/O error", "database or disk is full")
    assert told["problem still"] == told["problem"]
    assert told["dropped"] == 1 + 3
    assert told["while full"] == stored
    assert told["problem after"] is None
    assert told["after"] == [2000, *stored]
    assert ask(path, "PRAGMA integrity_check") == "ok"


async def test_recording_does_not_wait_for_a_writer_that_is_held_up(path: Path) -> None:
    count = history_module._QUEUE + history_module._BATCH + 100
    async with History(path, EVERYTHING) as history:
        with sqlite(path) as other:
            other.execute("BEGIN IMMEDIATE")
            record = make(0)
            for number in range(count):
                summary = msgspec.structs.replace(record.summary, run=run_of(number))
                history.record(msgspec.structs.replace(record, summary=summary))
            assert history.written == 0
            assert history.dropped >= 100
            assert history.problem == "records come faster than they can be written"
            reader = asyncio.create_task(numbers(history))
            gone = asyncio.create_task(numbers(history))
            await turns()
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert not reader.done()
            other.execute("COMMIT")
        seen = await reader
        await history.flush()
        assert history.written + history.dropped == count
        assert history.problem is None
        assert seen == list(range(history.written - 1, history.written - 1001, -1))


async def test_a_queue_is_bounded_by_bytes_too(path: Path) -> None:
    async with History(path, EVERYTHING) as history:
        with sqlite(path) as other:
            other.execute("BEGIN IMMEDIATE")
            big = "x" * (10 * MIB)
            for number in range(20):
                history.record(make(number, stdout=big))
            assert 10 <= history.dropped < 20
            other.execute("COMMIT")
        await history.flush()
        assert history.written + history.dropped == 20


async def test_one_run_past_the_bound_of_the_queue_is_taken_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_QUEUE_BYTES", 1000)
    async with History(path, EVERYTHING) as history:
        for number in range(3):
            history.record(make(number, stdout="x" * 5000))
            await history.flush()
        assert await numbers(history) == [2, 1, 0]


# --- kill -9, and everybody at once ---

KILLED = """
import asyncio, itertools, sys
from pathlib import Path
from sandboxd.run.history import History
from tests.unit.test_history import EVERYTHING, make, numbers

async def main(path, first):
    async with History(path, EVERYTHING) as history:
        for number in itertools.count(first):
            history.record(make(number, stdout="x" * (number % 5000)))
            if number % 100 == 99:
                newest = await numbers(history, limit=1)
                print(newest[0], flush=True)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def write_until_killed(path: Path, first: int) -> int:
    """Kills a writer at work; returns the newest run that it saw in the history."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), str(first)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        seen = -1
        while seen < first + 1000:
            seen = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE)
    return seen


async def test_a_kill_in_the_middle_of_writing_costs_the_last_batch_at_most(path: Path) -> None:
    first = 0
    for _ in range(3):
        seen = write_until_killed(path, first)
        assert "history.db-wal" in names(path)  # it had no time to close
        async with History(path, EVERYTHING) as history:
            assert ask(path, "PRAGMA integrity_check") == "ok"
            newest = (await numbers(history, limit=1))[0]
            assert newest >= seen
            assert await everything(history) == list(range(newest, -1, -1))
            for number in (0, newest):
                stdout = (await history.get(1000, run_of(number))).result.stdout
                assert stdout == "x" * (number % 5000)
            assert (history.problem, history.dropped) == (None, 0)
        assert ask(path, "SELECT count(*) FROM records") == newest + 1
        assert aside(path) == []
        first = newest + 1


async def everything(history: History) -> list[int]:
    seen = await numbers(history)
    while page := await numbers(history, before=run_of(seen[-1])):
        seen += page
    return seen


async def test_fifty_readers_see_whole_histories_while_two_thousand_runs_are_recorded(
    path: Path,
) -> None:
    count, recorded = 2000, 0
    done = asyncio.Event()
    answers = 0

    async def read(history: History) -> None:
        nonlocal answers
        while not done.is_set():
            before = recorded
            seen = await numbers(history, limit=40)
            newest = seen[0] if seen else -1
            assert before - 1 <= newest < recorded
            assert seen == list(range(newest, max(-1, newest - 40), -1))
            if seen:
                await history.get(1000, run_of(seen[-1]))
            answers += 1

    async def some_answers() -> None:
        enough = answers + 5
        await until(lambda: answers >= enough, "readers are answered")

    async with History(path, EVERYTHING) as history, asyncio.timeout(60):
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(read(history))
            while recorded < count:
                for _ in range(10):
                    history.record(make(recorded))
                    recorded += 1
                await some_answers()
            done.set()
        assert await everything(history) == list(range(count - 1, -1, -1))
        assert (history.written, history.dropped) == (count, 0)
