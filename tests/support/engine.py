"""An engine in this process, for faults that a real one does not show on demand.

A start that hangs, a container lost at the worst moment, a guest that talks
rubbish: see `Step`, `Temper` and the verbs of `program`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from sandboxd.engine.facts import Component, ContainerFacts, EngineFacts
from sandboxd.engine.port import Attachment, ContainerSpec, Receiver, Resources
from sandboxd.errors import StartFailedError
from sandboxd_client.protocol import EngineInfo
from tests.support.guest import FakeGuest, Temper
from tests.support.program import Events, Program
from tests.support.step import Step

FACTS = EngineFacts(
    engine=Component("double", "1.0"), runtime=Component("none", "1.0"), security={"seccomp": ""}
)
"""An engine that limits and isolates as it should."""


class FakeEngine:
    """See `sandboxd.engine.port.Engine`."""

    def __init__(self) -> None:
        self.temper = Temper()
        self.events: Events = defaultdict(asyncio.Event)
        self.programs: dict[str, Program] = {}
        """What code stands for, unless it is a script."""
        self.on: defaultdict[str, Step] = defaultdict(Step)
        """By the name of the call."""
        self.guests: dict[str, FakeGuest] = {}
        """The containers that exist, by name."""
        self.seen: list[FakeGuest] = []
        """All that ever existed."""
        self.specs: list[ContainerSpec] = []

    @property
    def faults(self) -> list[str]:
        """What the daemon sent that it should not have."""
        return [fault for guest in self.seen for fault in guest.faults]

    def lose(self, name: str) -> None:
        """The container ends, as if somebody had killed it; AutoRemove does the rest."""
        self.guests.pop(name).die()

    async def info(self) -> EngineInfo:
        await self.on["info"].play()
        return EngineInfo(name="double", version="1.0", isolation=["none"])

    async def facts(self) -> EngineFacts:
        await self.on["facts"].play()
        return FACTS

    async def create(self, wanted: ContainerSpec) -> str:
        """Where this fails the container exists: that is the worst that an engine does."""
        if wanted.name in self.guests:
            raise StartFailedError(f"the name {wanted.name} is taken")
        guest = FakeGuest(wanted, self.temper, self.events, self.programs)
        self.guests[wanted.name] = guest
        self.seen.append(guest)
        self.specs.append(wanted)
        await self.on["create"].play()
        return f"{len(self.seen):064x}"[::-1]

    async def attach(self, container: str, receiver: Receiver) -> Attachment:
        await self.on["attach"].play()
        return self._find(container).attach(receiver)

    async def start(self, container: str) -> None:
        await self.on["start"].play()
        self._find(container).boot()

    async def update(self, container: str, resources: Resources) -> None:
        await self.on["update"].play()
        self._find(container).resources.append(resources)

    async def describe(self, container: str) -> ContainerFacts:
        await self.on["describe"].play()
        self._find(container)
        return ContainerFacts(network="none", log="none")

    async def remove(self, container: str) -> None:
        await self.on["remove"].play()
        if container in self.guests:
            self.lose(container)

    async def containers(self, labels: dict[str, str]) -> list[str]:
        await self.on["containers"].play()
        return [
            guest.name for guest in self.guests.values() if labels.items() <= guest.labels.items()
        ]

    def _find(self, container: str) -> FakeGuest:
        if container not in self.guests:
            raise StartFailedError(f"there is no container {container}")
        return self.guests[container]
