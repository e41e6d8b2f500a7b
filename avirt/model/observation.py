"""What a driver hands to the engine: observations and the other Items. Facts only, no conclusions.

Time: `asked` counts the inbound messages of a host on one connection. Of an event it is the count at its arrival, of
a reply the count when the bytes of its call were written. A fact is as old as its `asked`: the lifecycle applies a
reply to a domain only if no event of that domain came later than it was asked (the rule of time).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum, auto

import msgspec

from avirt.model.change import DomainEvent, Origin
from avirt.model.record import NO_NATIVE, HostFacts, Key, Native
from avirt.model.state import NormalState, Transition

__all__ = [
    "Accepted",
    "Cause",
    "Gone",
    "Item",
    "LinkLost",
    "LinkUp",
    "Listing",
    "ListingSlice",
    "NativeEvent",
    "Observation",
    "Overrun",
    "ReadFailed",
    "Scope",
    "Seen",
    "Signal",
]


class Signal(StrEnum):
    """What an event says happened, in any hypervisor. A read has none: it only says what is."""

    DEFINED = auto()
    """A configuration was made or changed: persistent from now on."""
    UNDEFINED = auto()
    """The configuration is gone: an inactive domain is gone, an active one is transient now."""
    RENAMED_FROM = auto()
    """One half of a rename: the old name goes. Changes nothing by itself."""
    RENAMED = auto()
    """The other half: `name` is the new name."""
    STARTED = auto()
    """Active now. `status` None: the state has to be read (migrated in, restored, from a snapshot)."""
    SUSPENDED = auto()
    RESUMED = auto()
    SHUTDOWN = auto()
    """On its way down."""
    STOPPED = auto()
    """Inactive now. Its runtime id is never to be stored."""
    PMSUSPENDED = auto()
    CRASHED = auto()
    """`active` says whether a process is left."""
    REBOOTED = auto()
    """Rebooted while it kept its runtime id."""
    CONTROL_LOST = auto()
    """The hypervisor lost its own control over the domain: read again after 0.2, 0.5, 1 and 2 s."""


class Cause(msgspec.Struct, frozen=True):
    """The hypervisor's own words for an event, e.g. ("lifecycle", "Started", "Booted")."""

    event: str
    type: str = ""
    detail: str = ""


class Observation(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a driver saw of one domain.

    Attributes:
        name: None where not said.
        status: the driver's state table applied to `native`; None if the evidence names no state.
        active, persistent, autostart: None where not said.
        id: the runtime id as the hypervisor prints it, stale or not; None where not said.
        marker: what changes at every boot; None where not said.
        signal: what the event said happened; None for a read.
        cause: the native event, for people; None for a read.
        asked: see the module.
    """

    key: Key
    name: str | None = None
    status: NormalState | None = None
    active: bool | None = None
    persistent: bool | None = None
    autostart: bool | None = None
    id: int | None = None
    marker: int | str | None = None
    native: Native = NO_NATIVE
    origin: Origin = Origin.POLL
    asked: int = 0
    signal: Signal | None = None
    cause: Cause | None = None


class Scope(StrEnum):
    """What a listing covers."""

    ALL = auto()


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A domain was seen, by an event or by a read."""

    observation: Observation


class Gone(msgspec.Struct, frozen=True, gc=False):
    """A read of this domain was answered: there is none."""

    key: Key
    asked: int = 0
    origin: Origin = Origin.POLL


class Listing(msgspec.Struct, frozen=True):
    """The answer to one listing. `complete` False: filtered or partial, it removes nothing."""

    scope: Scope
    complete: bool
    asked: int
    items: Sequence[Observation]
    origin: Origin = Origin.LIST


class ListingSlice(msgspec.Struct, frozen=True):
    """A part of a listing, so that no reducer holds the loop for more than 512 items.

    Attributes:
        keys: with the first and the last slice of a complete listing, all keys of it: what is not among them is gone.
        last: the listing ends with this slice.
    """

    scope: Scope
    asked: int
    items: Sequence[Observation]
    origin: Origin
    last: bool
    keys: frozenset[Key] | None = None


class NativeEvent(msgspec.Struct, frozen=True, gc=False):
    """A typed event that does not bear on the lifecycle: passed through, in order."""

    event: DomainEvent
    asked: int = 0


class ReadFailed(msgspec.Struct, frozen=True, gc=False):
    """A read of this domain failed: its record is stale, its state stays as last known."""

    key: Key
    why: str


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A verb of ours was accepted (`transition`), or is given up (None).

    Attributes:
        expires: monotonic; the transition ends by then even if nothing was observed. None: no end.
    """

    key: Key
    transition: Transition | None
    expires: float | None = None


class LinkUp(msgspec.Struct, frozen=True):
    """Connected. Counts of `asked` begin anew."""

    facts: HostFacts


class LinkLost(msgspec.Struct, frozen=True):
    """The connection is lost, or could not be made again.

    Attributes:
        refused: the credentials were refused.
    """

    why: str
    refused: bool = False


class Overrun(msgspec.Struct, frozen=True):
    """The source may have lost something: list again."""

    why: str


Item = Seen | Gone | ListingSlice | NativeEvent | ReadFailed | Accepted | LinkUp | LinkLost | Overrun
"""What `lifecycle.step` takes. A Listing is fed slice by slice."""
