"""One libvirt host as the engine sees it: `drivers.base.Session`. Joins what the other modules do."""

from __future__ import annotations

from functools import partial
from typing import Final, TypeVar, cast

from anyio.abc import TaskStatus

from avirt.drivers.base import Emit, PollPolicy, Stats
from avirt.drivers.libvirt.facts import Host
from avirt.drivers.libvirt.inventory import Inventory
from avirt.drivers.libvirt.lanes import Lanes
from avirt.drivers.libvirt.states import table_of
from avirt.drivers.libvirt.watch import Events
from avirt.errors import ConnectionLost
from avirt.model.observation import Gone, Listing, Scope, Seen
from avirt.model.record import HostFacts, Key

__all__ = ["LibvirtSession"]

T = TypeVar("T")

SECONDARY: Final = frozenset({"network", "storage", "nodedev", "secret", "nwfilter", "interface"})
"""`connect_get_type` of daemons that serve no domains (reference/libvirt-wire.md §11, §12)."""


class LibvirtSession:
    """An open connection. Made by `driver.py`."""

    def __init__(self, lanes: Lanes, host: Host, events: Events) -> None:
        self._lanes = lanes
        self._host = host
        self._events = events
        self._inventory = Inventory(lanes.control, table_of(host.type))
        self._poll: PollPolicy | None = None
        self._has_domains = host.type.lower() not in SECONDARY

    @property
    def facts(self) -> HostFacts:
        """What the host says of itself."""
        return self._host.facts

    @property
    def poll(self) -> PollPolicy | None:
        """None: events tell everything. Known once `watch` is armed."""
        return self._poll

    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        """All domains."""
        if not self._has_domains:
            return Listing(scope, True, self._lanes.control.inbound, ())
        self._give_up_if_clogged()
        return await self._inventory.read_all()

    async def probe(self, key: Key) -> Seen | Gone:
        """One domain, read freshly."""
        if not self._has_domains:
            return Gone(key, self._lanes.control.inbound)
        return await self._lanes.read(key, partial(self._inventory.probe, key))

    def _give_up_if_clogged(self) -> None:
        """A connection whose slots are held by calls that are never answered is given up: a new one has them all."""
        control = self._lanes.control
        if control.is_clogged:
            control.close(ConnectionLost("the daemon left three calls unanswered", hint="see its log"))

    async def watch(self, emit: Emit, *, task_status: TaskStatus[None]) -> None:
        """Emit Items until the connection is lost, which is raised.

        Raises:
            ConnectionLost: always, in the end.
        """
        rpc = self._lanes.control
        self._events.breaker = self._lanes.breaker
        if self._has_domains and not await self._events.register(rpc, self._host, emit):
            self._poll = PollPolicy()
        task_status.started()
        why = await rpc.wait_closed()
        raise ConnectionLost(str(why), hint=why.hint) from why

    def capability(self, kind: type[T]) -> T | None:
        """This session's implementation of a capability protocol, or None."""
        if kind is Stats and not self._inventory.has_statistics:
            return None
        from avirt.drivers.libvirt.capabilities import capability_of  # 7 ms that watching does not need

        return cast("T | None", capability_of(kind, self._lanes, has_domains=self._has_domains))
