"""The world of one simulated hypervisor: its domains, its clock's agenda, and whom it tells.

Pure but for what it is given: time is a function, chance a `random.Random`. It has no task of its own: `run_due()`
does what has become due, and whoever reads, commands or watches calls it first. Everything is synchronous, so a
caller never sees half an operation. What a session sends over it is not here (`session.py`), nor what spoils it
(`faults.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from random import Random
from typing import Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from avirt.drivers.base import Credentials
from avirt.drivers.sim.definition import read_xml
from avirt.drivers.sim.domain import OPERATION_FAILED, Config, Image, SimDomain
from avirt.drivers.sim.faults import Faults
from avirt.drivers.sim.habits import QEMU_HABITS, Habits
from avirt.drivers.sim.moments import Moment, WorldEvent
from avirt.errors import AlreadyExists, InvalidOperation, NotFound
from avirt.model.change import DomainEvent
from avirt.model.record import Key, key_of

__all__ = ["Link", "Times", "World"]


class Times(msgspec.Struct, kw_only=True):
    """How long things take in this world, seconds.

    Attributes:
        shutdown: a guest from the request to powering off.
        stopping: from powering off (SHUTDOWN) to off.
        reboot: a guest from the request to its reboot.
        save: writing an image.
        migration: copying the memory to another host.
        death: how long a killed emulator goes unnoticed (qemu: above a second, reference/libvirt-wire.md §10).
        liveness: how long a silent peer is put up with.
    """

    shutdown: float = 1.5
    stopping: float = 0.05
    reboot: float = 1.0
    save: float = 0.0
    migration: float = 0.0
    death: float = 1.2
    liveness: float = 10.0


class Link(Protocol):
    """What a session looks like from the world."""

    def deliver(self, event: WorldEvent | DomainEvent) -> None:
        """An event was told."""
        ...

    def overrun(self) -> None:
        """Events may have been lost."""
        ...

    def cut(self, why: str) -> None:
        """The link is gone."""
        ...

    def wake(self) -> None:
        """The agenda or the faults have changed."""
        ...


class World:
    """One simulated hypervisor.

    Args:
        clock: seconds, monotonic; `anyio.current_time` in an event loop.
        rng: where uuids and loads come from.
        name: the host's name.
        uuid: the host's uuid; made from its name if not given.

    Attributes:
        domains: by key, in order of appearance.
        images: saved memory by path.
        times: how long things take.
        habits: what is told, and in which order.
        domain_type: the type in the XML of domains that were not defined by XML.
        faults: what goes wrong.
        credentials: what a session must present; None: nothing.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        rng: Random,
        name: str = "sim",
        uuid: UUID | None = None,
        times: Times | None = None,
        credentials: Credentials | None = None,
        habits: Habits = QEMU_HABITS,
        domain_type: str = "sim",
    ) -> None:
        self.now = clock
        self.rng = rng
        self.name = name
        self.uuid = uuid or uuid5(NAMESPACE_URL, f"sim://{name}")
        self.times = times or Times()
        self.credentials = credentials
        self.habits = habits
        self.domain_type = domain_type
        self.domains: dict[Key, SimDomain] = {}
        self.images: dict[str, Image] = {}
        self.faults = Faults(self)
        self._last_id = 0
        self._links: list[Link] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._muted = False

    def __repr__(self) -> str:
        return f"<World {self.name} domains={len(self.domains)} links={len(self._links)}>"

    # ------------------------------------------------------------ domains

    def domain(self, which: str | UUID | Key) -> SimDomain:
        """A domain by name, uuid or key. NotFound if there is none."""
        if isinstance(which, str):
            found = next((each for each in self.domains.values() if each.name == which), None)
        else:
            found = self.domains.get(key_of(which))
        if found is None:
            shown = which if isinstance(which, str) else UUID(bytes=key_of(which))
            raise NotFound(
                f"no domain '{shown}'",
                driver="sim",
                host=self.name,
                domain=str(shown),
                code=42,  # VIR_ERR_NO_DOMAIN
                native="Domain not found",
                hint="`avirt list --all` shows what there is",
            )
        return found

    def add(
        self,
        name: str,
        *,
        uuid: UUID | None = None,
        running: bool = False,
        persistent: bool = True,
        autostart: bool = False,
        config: Config | None = None,
    ) -> SimDomain:
        """A new domain, running or off."""
        if any(each.name == name for each in self.domains.values()):
            raise self._taken(name)
        key = key_of(uuid or self._make_uuid())
        if key in self.domains:
            raise self._taken(str(uuid))
        domain = self._appear(key, name, config or Config(), persistent=persistent)
        domain.autostart = autostart
        if persistent:
            domain.announce(Moment.DEFINED_ADDED)
        if running or not persistent:
            domain.start()
        return domain

    def define(self, xml: str) -> SimDomain:
        """virDomainDefineXMLFlags."""
        definition = read_xml(xml)
        domain = self._matching(definition.name, definition.uuid)
        if domain is None:
            return self.add(definition.name, uuid=definition.uuid, config=definition.config)
        # what runs keeps its configuration until it is started again; the simulation does not keep both
        domain.config = definition.config
        moment = Moment.DEFINED_UPDATED if domain.persistent else Moment.DEFINED_ADDED
        domain.persistent = True
        domain.announce(moment)
        return domain

    def create(self, xml: str, *, paused: bool = False) -> SimDomain:
        """virDomainCreateXML: a transient domain, or a defined one started from other XML."""
        definition = read_xml(xml)
        domain = self._matching(definition.name, definition.uuid)
        if domain is None:
            key = key_of(definition.uuid or self._make_uuid())
            domain = self._appear(key, definition.name, definition.config, persistent=False)
        elif domain.active:
            raise InvalidOperation(
                f"domain '{domain.name}' is already active",
                driver="sim",
                domain=domain.name,
                code=55,
                hint="stop it first",
            )
        else:
            domain.config = definition.config
        domain.start(paused=paused)
        return domain

    def restore(self, path: str, *, running: bool = False, paused: bool = False) -> SimDomain:
        """virDomainRestoreFlags. The file stays."""
        image = self.images.get(path)
        if image is None:
            raise NotFound(f"no saved image '{path}'", driver="sim", host=self.name, code=38)
        domain = self._matching(image.name, UUID(bytes=image.key))
        if domain is None:
            domain = self._appear(image.key, image.name, image.config, persistent=False)
        domain.restore(image, running=running, paused=paused)
        return domain

    def migrate_in(self, image: Image, *, persistent: bool = True) -> SimDomain:
        """A domain comes from another host."""
        domain = self.expect(image)
        domain.arrive(image, persistent=persistent)
        return domain

    def expect(self, image: Image) -> SimDomain:
        """A domain is on its way here from another host; `SimDomain.arrive` or `stay_away` ends it."""
        domain = self._matching(image.name, UUID(bytes=image.key))
        if domain is None:
            domain = self._appear(image.key, image.name, image.config, persistent=False)
        elif domain.active:
            raise self._taken(image.name)
        domain.come()
        return domain

    def entered(self, domain: SimDomain) -> None:
        """A domain is in another state, or in the same for another reason. Nothing, here: for who keeps a history."""

    def forget(self, domain: SimDomain) -> None:
        """It is no longer listed."""
        self.domains.pop(domain.key, None)

    def clear(self) -> None:
        """Nothing of it is left, nor of what was to happen to its domains."""
        for domain in self.domains.values():
            domain.incarnation += 1
        self.domains.clear()
        self.images.clear()

    def next_id(self) -> int:
        """A runtime id never used before."""
        self._last_id += 1
        return self._last_id

    # ------------------------------------------------------------ time

    def after(self, delay: float, act: Callable[[], None]) -> None:
        """Do something later. In order of time, then of asking."""
        self._scheduled += 1
        heappush(self._agenda, (self.now() + delay, self._scheduled, act))
        for link in tuple(self._links):
            link.wake()

    @property
    def next_due(self) -> float | None:
        """When `run_due` has something to do, or None."""
        return self._agenda[0][0] if self._agenda else None

    def run_due(self) -> None:
        """Do all that was due before this call; what that adds waits for the next one, so it always ends."""
        now = self.now()
        last = self._scheduled
        later = []
        while self._agenda and self._agenda[0][0] <= now:
            entry = heappop(self._agenda)
            if entry[1] > last:
                later.append(entry)
            else:
                entry[2]()
        for entry in later:
            heappush(self._agenda, entry)

    # ------------------------------------------------------------ telling

    @property
    def links(self) -> tuple[Link, ...]:
        """The sessions that are connected."""
        return tuple(self._links)

    def attach(self, link: Link) -> None:
        """A session begins."""
        self._links.append(link)

    def detach(self, link: Link) -> None:
        """A session has ended."""
        if link in self._links:
            self._links.remove(link)

    def tell(self, event: WorldEvent | DomainEvent) -> None:
        """Tell every session, unless a fault loses it."""
        if self._muted or self.faults.loses_event():
            return
        for link in tuple(self._links):
            link.deliver(event)

    @contextmanager
    def muted(self) -> Iterator[World]:
        """Nothing of what is done in here is told."""
        before, self._muted = self._muted, True
        try:
            yield self
        finally:
            self._muted = before

    # ------------------------------------------------------------ inside

    def _appear(self, key: Key, name: str, config: Config, *, persistent: bool) -> SimDomain:
        load = self.rng.uniform(0.02, 0.9)
        domain = SimDomain(self, key, name, config, persistent=persistent, load=load)
        self.domains[key] = domain
        return domain

    def _matching(self, name: str, uuid: UUID | None) -> SimDomain | None:
        """The domain with this name and uuid; AlreadyExists if only one of them fits."""
        by_uuid = None if uuid is None else self.domains.get(key_of(uuid))
        by_name = next((each for each in self.domains.values() if each.name == name), None)
        if by_uuid is not by_name:
            raise self._taken(name if by_name else str(uuid))
        return by_uuid

    def _make_uuid(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128), version=4)

    def _taken(self, what: str) -> AlreadyExists:
        return AlreadyExists(
            f"a domain '{what}' exists already, with another name or uuid",
            driver="sim",
            host=self.name,
            code=OPERATION_FAILED,
            hint="undefine it, or choose another name and uuid",
        )
