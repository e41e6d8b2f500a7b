"""What a fake daemon serves: domains with their states, and the calls that the driver reads them by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import (
    RemoteConnectListAllDomainsRet,
    RemoteDomain,
    RemoteDomainGetInfoRet,
    RemoteDomainGetStateRet,
    RemoteDomainStatsRecord,
    RemoteError,
    RemoteTypedParam,
)
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.rpc import OnEvents
from avirt.drivers.libvirt.session import Rpc
from avirt.model.record import Key
from tests.drivers.libvirt.fake_daemon import FakeDaemon, complaint, connected

NO_DOMAIN = complaint(42, "Domain not found")
NO_SUPPORT = complaint(3, "this function is not supported by the connection driver")


class Fake(msgspec.Struct):
    """One domain; `active` None: as its id says."""

    name: str
    state: int = 1
    reason: int = 1
    id: int = -1
    persistent: bool = True
    autostart: bool = False
    saved: bool = False
    active: bool | None = None
    read_error: RemoteError | None = None

    @property
    def key(self) -> Key:
        return key_of_name(self.name)

    @property
    def remote(self) -> RemoteDomain:
        return RemoteDomain(self.name, self.key, self.id)

    @property
    def is_active(self) -> bool:
        return self.id >= 0 if self.active is None else self.active


def key_of_name(name: str) -> Key:
    return Key(name.encode().ljust(16, b"\0")[:16])


Handler = Callable[..., object]


class World:
    """Domains, and the handlers that serve them."""

    def __init__(self, *domains: Fake) -> None:
        self.domains = {fake.key: fake for fake in domains}
        self.refused: dict[Procedure[Any], RemoteError] = {}
        self.refused_flags: dict[int, RemoteError] = {}
        self.hidden: set[int] = set()
        """Flags of list filters that show nothing, as if a domain moved between two of them."""

    def __getitem__(self, name: str) -> Fake:
        return self.domains[key_of_name(name)]

    def add(self, fake: Fake) -> None:
        self.domains[fake.key] = fake

    def prepare(self, daemon: FakeDaemon) -> None:
        """Serve these."""
        handlers: dict[Procedure[Any], Handler] = {
            Proc.CONNECT_GET_ALL_DOMAIN_STATS: self._stats,
            Proc.CONNECT_LIST_ALL_DOMAINS: self._list_all,
            Proc.CONNECT_NUM_OF_DOMAINS: lambda: len([d for d in self._all() if d.is_active]),
            Proc.CONNECT_NUM_OF_DEFINED_DOMAINS: lambda: len([d for d in self._all() if not d.is_active]),
            Proc.CONNECT_LIST_DOMAINS: lambda room: tuple(d.id for d in self._all() if d.is_active),
            Proc.CONNECT_LIST_DEFINED_DOMAINS: lambda room: tuple(d.name for d in self._all() if not d.is_active),
            Proc.DOMAIN_LOOKUP_BY_ID: lambda number: self._one(lambda d: d.id == number, _remote),
            Proc.DOMAIN_LOOKUP_BY_NAME: lambda name: self._one(lambda d: d.name == name, _remote),
            Proc.DOMAIN_LOOKUP_BY_UUID: lambda uuid: self._one(lambda d: d.key == uuid, _remote),
            Proc.DOMAIN_GET_STATE: lambda dom, flags: self._of(
                dom, lambda d: d.read_error or RemoteDomainGetStateRet(d.state, d.reason)
            ),
            Proc.DOMAIN_GET_INFO: lambda dom: self._of(
                dom, lambda d: d.read_error or RemoteDomainGetInfoRet(d.state, 2048, 1024, 1, 7)
            ),
            Proc.DOMAIN_IS_PERSISTENT: lambda dom: self._of(dom, lambda d: int(d.persistent)),
            Proc.DOMAIN_GET_AUTOSTART: lambda dom: self._of(dom, lambda d: int(d.autostart)),
            Proc.DOMAIN_IS_ACTIVE: lambda dom: self._of(dom, lambda d: int(d.is_active)),
        }
        for procedure, handler in handlers.items():
            daemon.handlers[procedure] = self._unless_refused(procedure, handler)

    def _unless_refused(self, procedure: Procedure[Any], handler: Handler) -> Handler:
        return lambda *args: self.refused[procedure] if procedure in self.refused else handler(*args)

    def _all(self) -> Iterable[Fake]:
        return self.domains.values()

    def _one(self, holds: Callable[[Fake], bool], answer: Callable[[Fake], object]) -> object:
        for fake in self._all():
            if holds(fake):
                return answer(fake)
        return NO_DOMAIN

    def _of(self, dom: RemoteDomain, answer: Callable[[Fake], object]) -> object:
        return self._one(lambda fake: fake.key == dom.uuid, answer)

    def _stats(self, doms: object, stats: int, flags: int) -> object:
        return tuple(
            RemoteDomainStatsRecord(
                d.remote,
                ()
                if d.read_error
                else (
                    RemoteTypedParam("state.state", 1, d.state),
                    RemoteTypedParam("state.reason", 1, d.reason),
                ),
            )
            for d in self._all()
        )

    def _list_all(self, need_results: int, flags: int) -> object:
        if flags in self.refused_flags:
            return self.refused_flags[flags]
        filters: tuple[tuple[int, Callable[[Fake], bool]], ...] = (
            (1, lambda d: d.is_active),
            (4, lambda d: d.persistent),
            (8, lambda d: not d.persistent),
            (16, lambda d: d.state == 1),
            (32, lambda d: d.state == 3),
            (64, lambda d: d.state == 5),
            (128, lambda d: d.state not in (1, 3, 5)),
            (256, lambda d: d.saved),
            (1024, lambda d: d.autostart),
        )
        wanted = [holds for bit, holds in filters if flags & bit]
        found = tuple(d.remote for d in self._all() if all(holds(d) for holds in wanted))
        if flags in self.hidden:
            found = ()
        return RemoteConnectListAllDomainsRet(found, len(found))


def _remote(fake: Fake) -> RemoteDomain:
    return fake.remote


@asynccontextmanager
async def serving(world: World, *, on_events: OnEvents | None = None) -> AsyncIterator[tuple[Rpc, FakeDaemon]]:
    """A connection to a daemon that serves this world."""
    async with connected(prepare=world.prepare, on_events=on_events) as (rpc, daemon):
        yield rpc, daemon
