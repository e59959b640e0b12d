"""From a run of the history, or the facts of one, to what is known of it for a report."""

from __future__ import annotations

from collections.abc import Mapping

from sandboxd.diagnose import Facts, report
from sandboxd.errors import InvalidParamsError
from sandboxd.languages import Languages
from sandboxd.run.profiles import Profile
from sandboxd_client.protocol import (
    Blob,
    DebugParams,
    DebugReport,
    RunRecord,
    Status,
    from_blob,
)

Modules = Mapping[str, frozenset[str]]
"""What the image of each profile has beside the standard library."""


def explain_record(
    record: RunRecord,
    files: Mapping[str, str],
    profiles: Mapping[str, Profile],
    modules: Modules,
) -> DebugReport:
    """The report for a run of the history; `files` are those that were sent with it."""
    result, limits, profile = record.result, record.limits, record.summary.profile
    own, others = _modules(result.language, profile, profiles, modules)
    return report(
        Facts(
            language=result.language,
            code=record.code or "",
            status=result.status,
            exit_code=result.exit_code,
            signal=result.signal,
            stdout=_text(result.stdout),
            stderr=_text(result.stderr),
            phase="compile" if result.error and result.error.phase == "compile" else "run",
            files=files,
            network=record.network,
            read_only=record.read_only,
            timeout=limits.timeout,
            duration=result.duration,
            memory_limit=limits.memory,
            memory_peak=result.usage.memory_peak,
            pids_limit=limits.pids,
            output_limit=limits.output,
            tmp_limit=limits.tmp,
            modules=own,
            profiles_with=others,
        )
    )


def explain_facts(
    params: DebugParams,
    languages: Languages,
    profiles: Mapping[str, Profile],
    modules: Modules,
) -> DebugReport:
    """The report for what a client tells of a run. Raises InvalidParamsError."""
    if params.language is None or params.exit_code is None:
        raise InvalidParamsError("debug.report needs a run, or a language and an exit_code")
    language = languages.find(params.language).name
    own, others = _modules(language, language, profiles, modules)
    usual = Status.ERROR if params.exit_code else Status.OK
    return report(
        Facts(
            language=language,
            code=params.code or "",
            status=params.status or usual,
            exit_code=params.exit_code,
            signal=params.signal,
            stdout=params.stdout or "",
            stderr=params.stderr or "",
            phase="compile" if params.phase == "compile" else "run",
            files=params.files,
            network=params.network,
            read_only=params.read_only,
            modules=own,
            profiles_with=others,
        )
    )


def _modules(
    language: str, profile: str, profiles: Mapping[str, Profile], modules: Modules
) -> tuple[tuple[str, ...], dict[str, str]]:
    """What the profile's image has, and which other profile has what it lacks."""
    own = modules.get(profile, frozenset())
    others = {
        module: name
        for name, each in profiles.items()
        if each.language.name == language and name != profile
        for module in modules.get(name, frozenset()) - own
    }
    return tuple(sorted(own)), others


def _text(blob: Blob | None) -> str:
    return "" if blob is None else from_blob(blob).decode(errors="replace")
