"""The history's database: its file and tables, and everything that is said to it in SQL."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sandboxd.errors import RunNotFoundError, SetupError
from sandboxd_client.protocol import HistoryListParams, RunRecord, RunSummary, Status, decoder

MIGRATIONS: tuple[str, ...] = (
    # What a listing reads is apart from what only `history.get` does: the rows of
    # `runs` are small and lie close together, however much the programs printed.
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL UNIQUE,
        language TEXT NOT NULL,
        profile TEXT NOT NULL,
        status TEXT NOT NULL,
        exit_code INTEGER NOT NULL,
        duration REAL NOT NULL,
        started_at TEXT NOT NULL,
        owner INTEGER NOT NULL,
        code_hash TEXT NOT NULL,
        label TEXT,
        started REAL NOT NULL,
        size INTEGER NOT NULL
    );
    CREATE INDEX runs_by_owner ON runs (owner, id);
    CREATE INDEX runs_by_start ON runs (started);
    CREATE TABLE records (
        id INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
        record BLOB NOT NULL
    );
    """,
)
"""Script N makes version N + 1 of the file out of version N; what was released is never edited.

`id` is the order of insertion, `started` is `started_at` in seconds since the epoch,
`record` is a RunRecord in JSON, deflated, and `size` is its length.
"""

BUSY_TIMEOUT = 10.0
"""Seconds to wait for whoever else has the file locked: an operator with `sqlite3`."""
_WAL_KEPT = 4 * 1024**2
"""Bytes of the write-ahead log that stay once they have been taken over into the file."""
_PRUNED_AT_ONCE = 1000
"""Runs that go in one transaction for one reason: more than are ever written in one."""
_VACUUMED_AT_ONCE = 256
_SLACK = 256
"""Free pages that stay in the file, since what comes next will want them."""
_ROW = 256
"""Bytes that a run takes beside its record, about."""
_LEVEL = 1
"""Of compression: programs come out a sixth larger than at 6, in half the time."""


# --- the file ---


