"""From the configuration to pools: how the containers of a profile are made."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable

from sandboxd.config import Config
from sandboxd.engine.spec import Placement, Shape, container_spec
from sandboxd.pool.container import Plan
from sandboxd.pool.core import Settings
from sandboxd.pool.fleet import PoolSpec, Variant
from sandboxd.run.limits import to_resources
from sandboxd.run.profiles import Profile, encode_warmup

Place = Callable[[int, int], Placement]
"""Of a slot's next container, by the slot and its uid."""


def places(instance: str) -> Place:
    """For the containers of an instance: no two have one name, nor one of a daemon before."""
    boot, count = secrets.token_hex(3), itertools.count(1)
    return lambda slot, uid: Placement(instance, f"{boot}-{next(count)}", slot, uid)


def pool_spec(config: Config, profile: Profile, image: str, place: Place) -> PoolSpec:
    """How to make the pools of a profile whose image is there."""
    pool = config.pool
    settings = Settings(
        min=min(profile.pool_min, profile.pool_max),
        max=profile.pool_max,
        max_uses=pool.max_uses,
        max_age=pool.max_age,
        reuse=pool.reuse,
    )
    resources = to_resources(profile.limits, profile.language)

    def plan(variant: Variant) -> Plan:
        shape = _shape(config, profile, image, variant)
        return Plan(
            language=profile.language.name,
            profile=profile.name,
            spec=lambda slot: container_spec(shape, place(slot, config.engine.uid_base + slot)),
            resources=resources,
            warmup=encode_warmup(profile),
            start_timeout=pool.start_timeout,
            queue=pool.queue,
        )

    return PoolSpec(
        plan=plan,
        settings=settings,
        warm=Variant(network=profile.network),
        key=(image, profile, config.limits, config.network, config.engine, settings, pool),
    )


def _shape(config: Config, profile: Profile, image: str, variant: Variant) -> Shape:
    return Shape(
        profile=profile.name,
        language=profile.language,
        image=image,
        resources=to_resources(profile.limits, profile.language),
        tmp=profile.limits.tmp,
        tmp_inodes=config.limits.tmp_inodes,
        nofile=config.limits.nofile,
        fsize=int(config.limits.max.tmp),
        preload=profile.preload,
        network=config.network.name if variant.network else None,
        writable_root=variant.writable_root,
        runtime=config.engine.runtime,
        apparmor=config.engine.apparmor,
    )
