"""The same programs through the daemon: as a run, and in a session of its own."""

from __future__ import annotations

import signal

from msgspec import structs

from sandboxd_client import AsyncClient, Limits, RunResult, from_blob
from sandboxd_client._wire import RunOptions
from tests.fidelity.bare import left
from tests.fidelity.corpus import LANGUAGES, Case, Program
from tests.fidelity.outcome import Outcome

_CAPTURED = "8MiB"
"""More than a program prints here; what is cut is seen in `test_limits.py`."""


async def outcome(client: AsyncClient, case: Case, program: Program) -> Outcome:
    """Raises SandboxError where the daemon refuses."""
    options: RunOptions = {
        "args": program.args,
        "env": program.env,
        "stdin": program.stdin,
        "outputs": ["**"],
    }
    limits = structs.replace(program.limits, output=_CAPTURED)
    if case.session:
        of_box = structs.replace(program.limits, timeout=None)
        options["limits"] = Limits(timeout=limits.timeout, output=limits.output)
        opened = client.session(case.language, limits=of_box, files=program.files)
        async with opened as session:
            result = await session.run(program.code, **options)
    else:
        options |= {"limits": limits, "files": program.files}
        result = await client.run(case.language, program.code, **options)
    return _outcome(result, LANGUAGES[case.language].code_name, program)


def _outcome(result: RunResult, code_name: str, program: Program) -> Outcome:
    files = {file.path: file.content for file in result.files}
    # What should come back and did not, links for example, differs from any content.
    files |= {skipped.path: f"skipped: {skipped.why}".encode() for skipped in result.files_skipped}
    return Outcome(
        from_blob(result.stdout or ""),
        from_blob(result.stderr or ""),
        result.exit_code,
        "" if result.signal is None else signal.Signals(result.signal).name,
        left(files, {code_name: program.code, **program.files}),
    )
