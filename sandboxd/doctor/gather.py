"""Everything that is to be known of this host, in one go. All of the doctor's I/O."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from sandboxd.config import Config
from sandboxd.doctor.findings import DaemonFacts, Findings, ImageFacts, SocketFacts
from sandboxd.doctor.host import lock_holder, read_host, read_process, read_socket
from sandboxd.doctor.probe import start_probe
from sandboxd.engine.images import Images, ImageState
from sandboxd.engine.open import open_engine
from sandboxd.engine.port import ImageStore
from sandboxd.errors import SandboxdError
from sandboxd.pool.container import Plan
from sandboxd.pool.fleet import Variant
from sandboxd.pool_specs import places, pool_spec
from sandboxd.run.catalog import read_catalog
from sandboxd.run.profiles import Profile
from sandboxd.shelf import wanted_image
from sandboxd_client.aio import AsyncClient
from sandboxd_client.errors import NotRunningError, SandboxError

_FIRST = ("bash", "python")
"""Whose containers come up soonest."""
_ANSWER_SECONDS = 5.0


async def gather(config: Config) -> Findings:
    """Raises ConfigError, and nothing for what it finds."""
    profiles = _profiles(config)
    async with open_engine(config.engine) as engine:
        findings = Findings(
            address=engine.address,
            engine_socket=_engine_socket(engine.address),
            daemon=await _look_at_daemon(Path(config.socket)),
            network=config.network.name if config.network.allow else None,
        )
        try:
            facts = await engine.containers.facts()
        except SandboxdError as error:
            told = "the engine is not there to be asked for them"
            return msgspec.structs.replace(findings, engine_problem=str(error), images_problem=told)
        host = await asyncio.to_thread(read_host)
        try:
            states = await _image_states(engine.images, profiles)
        except SandboxdError as error:
            states, problem = {}, str(error)
        else:
            problem = ""
        chosen = _choose(profiles, states)
        return msgspec.structs.replace(
            findings,
            engine=facts,
            # An engine with another kernel is on another machine, or in a virtual one.
            host=host if host.kernel == facts.kernel else None,
            images=[ImageFacts(name, state.present) for name, state in states.items()],
            images_problem=problem,
            probe=await start_probe(engine.containers, _plan(config, *chosen)) if chosen else None,
        )


def _profiles(config: Config) -> dict[str, Profile]:
    """Those whose images are kept ready."""
    return {
        name: profile
        for name, profile in read_catalog(config).profiles.items()
        if profile.language.standard or profile.pool_min > 0
    }


async def _image_states(
    store: ImageStore, profiles: Mapping[str, Profile]
) -> dict[str, ImageState]:
    images = Images(store)
    return {name: await images.state(wanted_image(profile)) for name, profile in profiles.items()}


def _choose(
    profiles: Mapping[str, Profile], states: Mapping[str, ImageState]
) -> tuple[Profile, str] | None:
    """A profile whose image is here, and that image."""
    present = [name for name, state in states.items() if state.present]
    found = next((name for name in (*_FIRST, *present) if name in present), None)
    return (profiles[found], states[found].tag) if found is not None else None


def _plan(config: Config, profile: Profile, image: str) -> Plan:
    """How the daemon would make the profile's containers, for an instance of the doctor's."""
    place = places(f"doctor-{secrets.token_hex(4)}")
    return pool_spec(config, profile, image, place).plan(Variant())


def _engine_socket(address: str) -> SocketFacts | None:
    return read_socket(Path(address.removeprefix("unix://")))


async def _look_at_daemon(socket: Path) -> DaemonFacts:
    pid = lock_holder(socket.with_name(socket.name + ".lock"))
    process = read_process(pid if pid is not None else os.getpid())
    uid, capabilities = process or (os.geteuid(), 0)
    health, problems = await _ask_health(socket)
    return DaemonFacts(
        socket=str(socket),
        listening=read_socket(socket),
        pid=pid,
        uid=uid,
        capabilities=capabilities,
        health=health,
        problems=problems,
    )


async def _ask_health(socket: Path) -> tuple[str, list[str]]:
    """What the daemon says of itself; no status, and why, where it says nothing."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), AsyncClient(socket) as client:
            health = await client.health()
    except TimeoutError:
        return "", [f"no answer within {_ANSWER_SECONDS:g} s"]
    except NotRunningError:
        return "", [f"nobody listens on {socket}, or not to this user"]
    except SandboxError as error:
        return "", [str(error)]
    wrong = [f"{name}: {each.detail}" for name, each in health.checks.items() if not each.ok]
    return health.status, wrong