def open_for_writing(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """The file, made if need be, with the newest tables.

    Raises SetupError for a file that is not ours to write to, and sqlite3.Error or
    OSError for one that cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # By name and never by a descriptor on a file that is there: closing that would
    # drop the locks SQLite holds on it for this process. Log and index get its mode.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        version = _version(connection, path, len(migrations))
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first page or never
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
        _migrate(connection, version, migrations)
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.Error, also where there is no file."""
    address = path.absolute().as_uri() + "?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)


def _version(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """The version of the tables; looked at before anything is written."""
    version = _number(connection, "PRAGMA user_version")
    if version > newest:
        raise SetupError(
            f"history {path}: a newer sandboxd wrote it (its tables are of version {version}, "
            f"this one knows {newest}); run that one, or name another file"
        )
    if version == 0 and _number(connection, "SELECT count(*) FROM sqlite_master"):
        raise SetupError(f"history {path}: another program's database; name another file")
    return version


def _migrate(connection: sqlite3.Connection, version: int, migrations: Sequence[str]) -> None:
    """Each step whole or not at all: the version is part of its transaction."""
    for number, script in enumerate(migrations[version:], start=version + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version = {number};\nCOMMIT;"
            )
        except BaseException:
            _roll_back(connection)
            raise


def is_broken(error: BaseException) -> bool:
    """Whether an error says that what is in the file is not, or no longer, a database."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_sound(path: Path) -> bool:
    """Whether all of the file can be read. Takes a second for a large one."""
    try:
        with contextlib.closing(open_for_reading(path)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if is_broken(error):
            return False
        raise


def set_aside(path: Path) -> Path:
    """Renames a broken file, and its log with it; returns the new name. Raises OSError.

    The log must not stay: it could be taken for the next file's. The index is made
    anew from the log.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.broken-{stamp}")
    path.rename(aside)
    with contextlib.suppress(FileNotFoundError):
        path.with_name(path.name + "-wal").rename(aside.with_name(aside.name + "-wal"))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    return aside


# --- writing ---


class Row(NamedTuple):
    """A record as it is stored."""

    summary: tuple[Any, ...]
    record: bytes


class Bounds(NamedTuple):
    """What may stay."""

    runs: int
    size: int
    """Bytes of the file that are in use."""
    since: float
    """When the oldest run was started, in seconds since the epoch."""


def encode(record: RunRecord, most: int) -> Row:
    """A record ready to be stored.

    One that would be larger than `most` bytes goes without code and output: it is
    not to push all others out.
    """
    summary = record.summary
    data = _deflate(record)
    if len(data) > most:
        data = _deflate(bare(record, code=False, output=False))
    fields = (
        summary.run,
        summary.language,
        summary.profile,
        summary.status.value,
        summary.exit_code,
        summary.duration,
        summary.started_at,
        summary.owner,
        summary.code_hash,
        summary.label,
        _seconds(summary.started_at),
        len(data),
    )
    return Row(fields, data)


def bare(record: RunRecord, *, code: bool, output: bool) -> RunRecord:
    """The record without its code, or without what the program printed."""
    if not output:
        result = msgspec.structs.replace(record.result, stdout=None, stderr=None)
        record = msgspec.structs.replace(record, result=result)
    return record if code else msgspec.structs.replace(record, code=None)


def _deflate(record: RunRecord) -> bytes:
    return zlib.compress(msgspec.json.encode(record), _LEVEL)


def _seconds(started_at: str) -> float:
    try:
        return datetime.fromisoformat(started_at).timestamp()
    except ValueError:
        return time.time()


def count_runs(connection: sqlite3.Connection) -> int:
    return _number(connection, "SELECT count(*) FROM runs")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is written within, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # SQLite ends it by itself after some errors
        connection.execute("ROLLBACK")


def insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Within a transaction. Raises sqlite3.IntegrityError for a run that is there already."""
    first = _number(connection, "SELECT coalesce(max(id), 0) + 1 FROM runs")
    connection.executemany(
        "INSERT INTO runs (id, run, language, profile, status, exit_code, duration, started_at,"
        " owner, code_hash, label, started, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((number, *row.summary) for number, row in enumerate(rows, first)),
    )
    connection.executemany(
        "INSERT INTO records (id, record) VALUES (?, ?)",
        ((number, row.record) for number, row in enumerate(rows, first)),
    )


def touch(connection: sqlite3.Connection, version: int) -> None:
    """Within a transaction: writes what is there already, to see whether it can be."""
    connection.execute(f"PRAGMA user_version = {version}")


def prune(connection: sqlite3.Connection, count: int, bounds: Bounds) -> tuple[int, bool]:
    """Within a transaction: deletes some of what is past the bounds, the oldest first.

    `count` is how many runs there are. Returns how many were deleted, and whether
    there may be more to delete.
    """
    aged = connection.execute(
        "DELETE FROM runs WHERE id IN"
        " (SELECT id FROM runs WHERE started < ? ORDER BY started LIMIT ?)",
        (bounds.since, _PRUNED_AT_ONCE),
    ).rowcount
    excess = max(0, min(count - aged - bounds.runs, _PRUNED_AT_ONCE))
    if excess:
        connection.execute(
            "DELETE FROM runs WHERE id IN (SELECT id FROM runs ORDER BY id LIMIT ?)", (excess,)
        )
    large = _prune_bytes(connection, bounds.size)
    return aged + excess + large, max(aged, excess, large) >= _PRUNED_AT_ONCE


def _prune_bytes(connection: sqlite3.Connection, most: int) -> int:
    """Deletes by what the runs take, and looks again, as pages are not freed by the byte."""
    page = _number(connection, "PRAGMA page_size")
    deleted = 0
    while deleted < _PRUNED_AT_ONCE:
        used = _number(connection, "PRAGMA page_count") - _free_pages(connection)
        over = used * page - most
        if over <= 0:
            break
        last = None
        for number, size in connection.execute(
            "SELECT id, size FROM runs ORDER BY id LIMIT ?", (_PRUNED_AT_ONCE - deleted,)
        ):
            last = number
            over -= size + _ROW
            if over <= 0:
                break
        if last is None:
            break
        deleted += connection.execute("DELETE FROM runs WHERE id <= ?", (last,)).rowcount
    return deleted


def shrink(connection: sqlite3.Connection) -> bool:
    """Gives some free pages back to the file system; returns whether there are more to give."""
    free = _free_pages(connection)
    if free <= _SLACK:
        return False
    # As a script, since that alone steps to the end: of a statement whose rows have
    # no columns `execute` takes one step, and that is one page.
    pages = min(free - _SLACK, _VACUUMED_AT_ONCE)
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
    # None are given back by a file that somebody made anew without auto_vacuum.
    return _SLACK < _free_pages(connection) < free


def checkpoint(connection: sqlite3.Connection) -> None:
    """Has the kernel put on disk what was committed, which a commit alone does not."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _free_pages(connection: sqlite3.Connection) -> int:
    return _number(connection, "PRAGMA freelist_count")


def _number(connection: sqlite3.Connection, question: str) -> int:
    number: int = connection.execute(question).fetchone()[0]
    return number


# --- reading ---


def select_runs(
    connection: sqlite3.Connection, owner: int | None, params: HistoryListParams
) -> list[RunSummary]:
    """The newest runs that `params` asks for, of one owner or of all.

    Raises RunNotFoundError when the run before which they are to be is not there.
    """
    wanted: dict[str, object] = {}
    if owner is not None:
        wanted["owner = ?"] = owner
    if params.before is not None:
        wanted["id < ?"] = _find(connection, owner, params.before)
    if params.status is not None:
        wanted["status = ?"] = params.status.value
    if params.language is not None:
        wanted["language = ?"] = params.language
    words = [
        "SELECT run, language, profile, status, exit_code, duration, started_at, owner,",
        "code_hash, label FROM runs",
        "WHERE" if wanted else "",
        " AND ".join(wanted),
        "ORDER BY id DESC LIMIT ?",
    ]
    rows = connection.execute(" ".join(words), (*wanted.values(), params.limit))
    return [
        RunSummary(
            run=run,
            language=language,
            profile=profile,
            status=Status(status),
            exit_code=exit_code,
            duration=duration,
            started_at=started_at,
            owner=whose,
            code_hash=code_hash,
            label=label,
        )
        for (
            run,
            language,
            profile,
            status,
            exit_code,
            duration,
            started_at,
            whose,
            code_hash,
            label,
        ) in rows
    ]


def select_record(connection: sqlite3.Connection, owner: int | None, run: str) -> RunRecord:
    """All of a run. Raises RunNotFoundError, for another owner's as for none at all."""
    number = _find(connection, owner, run)
    row = connection.execute("SELECT record FROM records WHERE id = ?", (number,)).fetchone()
    if row is None:  # it went just now
        raise not_found(run)
    return decoder(RunRecord).decode(zlib.decompress(row[0]))


def _find(connection: sqlite3.Connection, owner: int | None, run: str) -> int:
    row = connection.execute(
        "SELECT id FROM runs WHERE run = ?1 AND (?2 IS NULL OR owner = ?2)", (run, owner)
    ).fetchone()
    if row is None:
        raise not_found(run)
    number: int = row[0]
    return number


def not_found(run: str) -> RunNotFoundError:
    """Another owner's run is told from none by nothing."""
    return RunNotFoundError(
        f"there is no run {run!r} of yours in the history, or none any more; "
        "history.list tells which there are",
        run=run,
    )
