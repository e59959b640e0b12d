"""The pool of one language: does what core decides, and hands out leases.

Everything slow, the engine above all, happens in tasks that belong to the pool,
before a hand-out or after an answer. No request waits for them by itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Self

import structlog

from sandboxd.engine.port import Engine, Resources
from sandboxd.errors import QueueFullError, SandboxdError, StartFailedError
from sandboxd.pool.container import Container, Plan, Slots
from sandboxd.pool.core import (
    Action,
    Counters,
    Create,
    HandOut,
    Member,
    PoolCore,
    Refuse,
    Remove,
    Settings,
)
from sandboxd.pool.guest import Guest
from sandboxd.pool.queue import Waiter
from sandboxd.pool.state import State
from sandboxd.pool.verify import child_faults, container_faults, is_gvisor, parse_status
from sandboxd.pool.waiting import Announcer, Tell
from sandboxd.pool.warmup import warm_up
from sandboxd_client.protocol import PoolStatus

_log = structlog.get_logger("sandboxd.pool")

RECYCLE_TIMEOUT = 15.0
"""Longer than the guest's own bound: after this its container is removed."""
_RETRY_REMOVE = 1.0
_RETRY_REMOVE_MOST = 30.0
_LAST_PATIENCE = 3.0
"""Seconds in which an engine that has failed to remove a container must remove one."""


class Lease:
    """A container for one run. Leaving it gives the container back."""

    def __init__(self, pool: Pool, member: Member, container: Container, queued: float) -> None:
        if container.guest is None:
            raise AssertionError("a member is handed out only once its guest is up")
        self.guest = container.guest
        self.container_id = container.id[:12]
        self.uses = member.uses
        self.queued = queued
        self.warm = queued == 0.0
        self.changed_resources = False
        self._pool = pool
        self._member = member
        self._fault: str | None = "its run did not end"

    def ended(self, fault: str | None = None) -> None:
        """The run is over and its namespaces are being replaced, unless there is a fault."""
        self._fault = fault

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.guest.forget()
        self._pool.give_back(self._member, self._fault, changed_resources=self.changed_resources)


