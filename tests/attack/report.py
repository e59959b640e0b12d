"""From a probe to the line that tells of it."""

from __future__ import annotations

from typing import NamedTuple

from tests.attack.arena import Arena
from tests.attack.outside import NoControlError, Outside
from tests.attack.probe import Outcome, Probe, Where, matches, shorten

HELD, UNPROVEN, OPEN, FAILED = "held", "unproven", "open", "FAILED"


class Row(NamedTuple):
    probe: Probe
    got: str
    control: str
    verdict: str
    faults: list[str]


def run_probe(probe: Probe, arena: Arena, outside: Outside) -> Row:
    """`held`; `unproven` where it held, but would seem to without a sandbox as well, on this
    host; `open` where it fails as is known; `FAILED` otherwise."""
    try:
        got = arena.attack(probe)
    except AssertionError as error:
        fault = f"{error}".partition("\n")[0]
        return Row(probe, fault, "", OPEN if probe.gap else FAILED, [fault])
    faults = probe.expect.faults(got)
    if faults:
        return Row(probe, str(got), "", OPEN if probe.gap else FAILED, faults)
    if probe.gap:
        return Row(probe, str(got), "", FAILED, [f"it holds now, though marked: {probe.gap}"])
    told, proven = _control(probe, got, arena, outside)
    return Row(probe, str(got), told, HELD if proven else UNPROVEN, [])


def _control(probe: Probe, got: Outcome, arena: Arena, outside: Outside) -> tuple[str, bool]:
    """What the control came to, and whether that proves something."""
    control = probe.control
    if control.where is Where.SHOWN:
        return f"{control.where}: {control.why}", True
    try:
        if control.where is Where.MILDER:
            printed = arena.run(probe, control.args).stdout
        else:
            printed = outside.run(probe, arena.arguments(probe.args))
    except NoControlError as error:
        return f"{control.where}: {error}", False
    told = f"{control.where}: {shorten(printed)}"
    if control.says:
        return told, matches(control.says, printed)
    ours, theirs = got.stdout.splitlines(), printed.splitlines()
    if len(ours) != len(theirs):
        return told, bool(theirs)
    # One that this kernel does not have is refused with another errno, or proves nothing.
    different = sum(a != b for a, b in zip(ours, theirs, strict=True))
    return f"{told} ({different} of {len(ours)} differ)", different > 0
