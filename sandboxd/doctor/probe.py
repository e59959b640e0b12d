"""One real container, made exactly as a pool makes them, asked, and removed again."""

from __future__ import annotations

import asyncio
import time

import structlog

from sandboxd.doctor.findings import Probe
from sandboxd.engine.port import ContainerSpec, Engine
from sandboxd.errors import SandboxdError
from sandboxd.pool.container import Plan
from sandboxd.pool.guest import Guest
from sandboxd.pool.verify import child_faults, container_faults, is_gvisor, parse_status

_log = structlog.get_logger("sandboxd.doctor")

_SLOT = 470
"""Its uid is in the range that is left free, and further up than a daemon's pools get."""
_PROOF = ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters")


async def start_probe(engine: Engine, plan: Plan) -> Probe:
    """Never raises for what the container does: why it did not come up is an answer too."""
    spec = plan.spec(_SLOT)
    try:
        return await _ask_container(engine, plan, spec)
    except SandboxdError as error:
        return Probe(language=plan.language, uid=spec.uid, problem=str(error))
    except TimeoutError:
        problem = f"its guest was not ready within {plan.start_timeout:g} s"
        return Probe(language=plan.language, uid=spec.uid, problem=problem)


async def _ask_container(engine: Engine, plan: Plan, spec: ContainerSpec) -> Probe:
    began = time.monotonic()
    guest = Guest(on_ready=lambda: None, on_lost=lambda _: None)
    try:
        await engine.create(spec)
        guest.attached(await engine.attach(spec.name, guest))
        async with asyncio.timeout(plan.start_timeout):
            await engine.start(spec.name)
            await guest.up
        took = time.monotonic() - began
        shown = await engine.describe(spec.name)
        hello, proof = guest.hello.result(), parse_status(guest.proof)
        faults = [
            *container_faults(hello, plan.resources, spec.uid),
            *child_faults(
                proof, namespaces=guest.namespaces, uid=spec.uid, gvisor=is_gvisor(hello)
            ),
        ]
        return Probe(
            language=plan.language,
            uid=spec.uid,
            took=took,
            hello=hello,
            proof=_proof(proof),
            faults=faults,
            shown=shown,
        )
    finally:
        guest.close()
        await _remove(engine, spec.name)


async def _remove(engine: Engine, name: str) -> None:
    """Without the guest's stdin it ends by itself; this is for an engine that forgets."""
    try:
        await asyncio.shield(engine.remove(name))
    except SandboxdError as error:
        _log.warning("container not removed", name=name, error=str(error))


def _proof(status: dict[str, str]) -> dict[str, str]:
    """What a process's status says of its rights."""
    return {name: text for name, text in status.items() if name in _PROOF or name[:3] == "Cap"}
