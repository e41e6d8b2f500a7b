"""What is known of a domain and of a host: records, keys, certainty."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType
from uuid import UUID

import msgspec

from avirt.model.state import DomainState, Reason, Transition

__all__ = [
    "NO_NATIVE",
    "Certainty",
    "DomainKey",
    "DomainRecord",
    "HostFacts",
    "HostState",
    "HostStatus",
    "Key",
    "Native",
    "key_of",
]

Key = NewType("Key", bytes)
"""A domain within its host: the 16 bytes of its uuid (a UUID object costs 1.6 µs: made when asked for)."""

Native = Mapping[str, int | str]
"""The hypervisor's own words for a state, kept beside ours."""

NO_NATIVE: Final[Native] = MappingProxyType({})


def key_of(uuid: UUID | str | bytes) -> Key:
    """The key of a uuid in any form; ValueError if it is none."""
    if isinstance(uuid, UUID):
        return Key(uuid.bytes)
    if isinstance(uuid, bytes):
        if len(uuid) != 16:
            raise ValueError("a uuid has 16 bytes")
        return Key(uuid)
    return Key(UUID(uuid).bytes)


class DomainKey(msgspec.Struct, frozen=True, gc=False, order=True):
    """The identity of a domain over all hosts."""

    host: str
    key: Key

    @property
    def uuid(self) -> UUID:
        """The domain's uuid."""
        return UUID(bytes=self.key)

    def __str__(self) -> str:
        return f"{self.host}/{self.uuid}"


class Certainty(StrEnum):
    """How far a record can be trusted."""

    LIVE = "live"
    """The host is connected and would have told."""
    STALE = "stale"
    """Last known: the host is lost, or the domain's own read failed."""
    UNKNOWN = "unknown"
    """Never known."""


class DomainRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is known of one domain. Immutable: each change makes a new one.

    Attributes:
        host: the host's name in this process.
        key: 16 bytes of uuid; `uuid` makes a UUID of it.
        id: the runtime id (domid, pid, …), None unless the domain is active.
        marker: what changes at every boot, or None.
        native: the hypervisor's own evidence for the state.
        observed_at: wall clock, seconds since the epoch; for people, never for order.
        since: wall clock of the last change of state; None if it was never seen to change.
        revision: the host's revision of the last Change of this domain.
        stale_since, stale_why: set while certainty is not live.
    """

    host: str
    key: Key
    name: str
    state: DomainState
    reason: Reason
    id: int | None = None
    active: bool = False
    transition: Transition | None = None
    idle: bool = False
    needs_answer: bool = False
    persistent: bool | None = None
    autostart: bool | None = None
    marker: int | str | None = None
    native: Native = NO_NATIVE
    certainty: Certainty = Certainty.LIVE
    observed_at: float = 0.0
    since: float | None = None
    revision: int = 0
    stale_since: float | None = None
    stale_why: str = ""

    @property
    def uuid(self) -> UUID:
        """The domain's uuid."""
        return UUID(bytes=self.key)

    @property
    def domain(self) -> DomainKey:
        """The domain's identity over all hosts."""
        return DomainKey(self.host, self.key)


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of itself; known once connected.

    Attributes:
        uuid: the host's identity. Not the URI; made from uuid and name where native uuids are all alike.
        hostname: the host's own name.
        product: the hypervisor, as it names itself ("QEMU", "Xen", "TEST").
        version: of the hypervisor (major, minor, micro), or None.
        driver: the avirt driver that speaks to it.
        driver_version: of the server or library in between (libvirt), or None.
        read_only: every verb is refused.
    """

    uuid: UUID
    hostname: str
    product: str
    driver: str
    version: tuple[int, int, int] | None = None
    driver_version: tuple[int, int, int] | None = None
    read_only: bool = False


class HostState(StrEnum):
    """Where the connection to a host stands."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"
    REFUSED = "refused"
    """Credentials were refused: not retried fast."""
    CLOSED = "closed"


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one host.

    Attributes:
        name: the host's name in this process.
        since: wall clock of the last change of `state`.
        why: for people, while not live.
        next_try: wall clock of the next attempt, while lost.
        facts: of the last successful connection.
        synced: the first listing of this connection is complete.
        revision: the host's number of Changes so far.
    """

    name: str
    state: HostState = HostState.CONNECTING
    since: float = 0.0
    why: str = ""
    next_try: float | None = None
    facts: HostFacts | None = None
    synced: bool = False
    revision: int = 0