class Pool:
    """Filled from the first `tick` on, emptied by `close`."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        engine: Engine,
        slots: Slots,
        starts: asyncio.Semaphore,
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._slots = slots
        self._starts = starts
        self._core = PoolCore(settings, random.random)
        self._announcer = Announcer(self._core)
        self._containers: dict[int, Container] = {}
        self._unremoved: dict[int, SandboxdError] = {}
        """Why those that should be gone are there still: their places are taken."""
        self._futures: dict[int, asyncio.Future[Member]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._shrunk = asyncio.Event()
        self._log = _log.bind(profile=plan.profile)

    def __repr__(self) -> str:
        return f"<Pool {self._plan.profile} {self._core!r}>"

    def tick(self) -> None:
        """Fills the pool, retires what is old, tries again what failed: call it often."""
        self._act(self._core.tick(time.monotonic()))

    def reconfigure(self, plan: Plan, settings: Settings) -> None:
        """New containers are made by the new plan; those of the old one end their run."""
        self._plan = plan
        self._act(self._core.reconfigure(settings, time.monotonic()))

    async def close(self, why: SandboxdError) -> None:
        """Refuses who waits, removes what is idle, and waits until all is removed.

        An engine that does not do so is not waited for: a container ends with the daemon,
        and what is left of it is swept at the next start.
        """
        self._act(self._core.close(why))
        while self._core.size:
            self._shrunk.clear()
            try:
                async with asyncio.timeout(_LAST_PATIENCE):
                    await self._shrunk.wait()
            except TimeoutError:
                if self._unremoved:
                    self._log.warning("containers not removed", left=self._core.size)
                    break
        for task in self._tasks:
            task.cancel()

    def abandon(self) -> None:
        """Ends the runs that are still under way: their containers are removed."""
        for member in self._core.members(State.LEASED):
            self._act(self._core.died(member, "the daemon stops", time.monotonic()))

    def status(self) -> PoolStatus:
        core = self._core
        return PoolStatus(
            language=self._plan.language,
            profile=self._plan.profile,
            idle=core.count(State.IDLE),
            busy=core.count(State.LEASED, State.RECYCLING),
            starting=core.count(State.STARTING),
            size=core.size,
            waiting=core.waiting,
            handed_out=core.counters.handed_out,
            recycled=core.counters.recycled,
            destroyed=core.counters.destroyed,
            failures=core.counters.failures,
            problem=str(self._problem) if self._problem else None,
            recycling=core.count(State.RECYCLING),
        )

    @property
    def _problem(self) -> Exception | None:
        """What keeps containers from being started, or else from being removed."""
        return self._core.problem or next(iter(self._unremoved.values()), None)

    @property
    def counters(self) -> Counters:
        return self._core.counters

    # --- leases ---

    async def lease(
        self,
        owner: int,
        *,
        client: int = 0,
        fresh: bool,
        timeout: float,
        resources: Resources,
        tell: Tell | None = None,
    ) -> Lease:
        """A container for one run; with `fresh`, one that nobody has used.

        Whoever has to wait is told its place, and again when that changes.

        Raises QueueFullError when too many wait or the time is up, and whatever
        keeps containers from being started when there is none to wait for.
        """
        if self._core.waiting >= self._plan.queue:
            raise QueueFullError(
                f"{self._core.waiting} runs of {self._plan.profile} wait already; try again later",
                retry_after=self._estimate(),
            )
        asked = time.monotonic()
        waiter = Waiter(owner=owner, fresh=fresh, client=client)
        member, waited = await self._wait_for_member(waiter, timeout, tell)
        container = self._containers[member.id]
        lease = Lease(self, member, container, time.monotonic() - asked if waited else 0.0)
        if resources != self._plan.resources:
            await self._give(lease, container, resources)
        return lease

    async def _wait_for_member(
        self, waiter: Waiter, timeout: float, tell: Tell | None
    ) -> tuple[Member, bool]:
        """The member that was handed to a waiter, and whether it had to wait."""
        future = self._ask_for_member(waiter)
        waited = False
        try:
            async with asyncio.timeout(timeout):
                while True:
                    if not future.done():
                        if tell is not None and not waited:
                            self._announcer.join(waiter, tell)
                        waited = True
                        await future
                    member = future.result()
                    if member.state is State.LEASED:
                        return member, waited
                    future = self._ask_for_member(waiter)  # that one died on its way here
        except BaseException as error:
            if future.done() and not future.cancelled() and not future.exception():
                self._act(self._core.handed_back(future.result(), time.monotonic()))
            if isinstance(error, TimeoutError):
                raise self._not_in_time(timeout) from None
            raise
        finally:
            del self._futures[id(waiter)]
            if waited:
                self._announcer.leave(waiter)
            if self._core.give_up(waiter):
                self.tick()  # what comes for it goes to somebody else

    def _not_in_time(self, timeout: float) -> SandboxdError:
        """What kept containers from being started or removed, or else that all are in use."""
        if isinstance(self._problem, SandboxdError):
            return self._problem.with_traceback(None)
        return QueueFullError(
            f"no container for {self._plan.profile} became free within {timeout:g} s",
            retry_after=self._estimate(),
        )

    def _ask_for_member(self, waiter: Waiter) -> asyncio.Future[Member]:
        future: asyncio.Future[Member] = asyncio.get_running_loop().create_future()
        self._futures[id(waiter)] = future
        self._act(self._core.request(waiter, time.monotonic()))
        return future

    async def _give(self, lease: Lease, container: Container, resources: Resources) -> None:
        """Limits of the run's own. A container whose limits are not known is not used again."""
        lease.changed_resources = True
        try:
            await self._engine.update(container.spec.name, resources)
        except BaseException:
            with lease:
                lease.ended("its limits could not be changed")
            raise

    def give_back(self, member: Member, fault: str | None, *, changed_resources: bool) -> None:
        """A lease has ended."""
        now = time.monotonic()
        self._announcer.served(now - member.leased_at)
        container = self._containers.get(member.id)
        if container is not None and container.guest is not None and not container.guest.namespaces:
            fault = fault or "this host gives a run no namespaces of its own"
        if container is not None and changed_resources and fault is None:
            container.restoring = self._spawn(self._restore(member, container))
        self._act(self._core.returned(member, fault, now))
        if container is not None and container.guest is not None and container.guest.waits:
            self._recycled(member)  # it was quicker than whoever had the lease
        if member.state is State.RECYCLING:
            asyncio.get_running_loop().call_later(
                RECYCLE_TIMEOUT, self._recycle_overdue, member, member.uses
            )

    async def _restore(self, member: Member, container: Container) -> None:
        try:
            await self._engine.update(container.spec.name, self._plan.resources)
        except SandboxdError as error:
            self._died(member, f"its limits could not be changed back: {error}")
        container.restoring = None
        if container.guest is not None and container.guest.waits:
            self._recycled(member)

    def _recycled(self, member: Member) -> None:
        """The guest has its next child waiting; limits must be back as well."""
        container = self._containers.get(member.id)
        if container is not None and container.restoring is None:
            self._act(self._core.recycled(member, time.monotonic()))

    def _recycle_overdue(self, member: Member, uses: int) -> None:
        if member.state is State.RECYCLING and member.uses == uses:
            self._died(member, "its namespaces were not replaced in time")

    def _estimate(self) -> float:
        """Seconds after which a place may be free: one turn of what waits."""
        return max(1.0, round(self._core.waiting / max(1, self._core.size) * 0.1, 1))

    # --- actions ---

    def _act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case HandOut(member, waiter):
                    self._hand_out(member, waiter)
                case Refuse(waiter, why):
                    future = self._futures.get(id(waiter))
                    if future is not None and not future.done():
                        future.set_exception(why)
                case Create(member):
                    slot = self._slots.take()
                    container = Container(slot, self._plan.spec(slot))
                    self._containers[member.id] = container
                    container.start = self._spawn(self._start(member, container))
                case Remove(member, why):
                    self._spawn(self._remove(member, self._containers[member.id], why))

    def _hand_out(self, member: Member, waiter: Waiter) -> None:
        future = self._futures.get(id(waiter))
        if future is None or future.done():
            self._act(self._core.handed_back(member, time.monotonic()))
        else:
            future.set_result(member)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _start(self, member: Member, container: Container) -> None:
        began = time.monotonic()
        try:
            async with self._starts:
                if member.state is not State.STARTING:
                    return
                await self._bring_up(member, container)
        except SandboxdError as error:
            failure = error
        except Exception:
            self._log.exception("a start failed for a reason nobody foresaw")
            failure = StartFailedError("a container could not be started; the log tells why")
        else:
            took = round(time.monotonic() - began, 3)
            self._log.debug("container ready", container=container.id[:12], took=took)
            self._act(self._core.started(member, time.monotonic()))
            return
        self._log.warning("container did not start", container=container.id[:12], why=str(failure))
        self._act(self._core.start_failed(member, failure, time.monotonic()))

    async def _bring_up(self, member: Member, container: Container) -> None:
        """Create, attach, start, and hear the guest say that a child waits."""
        name = container.spec.name
        container.id = await self._engine.create(container.spec)
        guest = container.guest = Guest(
            on_ready=lambda: self._recycled(member),
            on_lost=lambda why: self._died(member, why),
        )
        guest.attached(await self._engine.attach(name, guest))
        await self._engine.start(name)
        guest.welcome()
        try:
            async with asyncio.timeout(self._plan.start_timeout):
                await guest.up
                self._verify(guest, container)
                if self._plan.warmup is not None:
                    await warm_up(guest, self._plan.warmup)
        except TimeoutError:
            raise StartFailedError(
                f"the guest in {self._plan.profile} was not ready within "
                f"{self._plan.start_timeout:g} s"
            ) from None
        if guest.lost:
            raise StartFailedError("the container ended as soon as it had started")

    def _verify(self, guest: Guest, container: Container) -> None:
        """Raises StartFailedError where a container is not what was asked for."""
        plan, hello = self._plan, guest.hello.result()
        faults = [
            *container_faults(hello, plan.resources, container.spec.uid),
            *child_faults(
                parse_status(guest.proof),
                namespaces=guest.namespaces,
                uid=container.spec.uid,
                gvisor=is_gvisor(hello),
            ),
        ]
        if faults:
            raise StartFailedError(
                f"a container of {plan.profile} is not isolated as it should be, and was "
                f"destroyed: {'; '.join(faults)}"
            )

    def _died(self, member: Member, why: str) -> None:
        if member.state is State.STARTING:
            return  # its start finds out, and tells
        self._act(self._core.died(member, why, time.monotonic()))

    async def _remove(self, member: Member, container: Container, why: str) -> None:
        """Removes the container, however often the engine must be asked."""
        if container.start is not None:
            await asyncio.wait([container.start])
        if container.guest is not None:
            container.guest.close()
        pause = _RETRY_REMOVE
        while True:
            try:
                await self._engine.remove(container.spec.name)
                break
            except SandboxdError as error:
                self._unremoved[member.id] = error
                self._log.warning(
                    "container not removed, trying again",
                    container=container.id[:12],
                    error=str(error),
                    pause=pause,
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RETRY_REMOVE_MOST)
        self._log.info("container removed", container=container.id[:12], uses=member.uses, why=why)
        self._slots.free(container.slot)
        self._unremoved.pop(member.id, None)
        del self._containers[member.id]
        self._act(self._core.removed(member, time.monotonic()))
        self._shrunk.set()

    def names(self) -> set[str]:
        """The containers on the books, those not yet created or removed among them."""
        return {container.spec.name for container in self._containers.values()}
