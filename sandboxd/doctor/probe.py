"""One real container, made exactly as a pool makes them, asked, and removed again."""

from __future__ import annotations

import asyncio
import secrets
import time

import structlog

from sandboxd.config import Config
from sandboxd.daemon import make_shape
from sandboxd.doctor.findings import Probe
from sandboxd.engine.port import ContainerSpec, Engine, Resources
from sandboxd.engine.spec import Placement, container_spec
from sandboxd.errors import SandboxdError
from sandboxd.pool.fleet import Variant
from sandboxd.pool.guest import Guest
from sandboxd.pool.verify import child_faults, container_faults, is_gvisor, parse_status
from sandboxd.run.limits import to_resources
from sandboxd.run.profiles import Profile

_log = structlog.get_logger("sandboxd.doctor")

_SLOT = 470
"""Its uid is in the range that is left free, and further up than a daemon's pools get."""
_PROOF = ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters")


async def start_probe(engine: Engine, config: Config, profile: Profile, image: str) -> Probe:
    """Never raises for what the container does: why it did not come up is an answer too."""
    shape = make_shape(config, profile, image, Variant())
    placement = Placement(
        instance=f"doctor-{secrets.token_hex(4)}",
        serial=secrets.token_hex(3),
        slot=_SLOT,
        uid=config.engine.uid_base + _SLOT,
    )
    spec = container_spec(shape, placement)
    language, resources = profile.language.name, to_resources(profile.limits, profile.language)
    try:
        return await _ask_container(engine, spec, resources, config.pool.start_timeout, language)
    except SandboxdError as error:
        return Probe(language=language, uid=spec.uid, problem=str(error))
    except TimeoutError:
        problem = f"its guest was not ready within {config.pool.start_timeout:g} s"
        return Probe(language=language, uid=spec.uid, problem=problem)


async def _ask_container(
    engine: Engine, spec: ContainerSpec, resources: Resources, timeout: float, language: str
) -> Probe:
    began = time.monotonic()
    guest = Guest(on_ready=lambda: None, on_lost=lambda _: None)
    try:
        await engine.create(spec)
        guest.attached(await engine.attach(spec.name, guest))
        async with asyncio.timeout(timeout):
            await engine.start(spec.name)
            await guest.up
        took = time.monotonic() - began
        shown = await engine.describe(spec.name)
        hello, proof = guest.hello.result(), parse_status(guest.proof)
        faults = [
            *container_faults(hello, resources, spec.uid),
            *child_faults(
                proof, namespaces=guest.namespaces, uid=spec.uid, gvisor=is_gvisor(hello)
            ),
        ]
        return Probe(
            language=language,
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
