"""A simulated daemon without its sockets: a world, who is connected to it, what becomes due.

Synchronous: whatever a client or the world does is done at once, and what has to wait is on the agenda. `sim.py` gives
it sockets and time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from heapq import heappop, heappush

from avirt.drivers.sim.domain import SimDomain
from avirt.drivers.sim.moments import WorldEvent
from avirt.drivers.sim.world import World
from avirt.model.change import DomainEvent
from avirt.model.state import DomainState
from avirt.testing.faults import WireFaults
from avirt.testing.rules import Cut, ReplaceHost, Restart, Rule, Storm
from avirt.testing.simulators.libvirt.events import Told, told_of
from avirt.testing.simulators.libvirt.peer import HungCall, Peer
from avirt.testing.simulators.libvirt.profile import Profile
from avirt.testing.simulators.libvirt.workers import Workers

__all__ = ["Auth", "Daemon"]


class Auth(StrEnum):
    """How clients of the read-write socket authenticate."""

    NONE = "none"
    POLKIT = "polkit"
    """Whoever asks is let in."""
    POLKIT_REFUSED = "polkit-refused"
    SASL = "sasl"


class Daemon:
    """See the module.

    Args:
        wake: called when the agenda may have become more urgent.
        again: ends the daemon and starts it anew.

    Attributes:
        peers: the clients that are connected.
        complaints: what clients did wrong.
        max_requests: calls of one client that are read and not answered; at the limit nothing more is read from it.
        hung: calls that hang.
        calls, told: how many calls came, and how many events went out.
        hung_up: clients that went without connect_close.
    """

    def __init__(
        self,
        world: World,
        profile: Profile,
        faults: WireFaults,
        *,
        auth: Auth,
        max_requests: int,
        keepalive: tuple[float, int],
        wake: Callable[[], None],
        again: Callable[[Restart | ReplaceHost], None],
    ) -> None:
        self.world: World = world
        self.profile: Profile = profile
        self.faults = faults
        self.auth = auth
        self.max_requests = max_requests
        self.keepalive = keepalive
        self.peers: list[Peer] = []
        self.complaints: list[str] = []
        self.workers = Workers()
        self.hung: list[HungCall] = []
        self.calls = 0
        self.told = 0
        self.hung_up = 0
        self._wake = wake
        self._again = again
        self._callbacks = 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0
        world.attach(self)
        faults.on_added = self._fault_added
        faults.on_cleared = self._fault_cleared

    # ------------------------------------------------------------ time

    def at(self, due: float, act: Callable[[], None]) -> None:
        """Do it then."""
        self._scheduled += 1
        heappush(self._agenda, (due, self._scheduled, act))
        self._wake()

    @property
    def next_due(self) -> float | None:
        """When `run_due` has something to do; None for never."""
        mine = self._agenda[0][0] if self._agenda else None
        worlds = self.world.next_due
        if mine is None or worlds is None:
            return worlds if mine is None else mine
        return min(mine, worlds)

    def run_due(self) -> None:
        """Do what is due, the world's first."""
        self.world.run_due()
        now = self.world.now()
        due: list[Callable[[], None]] = []
        while self._agenda and self._agenda[0][0] <= now:
            due.append(heappop(self._agenda)[2])
        for act in due:
            act()

    # ------------------------------------------------------------ a link of the world

    def deliver(self, event: WorldEvent | DomainEvent) -> None:
        """The world tells: so are the clients."""
        id = -1
        if isinstance(event, DomainEvent):
            domain = self.world.domains.get(event.key)
            id = -1 if domain is None or domain.id is None else domain.id
        for told in told_of(event, id):
            self.tell(told)

    def tell(self, told: Told) -> None:
        """Tell every client that asked for it."""
        for peer in tuple(self.peers):
            peer.tell(told)

    def overrun(self) -> None:
        """libvirt knows no such thing."""

    def cut(self, why: str) -> None:
        """A fault of the world's own: every client loses its connection."""
        for peer in tuple(self.peers):
            peer.cut()
        self.world.attach(self)

    def wake(self) -> None:
        """The world's agenda has changed."""
        self._wake()

    # ------------------------------------------------------------ for clients

    def next_callback(self) -> int:
        """A callback id: one counter for all clients (reference/libvirt-wire.md §9)."""
        self._callbacks += 1
        return self._callbacks - 1

    def end_clients(self) -> None:
        """The daemon ends: so does every connection, and what was under way."""
        for peer in tuple(self.peers):
            peer.cut()
        self.hung.clear()
        self.workers.reset()
        self._agenda.clear()

    # ------------------------------------------------------------ faults

    def _fault_added(self, rule: Rule) -> None:
        if isinstance(rule, Cut) and rule.after_bytes == 0:
            for peer in tuple(self.peers):
                if self.faults.find(Cut, peer.number, peer.stream.is_events, lambda each: each is rule) is not None:
                    peer.cut()
            self.faults.spend(rule)
        elif isinstance(rule, Restart | ReplaceHost):
            self.faults.spend(rule)
            self._again(rule)
        elif isinstance(rule, Storm):
            self.faults.spend(rule)
            self.storm(rule.events)
        self._streams_look_again()

    def _fault_cleared(self) -> None:
        hung, self.hung = self.hung, []
        for call in hung:
            call.again()
        self._streams_look_again()

    def _streams_look_again(self) -> None:
        for peer in tuple(self.peers):
            peer.stream.look_again()

    def storm(self, events: int) -> None:
        """So many events at once; everything is as before afterwards."""
        running: list[SimDomain] = [
            d for d in self.world.domains.values() if d.state is DomainState.RUNNING and not d.is_dead
        ]
        for index in range(events // 2 if running else 0):
            domain = running[index % len(running)]
            domain.suspend()
            domain.resume()
