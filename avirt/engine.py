"""The engine: one task a host. It connects, watches, lists, probes, polls, loses, backs off and connects again.

It feeds what drivers saw to the lifecycle and runs the lifecycle's effects; what the lifecycle concludes goes to the
store in the same step, so that cancellation never falls between a decision and its effect. It decides nothing about
domains. Order on each connection: link up, events armed, listing applied slice by slice, then probes and polls.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from heapq import heappop, heappush
from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus
from anyio.streams.memory import MemoryObjectSendStream
from msgspec.structs import replace

from avirt.audit import Auditor, AuditStatistics
from avirt.backoff import Backoff
from avirt.drivers.base import Driver, Env, PollPolicy, Session
from avirt.drivers.transport.loop import current_loop
from avirt.errors import (
    AuthError,
    AvirtError,
    ConnectionLost,
    InternalError,
    OperationTimeout,
    Outcomes,
    Phase,
)
from avirt.events.store import Store
from avirt.groups import foremost
from avirt.lifecycle import HostLifecycle, Now, Probe, Relist, Step, slices
from avirt.lifecycle.effect import WakeAt
from avirt.log import get_logger
from avirt.model.command import READ_TIMEOUT
from avirt.model.observation import (
    Accepted,
    Item,
    LinkLost,
    LinkUp,
    Listing,
    Overrun,
    ReadFailed,
    Scope,
)
from avirt.model.record import DomainRecord, HostState, HostStatus, Key
from avirt.model.state import Transition
from avirt.probes import QUIET, ProbeSchedule
from avirt.standstill import boottime, stood_still
from avirt.uri import URI

__all__ = ["Engine"]

LASTED: Final = 5.0
"""A link that held for so long, in seconds, was good: the next loss backs off from the start."""
REFUSED_PAUSE: Final = (60.0, 120.0)
"""Refused credentials are not tried again faster than this: accounts get locked."""
FAILED_READ_PAUSE: Final = 5.0
"""A domain or listing whose read failed is read again after this."""
OWED: Final = PollPolicy(interval=FAILED_READ_PAUSE, fast=FAILED_READ_PAUSE, slowest=60.0)
"""While a complete listing is owed (the last one was partial, or not believed), it is asked for so often."""
OVERTAKEN: Final = 5
"""So often a read is made that events overtake: who waits for it wants all that a read tells, and not for ever."""
NOT_RUNNING: Final = "avirt was ended, and did not watch until now"
TAP_SIZE: Final = 10_000
"""Items kept for one reader of native items; what it does not take in time is counted, and said."""

log = get_logger("engine")


class Tap:
    """One reader of native items. Bounded: what does not fit is counted and said as one Overrun."""

    def __init__(self, send: MemoryObjectSendStream[Item]) -> None:
        self._send = send
        self._missed = 0

    def give(self, item: Item) -> None:
        """Never waits, never raises for a slow reader."""
        try:
            if self._missed:
                self._send.send_nowait(Overrun(f"{self._missed} items were not read in time"))
                self._missed = 0
            self._send.send_nowait(item)
        except anyio.WouldBlock:
            self._missed += 1


class Listed:
    """Whoever waits for a listing that is asked for after now."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.error: AvirtError | None = None

    def finish(self, error: AvirtError | None = None) -> None:
        """The listing is applied, or failed."""
        self.error = error
        self.event.set()

    async def wait(self) -> None:
        """Return once it is applied; raise why it failed."""
        await self.event.wait()
        if self.error is not None:
            raise self.error


