"""All probes, by subject."""

from __future__ import annotations

from tests.attack.probe import Probe
from tests.attack.probes import (
    calls,
    compiler,
    endings,
    escapes,
    exhaustion,
    files,
    inside,
    kernel,
    output,
    sessions,
    sockets,
)

ALL: tuple[Probe, ...] = (
    *calls.PROBES,
    *sockets.PROBES,
    *escapes.PROBES,
    *inside.PROBES,
    *exhaustion.PROBES,
    *kernel.PROBES,
    *output.PROBES,
    *endings.PROBES,
    *files.PROBES,
    *compiler.PROBES,
    *sessions.PROBES,
)

BY_NAME = {probe.name: probe for probe in ALL}
