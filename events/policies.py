"""What is kept, what a reader gets that fell behind it, and the merging of what it missed. Pure.

The ring holds the last changes of all domains. Beside it the store keeps one `Latest` a domain (and a few a host), in
order of their seq: the stream without what newer changes made obsolete. A reader that coalesces goes through that from
its place on, instead of through the ring. Removed domains leave a `Latest` too, the tombstone; there are at most as
many as the ring has places. A reader from before the oldest of them starts all over (`Gap.reset`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec
from msgspec.structs import replace

from avirt.model.change import Added, Change, HostChange, Origin, RecordChange, StateChanged, Updated
from avirt.model.record import DomainRecord

__all__ = ["Latest", "Retention", "Slow", "TooOld", "What", "merge"]

What = DomainRecord | RecordChange | HostChange

What_co = TypeVar("What_co", bound=What, covariant=True)


class Slow(StrEnum):
    """What happens to a reader that falls behind the ring."""

    COALESCE = "coalesce"
    """It gets the latest of every domain that changed, in order, marked `merged=n`; a Gap before it if something was
    missed that can't be merged."""
    GAP = "gap"
    """It gets a Gap that counts what is lost, and goes on with the oldest change kept."""
    DISCONNECT = "disconnect"
    """It gets SlowSubscriber."""


class TooOld(StrEnum):
    """What happens when a token can't be resumed from."""

    RAISE = "raise"
    """RevisionTooOld."""
    SNAPSHOT = "snapshot"
    """A new snapshot instead."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How much a journal keeps; what goes beyond any of these limits is removed, oldest first. None: no limit.

    Attributes:
        rows: changes. A change takes about 300 bytes.
        bytes: of the file, without its write-ahead log (a few MiB).
        age: seconds since it was written.
    """

    rows: int | None = 1_000_000
    bytes: int | None = 1 << 30
    age: float | None = 7 * 86400.0


class Latest(msgspec.Struct, Generic[What_co], gc=False, eq=False):
    """The latest of one domain or host. A new one at each change; only `kept` is ever changed in place.

    Attributes:
        what: a domain's record; the change, without records, that removed it; or a host's own Change.
        origin: of the change.
        seq: its number.
        born: the number of the change that first brought the domain into sight, as far as is remembered.
        added: the number of the last one that did.
        moved: the number of the last one that changed its state.
        kept: how many of its changes the ring holds.
    """

    what: What_co
    origin: Origin
    seq: int
    born: int
    added: int
    moved: int
    kept: int


def merge(latest: Latest[What], *, since: int, seen: int) -> Change | None:
    """One change for all that a reader missed of a domain or host; None if there is nothing to say.

    Args:
        since: the reader's view is that of this seq, …
        seen: … and may hold single domains as they were until this one.
    """
    what = latest.what
    if isinstance(what, HostChange):
        return what
    merged = latest.kept or 1
    if isinstance(what, RecordChange):
        if latest.born > seen:
            return None
        return replace(what, merged=merged) if merged > 1 else what
    if latest.added > since:
        kind: type[Added | StateChanged | Updated] = Added
    elif latest.moved > since:
        kind = StateChanged
    else:
        kind = Updated
    return kind(
        host=what.host,
        origin=latest.origin,
        observed_at=what.observed_at,
        revision=what.revision,
        seq=latest.seq,
        key=what.key,
        name=what.name,
        merged=merged,
        after=what,
    )
