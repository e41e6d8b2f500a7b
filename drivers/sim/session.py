"""A session with a simulated world: answers that take their time, a link that can be lost, a life that goes on.

An answer is made half-way through its latency, so that events may overtake it: what makes the rule of time necessary
on a real link can be had here on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, cast

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from avirt.drivers.base import Definitions, Emit, HostInfo, PollPolicy, Power, Stats
from avirt.drivers.sim import observe
from avirt.drivers.sim.capabilities import SimDefinitions, SimHostInfo, SimPower, SimStats
from avirt.drivers.sim.domain import Job
from avirt.drivers.sim.moments import WorldEvent
from avirt.drivers.sim.world import World
from avirt.errors import ConnectionLost, LocalProtocolError, NativeError, Outcomes, Unsupported
from avirt.model.change import DomainEvent, Origin
from avirt.model.command import Verb
from avirt.model.observation import Gone, Listing, NativeEvent, Overrun, Scope, Seen
from avirt.model.record import HostFacts, Key

__all__ = ["SimSession"]

T = TypeVar("T")

VERSION: Final = (1, 0, 0)


class SimSession:
    """One connection to a world. Made by `SimDriver.open`.

    Args:
        latency: seconds from a call to its answer.
        read_only: what would change something is refused.
    """

    def __init__(self, world: World, *, uri: str, latency: float = 0.0, read_only: bool = False) -> None:
        self.world = world
        self.uri = uri
        self._latency = latency
        self._facts = HostFacts(
            uuid=world.uuid,
            hostname=world.name,
            product="SIM",
            driver="sim",
            version=VERSION,
            driver_version=VERSION,
            read_only=read_only,
        )
        self._inbound = 0
        self._emit: Emit | None = None
        self._lost = ""
        self._changed = anyio.Event()
        self._capabilities: dict[type, object] = {
            Power: None if read_only else SimPower(self),
            Definitions: SimDefinitions(self),
            HostInfo: SimHostInfo(self),
            Stats: SimStats(self),
        }
        self._autodestroy: list[tuple[Key, int]] = []

    def __repr__(self) -> str:
        return f"<SimSession {self.uri} {'lost' if self._lost else 'open'} inbound={self._inbound}>"

    # ------------------------------------------------------------ for the engine

    @property
    def facts(self) -> HostFacts:
        """What the host says of itself."""
        return self._facts

    @property
    def poll(self) -> PollPolicy | None:
        """Events tell everything."""
        return None

    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        """All domains; all but `faults.hidden` of them, said to be incomplete, under that fault."""
        asked = self._inbound
        faults = self.world.faults

        def look() -> Listing:
            if faults.fails_list():
                raise NativeError("the listing failed", driver="sim", host=self.world.name, code=1, native="simulated")
            domains = tuple(self.world.domains.values())
            shown = domains[: len(domains) - min(faults.hidden, len(domains))]
            items = [observe.read(each, asked, Origin.LIST, stale_id=faults.stale_ids) for each in shown]
            return Listing(scope, len(shown) == len(domains), asked, items)

        return await self.call(look)

    async def probe(self, key: Key) -> Seen | Gone:
        """One domain."""
        asked = self._inbound
        faults = self.world.faults

        def look() -> Seen | Gone:
            domain = self.world.domains.get(key)
            if faults.fails_read(key):
                raise NativeError("the read failed", driver="sim", host=self.world.name, code=1, native="simulated")
            if domain is None:
                return observe.gone(key, asked)
            return Seen(observe.read(domain, asked, Origin.POLL, stale_id=faults.stale_ids))

        return await self.call(look, key=key)

    async def watch(self, emit: Emit, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Emit what the world tells, and let its time pass, until the link is lost."""
        if self._emit is not None:
            raise LocalProtocolError("this session is watched already", driver="sim", host=self.world.name)
        await anyio.lowlevel.checkpoint()
        self._check_link(Outcomes.NOT_SENT)
        self._emit = emit
        try:
            task_status.started()
            while True:
                changed = self._changed
                self.world.run_due()
                self._check_link(Outcomes.UNKNOWN)
                due = self.world.next_due
                with anyio.move_on_after(None if due is None else max(0.0, due - self.world.now())):
                    await changed.wait()
        finally:
            self._emit = None

    def capability(self, kind: type[T]) -> T | None:
        """The implementation of a capability protocol, or None."""
        return cast("T | None", self._capabilities.get(kind))

    # ------------------------------------------------------------ for the world

    def deliver(self, event: WorldEvent | DomainEvent) -> None:
        """An event arrives."""
        if self._emit is None:
            return
        self._inbound += 1
        if isinstance(event, WorldEvent):
            self._emit((observe.told(event, self._inbound),))
        else:
            self._emit((NativeEvent(event, self._inbound),))

    def overrun(self) -> None:
        """Events may have been lost."""
        if self._emit is not None:
            self._emit((Overrun("simulated"),))

    def cut(self, why: str) -> None:
        """The link is gone; whatever waits is woken."""
        self._lost = why
        self.wake()

    def wake(self) -> None:
        """Whoever waits looks again."""
        self._changed.set()
        self._changed = anyio.Event()

    # ------------------------------------------------------------ for the capabilities

    async def call(self, work: Callable[[], T], *, key: Key | None = None, verb: Verb | None = None) -> T:
        """Send a call and wait for its answer.

        Raises:
            ConnectionLost: NOT_SENT if the link was gone before, UNKNOWN if it is lost meanwhile.
        """
        self._check_link(Outcomes.NOT_SENT)
        if verb is not None and verb in self.world.faults.unsupported:
            await anyio.lowlevel.checkpoint()
            raise Unsupported(
                f"the simulated hypervisor has no '{verb}'",
                driver="sim",
                host=self.world.name,
                verb=verb,
                hint="`avirt doctor` says what this connection can do",
            )
        half = (self._latency + self.world.faults.delay_of(key)) / 2
        await self._pass(half)
        while self.world.faults.is_mute(key):
            await self._changed.wait()
            self._check_link(Outcomes.UNKNOWN)
        self.world.run_due()
        self._check_link(Outcomes.UNKNOWN)
        answer = work()
        await self._pass(half)
        self._inbound += 1
        return answer

    async def finish(self, job: Job) -> None:
        """Wait until a job of the world has ended."""
        await self._pass(max(0.0, job.due - self.world.now()))
        self.world.run_due()
        job.result()

    def destroy_on_close(self, key: Key) -> None:
        """This incarnation ends with the session."""
        self._autodestroy.append((key, self.world.domains[key].incarnation))

    def close(self) -> None:
        """The session ends; the world goes on."""
        self.world.detach(self)
        self.cut("closed")
        for key, incarnation in self._autodestroy:
            domain = self.world.domains.get(key)
            if domain is not None and domain.active and domain.incarnation == incarnation:
                domain.destroy()

    # ------------------------------------------------------------ inside

    async def _pass(self, seconds: float) -> None:
        """Let time pass; a lost link ends it."""
        until = anyio.current_time() + seconds
        await anyio.lowlevel.checkpoint()
        self._check_link(Outcomes.UNKNOWN)
        while anyio.current_time() < until:
            with anyio.move_on_at(until):
                await self._changed.wait()
            self._check_link(Outcomes.UNKNOWN)

    def _check_link(self, outcome: Outcomes) -> None:
        if self._lost:
            raise ConnectionLost(
                f"{self.world.name}: {self._lost}",
                outcome=outcome,
                hint="connect again",
                host=self.world.name,
            )
