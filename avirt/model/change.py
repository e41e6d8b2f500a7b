"""Change: what the lifecycle concludes, one frozen class a kind, tagged `kind` in snake case.

The hypervisor's other events are Changes too (`native_event.py`), so that one stream holds all in order.
"""

from __future__ import annotations

import re
from enum import StrEnum
from uuid import UUID

import msgspec

from avirt.model.record import DomainKey, DomainRecord, HostFacts, Key

__all__ = [
    "Added",
    "Change",
    "DomainChange",
    "DomainEvent",
    "DuplicateHost",
    "Gap",
    "HostChange",
    "HostConnected",
    "HostLost",
    "HostReplaced",
    "HostResynced",
    "JournalLost",
    "Migrated",
    "Origin",
    "Rebooted",
    "RecordChange",
    "Removed",
    "Renamed",
    "SplitBrain",
    "StateChanged",
    "StoreChange",
    "Updated",
]


class Origin(StrEnum):
    """How avirt came to know."""

    EVENT = "event"
    LIST = "list"
    POLL = "poll"
    """Read singly, or in turn."""
    RESYNC = "resync"
    """Listed after a reconnect."""
    INFERRED = "inferred"
    """A step that must have happened but was not told."""
    AUDIT = "audit"


def snake_case(name: str) -> str:
    """`HostLost` → `host_lost`, `IOError` → `io_error`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="kind", tag=snake_case):
    """Base of all kinds.

    Attributes:
        host: the host's name in this process.
        origin: how avirt came to know.
        observed_at: wall clock, seconds since the epoch; for people, never for order.
        revision: the host's own number, one step a Change.
        seq: the store's number, over all its hosts. Stamped by the store.
    """

    host: str
    origin: Origin = Origin.EVENT
    observed_at: float = 0.0
    revision: int = 0
    seq: int = 0

    @property
    def kind(self) -> str:
        """The tag, e.g. "state_changed"."""
        return str(self.__struct_config__.tag)


class DomainChange(Change, frozen=True, kw_only=True):
    """A Change of one domain.

    Attributes:
        merged: how many Changes this one stands for; more than 1 only after a reader fell behind, or for one that
            wants settled states.
    """

    key: Key
    name: str = ""
    merged: int = 1

    @property
    def uuid(self) -> UUID:
        """The domain's uuid."""
        return UUID(bytes=self.key)

    @property
    def domain(self) -> DomainKey:
        """The domain's identity; `host.domain(change.domain)` gives the handle."""
        return DomainKey(self.host, self.key)


class DomainEvent(DomainChange, frozen=True, kw_only=True):
    """Base of the hypervisor's other events, one class a kind in `native_event.py`."""


class RecordChange(DomainChange, frozen=True, kw_only=True):
    """A Change of a domain's record.

    Attributes:
        before: the record before; None for Added, and where the steps before were merged away.
        after: the record after; None for Removed.
    """

    before: DomainRecord | None = None
    after: DomainRecord | None = None


class Added(RecordChange, frozen=True, kw_only=True):
    """A domain came into sight."""


class Removed(RecordChange, frozen=True, kw_only=True):
    """A domain is gone: undefined, or transient and stopped."""


class StateChanged(RecordChange, frozen=True, kw_only=True):
    """Its state or its transition changed."""


class Rebooted(RecordChange, frozen=True, kw_only=True):
    """It rebooted: with the same runtime id, or with a new one."""


class Renamed(RecordChange, frozen=True, kw_only=True):
    """It has a new name; the uuid stays."""

    old: str = ""
    new: str = ""


class Updated(RecordChange, frozen=True, kw_only=True):
    """Anything else of its record changed: reason, runtime id, persistence, autostart, flags, certainty."""


class Migrated(DomainChange, frozen=True, kw_only=True):
    """A domain moved between two hosts, both of which were watched. `host` is the target."""

    source: str = ""
    target: str = ""


class SplitBrain(DomainChange, frozen=True, kw_only=True):
    """Two copies of one domain run on two live hosts."""

    hosts: tuple[str, ...] = ()


class HostChange(Change, frozen=True, kw_only=True):
    """A Change of the host itself."""


class HostConnected(HostChange, frozen=True, kw_only=True):
    """The connection stands; the listing comes next."""

    facts: HostFacts


class HostLost(HostChange, frozen=True, kw_only=True):
    """The connection is lost: every record of this host is stale from now on."""

    why: str = ""
    refused: bool = False


class HostResynced(HostChange, frozen=True, kw_only=True):
    """The listing after a connect is applied: every record of this host is live again."""

    domains: int = 0


class HostReplaced(HostChange, frozen=True, kw_only=True):
    """Another host answers under the same URI: the old one's records leave the view with this one Change."""

    before: HostFacts
    after: HostFacts


class DuplicateHost(HostChange, frozen=True, kw_only=True):
    """The same host is watched twice, under another name."""

    other: str = ""


class StoreChange(Change, frozen=True, kw_only=True):
    """A Change of what all hosts share, the store: `host` is "", `revision` is 0. It passes every filter of hosts."""


class JournalLost(StoreChange, frozen=True, kw_only=True):
    """The journal is not what it was: what comes after this is not written down any more, or in a new file.

    The stream goes on. Its numbers belong to another epoch from here on.

    Attributes:
        why: for people.
        epoch: the new one, as tokens show it.
        aside: where the damaged file was moved to, or "".
        renewed: a new journal was begun in its place; else there is none until the next start.
    """

    why: str
    epoch: str = ""
    aside: str = ""
    renewed: bool = False


class Gap(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """Not a Change: this reader did not see `lost` changes.

    Attributes:
        lost: changes of the store between what it read last and what comes next.
        since: wall clock of the last change it read, or of its start.
        seq: what comes next comes after this seq, or stands merged for what came until it.
        reset: forget every record: so much was missed that the changes that follow name all there are.
    """

    lost: int
    since: float
    seq: int
    reset: bool = False