class Engine:
    """Looks after one host.

    Args:
        name: the host's name in this process, as Changes carry it.
        driver, uri, env: where to connect, and how.
        store: what is concluded goes there.
        audit: seconds between two audits; None for none.
        lifecycle: what concludes, if not a new one.
        uniform: the random source of back-off and poll jitter.
        wall: the wall clock.
        boot: a clock that goes on while the machine is suspended.
    """

    def __init__(
        self,
        *,
        name: str,
        uri: URI,
        driver: Driver,
        env: Env,
        store: Store,
        audit: float | None = None,
        lifecycle: HostLifecycle | None = None,
        uniform: Callable[[float, float], float] | None = None,
        wall: Callable[[], float] = time.time,
        boot: Callable[[], float] = boottime,
    ) -> None:
        self.name = name
        self.uri = uri
        self.store = store
        self._driver = driver
        self._env = env
        self._uniform = uniform or random.Random().uniform
        self._wall = wall
        self._boot = boot
        self._lifecycle = lifecycle or HostLifecycle(name)
        self._schedule = ProbeSchedule()
        self._auditor: Auditor | None = None
        if audit is not None:
            self._auditor = Auditor(
                host=name,
                every=audit,
                lifecycle=self._lifecycle,
                take=self.take,
                is_due=self._schedule.is_due,
                uniform=self._uniform,
                wall=wall,
            )
        self._backoff = Backoff(self._uniform)
        self._session: Session | None = None
        self._link_tasks: TaskGroup | None = None
        self._why = "not connected yet"
        self._wakes: list[float] = []
        self._kick = anyio.Event()
        self._armed: float | None = None
        self._clock: Callable[[], float] = anyio.current_time  # the loop's own costs a tenth, once there is a loop
        self._listing: Listed | None = None
        self._list_kick = anyio.Event()
        self._fast_until = 0.0
        self._taps: list[Tap] = []
        memory = store.look_after(HostStatus(name=name, since=self._wall()))
        if memory is not None:
            self._lifecycle.recall(
                [record for _, record in memory.records.values()],
                facts=memory.facts,
                revision=memory.revision,
                connected=memory.connected,
            )

    # ------------------------------------------------------------ for Host and Domain

    @property
    def session(self) -> Session:
        """The open session.

        Raises:
            ConnectionLost: there is none now; nothing was sent.
        """
        if self._session is None:
            raise ConnectionLost(
                f"{self.name} is not connected: {self._why}",
                outcome=Outcomes.NOT_SENT,
                hint="avirt goes on connecting; try again when the host is live",
                host=self.name,
            )
        return self._session

    @property
    def status(self) -> HostStatus:
        """Where the connection stands."""
        return self.store.status(self.name) or HostStatus(name=self.name)

    @property
    def read_only(self) -> bool:
        """Every verb is refused."""
        return self._env.read_only or (self._session is not None and self._session.facts.read_only)

    @property
    def revision(self) -> int:
        """How many Changes this host had so far."""
        return self._lifecycle.revision

    @property
    def audit(self) -> AuditStatistics:
        """What the audits have found."""
        return AuditStatistics() if self._auditor is None else self._auditor.statistics

    def record(self, key: Key) -> DomainRecord | None:
        """What the lifecycle knows of a domain, now."""
        return self._lifecycle.records.get(key)

    async def fresh(self, key: Key) -> DomainRecord | None:
        """Read one domain now; None if it does not exist. A read that an event has overtaken is made again.

        Raises:
            ConnectionLost, OperationTimeout, AvirtError: the read failed; the record is stale then.
        """
        for _ in range(OVERTAKEN):
            session = self.session
            try:
                with self._deadline(READ_TIMEOUT, "read", key):
                    item = await session.probe(key)
            except ConnectionLost:
                raise
            except AvirtError as error:
                if session is self._session:
                    self._read_failed(key, error)
                raise
            if session is not self._session:
                continue
            overtaken = self._lifecycle.is_overtaken(item)
            self.feed(item)
            if not overtaken:
                break
        return self.record(key)

    async def refresh(self) -> None:
        """List all domains now, and return once that listing is applied."""
        _ = self.session
        await self._request_listing().wait()

    def accepted(self, key: Key, transition: Transition | None, timeout: float | None) -> None:
        """A verb was accepted (or is given up: None): show what is under way; poll faster for a while."""
        now = anyio.current_time()
        self.feed(Accepted(key, transition, None if timeout is None else now + timeout))
        poll = self._session.poll if self._session is not None else None
        if poll is not None:
            self._fast_until = now + poll.fast_for
            self._list_kick.set()

    @asynccontextmanager
    async def tap(self) -> AsyncGenerator[AsyncIterator[Item]]:
        """The Items of this host as they come, across reconnects."""
        send, receive = anyio.create_memory_object_stream[Item](TAP_SIZE)
        tap = Tap(send)
        self._taps.append(tap)
        with send, receive:
            try:
                yield receive
            finally:
                self._taps.remove(tap)

    # ------------------------------------------------------------ the task

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Look after the host until cancelled. `started()` when its first listing is complete.

        Raises:
            AvirtError: the first connection failed; later ones are tried again.
            InternalError: a bug of ours.
        """
        self._clock = current_loop().now
        self.feed(LinkLost(NOT_RUNNING))  # says something only if an earlier process could not
        try:
            async with anyio.create_task_group() as tg:
                tg.start_soon(self._keep_time)
                await self._keep_link(task_status)
        except BaseExceptionGroup as group:
            error = foremost(group)
            raise error from error.__cause__
        finally:
            self._lost("closed", HostState.CLOSED)

    async def _keep_link(self, task_status: TaskStatus[None]) -> None:
        synced = False

        def first_listing_applied() -> None:
            nonlocal synced
            if not synced:
                synced = True
                task_status.started()

        while True:
            began = anyio.current_time()
            try:
                await self._link(first_listing_applied)
            except InternalError:
                raise
            except AvirtError as error:
                error.locate(host=self.name)
                if not synced:
                    raise
                if anyio.current_time() - began > LASTED:
                    self._backoff.reset()
                refused = isinstance(error, AuthError)
                delay = self._uniform(*REFUSED_PAUSE) if refused else self._backoff.next_delay()
                log.info("link lost", host=self.name, why=str(error), retry_in=round(delay, 2))
                self._lost(str(error), HostState.REFUSED if refused else HostState.LOST, delay)
                await anyio.sleep(delay)
                self.store.set_status(replace(self.status, state=HostState.CONNECTING, next_try=None))

    def _lost(self, why: str, state: HostState, delay: float | None = None) -> None:
        self._why = why
        self.feed(LinkLost(why, refused=state is HostState.REFUSED))
        status = self.status
        wall = self._wall()
        self.store.set_status(
            replace(
                status,
                state=state,
                since=wall if status.state in (HostState.LIVE, HostState.CONNECTING) else status.since,
                why=why,
                next_try=None if delay is None else wall + delay,
                synced=False,
            )
        )

    async def _link(self, on_synced: Callable[[], None]) -> None:
        """One connection, from opening to its loss. Always raises."""
        try:
            async with self._driver.open(self.uri, self._env) as session:
                self.feed(LinkUp(session.facts))
                self._session = session
                self._list_kick = anyio.Event()
                try:
                    async with anyio.create_task_group() as tg:
                        await tg.start(self._watch, session)
                        tg.start_soon(self._give_up_after_standstill)
                        await self._list(session)
                        on_synced()
                        self._link_tasks = tg
                        self._kick.set()
                        if self._auditor is not None and session.poll is None:
                            tg.start_soon(self._auditor.run, partial(self._read_listing, session))
                        try:
                            await self._keep_listing(session)
                        finally:  # before the group closes: it takes no probe any more
                            self._link_tasks = None
                except* AvirtError as lost:
                    self._lost(str(foremost(lost)), HostState.LOST)  # said before anything is awaited
                    raise
                finally:
                    self._session = None
                    self._schedule.clear()
                    if self._listing is not None:
                        self._listing.finish(ConnectionLost(f"the connection to {self.name} was lost", host=self.name))
                        self._listing = None
        except BaseExceptionGroup as group:
            error = foremost(group)
            raise error from error.__cause__
        raise ConnectionLost(f"{self.name} closed the connection", host=self.name)

    async def _watch(self, session: Session, *, task_status: TaskStatus[None]) -> None:
        await session.watch(self.take, task_status=task_status)
        raise ConnectionLost(f"{self.name} closed the connection", host=self.name)

    async def _give_up_after_standstill(self) -> None:
        still = await stood_still(self._boot)
        raise ConnectionLost(f"this process stood still for {still:.0f} s: what happened meanwhile is not known")

    # ------------------------------------------------------------ facts in, conclusions out

    def feed(self, item: Item) -> None:
        """One Item."""
        self.take((item,))

    def take(self, items: Sequence[Item]) -> None:
        """Items through the lifecycle into the store. No await from here to there."""
        for tap in self._taps:
            for item in items:
                tap.give(item)
        now = self._clock()
        self._conclude(self._lifecycle.steps(items, Now(now, self._wall())), now)

    def _conclude(self, step: Step, now: float) -> None:
        if step.changes:
            self.store.publish(step.changes)
        for effect in step.effects:
            if isinstance(effect, Probe):
                if self._session is not None:
                    self._schedule.ask(effect.key, now)
                    self._arm(now + QUIET)
            else:
                self._effect(effect)

    def _effect(self, effect: Relist | WakeAt) -> None:
        if isinstance(effect, Relist):
            log.warning("listing again", host=self.name, why=effect.why)
            if self._session is not None:
                self._request_listing()
        else:
            heappush(self._wakes, effect.at)
            self._arm(effect.at)

    def _arm(self, at: float) -> None:
        """Wake the timekeeper if it sleeps beyond this time."""
        if self._armed is None or self._armed > at:
            self._kick.set()

    # ------------------------------------------------------------ timers and probes

    async def _keep_time(self) -> None:
        """Run the lifecycle's timers and send the probes that are due, for as long as the engine lives."""
        while True:
            self._kick = anyio.Event()
            self._armed = self._next_due()
            if self._armed is None:
                await self._kick.wait()
            else:
                with anyio.move_on_at(self._armed):
                    await self._kick.wait()
            self._run_due(anyio.current_time())

    def _next_due(self) -> float | None:
        due = self._schedule.next_due() if self._link_tasks is not None else None
        if self._wakes and (due is None or self._wakes[0] < due):
            due = self._wakes[0]
        return due

    def _run_due(self, now: float) -> None:
        if self._wakes and self._wakes[0] <= now:
            while self._wakes and self._wakes[0] <= now:
                heappop(self._wakes)
            self._conclude(self._lifecycle.wake(Now(now, self._wall())), now)
        if self._link_tasks is None or self._session is None:
            return
        keys, relist = self._schedule.take(now)
        if relist:
            self._request_listing()
        for key in keys:
            self._link_tasks.start_soon(self._probe, self._session, key)

    async def _probe(self, session: Session, key: Key) -> None:
        try:
            with self._deadline(READ_TIMEOUT, "read", key):
                item = await session.probe(key)
        except ConnectionLost:
            # the watch says so, and a listing follows the next connection; if it does not, the read is still owed
            self._read_later(key)
        except AvirtError as error:
            self._read_failed(key, error)
        else:
            self.feed(item)
        finally:
            self._schedule.done(key)
            self._kick.set()

    def _read_failed(self, key: Key, error: AvirtError) -> None:
        """The record is stale from here on, so the domain is read again, whoever it was that read it now."""
        self.feed(ReadFailed(key, str(error)))
        self._read_later(key)

    def _read_later(self, key: Key) -> None:
        again = anyio.current_time() + FAILED_READ_PAUSE
        self._schedule.later(key, again)
        self._arm(again)

    # ------------------------------------------------------------ listings

    def _request_listing(self) -> Listed:
        """One listing more, asked for after now: at most one runs and one waits."""
        if self._listing is None:
            self._listing = Listed()
            self._list_kick.set()
        return self._listing

    async def _keep_listing(self, session: Session) -> None:
        """List when asked to, and poll where the session can't tell everything."""
        failures = 0
        while True:
            await self._until_listing(session.poll, failures)
            self._list_kick = anyio.Event()
            waiting, self._listing = self._listing, None
            failed: AvirtError | None = ConnectionLost(f"the connection to {self.name} was lost", host=self.name)
            try:
                await self._list(session)
                failed = None
            except ConnectionLost:
                raise
            except AvirtError as error:
                failed = error
                log.warning("listing failed", host=self.name, why=str(error))
            finally:
                if waiting is not None:
                    waiting.finish(failed)
            failures = 0 if failed is None and not self._lifecycle.owes_listing else failures + 1
            if failed is not None:
                await anyio.sleep(FAILED_READ_PAUSE)
                self._request_listing()

    async def _until_listing(self, poll: PollPolicy | None, failures: int) -> None:
        while self._listing is None:
            policy = poll or (OWED if self._lifecycle.owes_listing else None)
            if policy is None:
                await self._list_kick.wait()
                continue
            fast = anyio.current_time() < self._fast_until
            pause = policy.fast if fast else policy.interval
            pause = min(pause * 2.0 ** min(failures, 16), policy.slowest) * self._uniform(0.8, 1.2)
            self._list_kick = anyio.Event()
            with anyio.move_on_after(pause) as waited:
                await self._list_kick.wait()
            if waited.cancelled_caught and (poll is not None or self._lifecycle.owes_listing):
                return  # it is time to poll; when kicked, look again how fast

    async def _list(self, session: Session) -> None:
        listing = await self._read_listing(session)
        first = True
        for part in slices(listing):
            if not first:
                await anyio.lowlevel.checkpoint()  # a reducer never holds the loop for more than a slice
            first = False
            self.feed(part)

    async def _read_listing(self, session: Session) -> Listing:
        with self._deadline(READ_TIMEOUT, "list"):
            return await session.list(Scope.ALL)

    @contextmanager
    def _deadline(self, timeout: float, verb: str, key: Key | None = None) -> Generator[None]:
        with anyio.move_on_after(timeout) as scope:
            yield
        if scope.cancelled_caught:
            record = None if key is None else self.record(key)
            raise OperationTimeout(
                f"{self.name} did not answer within {timeout:g} s",
                phase=Phase.SENT,
                last=record,
                host=self.name,
                domain=record.name if record is not None else "",
                verb=verb,
            )
