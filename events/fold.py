"""What several changes of one domain are as one. Pure.

A fold has the record before the first of them and the one after the last, says by `merged` how many it stands for, and
has the number and the place of the last. Its kind is the first of these that is true, and that the reader wants:

    Removed        the domain is gone
    Added          it came into sight
    StateChanged   its state, or what is under way, is another one
    Rebooted       it was up and is up, and booted in between
    Renamed        it has another name
    Updated        anything else changed; also, if nothing did in the end

So a reader that asked for some kinds is told of each domain to which one of them happened. A domain that was taken
down and up again has booted, however that was told: by a reboot's own event, as a stop and a start (Xen, LXC, bhyve),
as a shutdown that ended in running (qemu's `on_poweroff` restart), or removed and added under the same uuid. Going on
from a saved image, from a snapshot or from another host is no boot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from avirt.model.change import Added, Rebooted, RecordChange, Removed, Renamed, StateChanged, Updated
from avirt.model.record import DomainRecord
from avirt.model.state import DomainState, PausedReason, Reason, RunningReason, ShutoffReason

__all__ = ["Fold", "Wants"]

Wants = Callable[[type[RecordChange]], bool]

# reasons are numbers: they say something only together with their state
_DOWN: Final = (DomainState.SHUTOFF, DomainState.SHUTDOWN, DomainState.CRASHED)
_KEPT: Final[frozenset[tuple[DomainState, Reason]]] = frozenset(
    {
        (DomainState.SHUTOFF, ShutoffReason.SAVED),
        (DomainState.SHUTOFF, ShutoffReason.MIGRATED),
        (DomainState.SHUTOFF, ShutoffReason.FROM_SNAPSHOT),
    }
)
"""Ends after which the guest's memory is kept somewhere."""
_BOOTED: Final = (DomainState.RUNNING, RunningReason.BOOTED)
_GOES_ON: Final[frozenset[tuple[DomainState, Reason]]] = frozenset(
    {
        (DomainState.RUNNING, RunningReason.RESTORED),
        (DomainState.RUNNING, RunningReason.MIGRATED),
        (DomainState.RUNNING, RunningReason.FROM_SNAPSHOT),
        (DomainState.RUNNING, RunningReason.POSTCOPY),
        (DomainState.PAUSED, PausedReason.MIGRATION),
        (DomainState.PAUSED, PausedReason.FROM_SNAPSHOT),
        (DomainState.PAUSED, PausedReason.POSTCOPY),
    }
)
"""Beginnings that are no boot."""


class Fold:
    """The changes of one domain's record, as they come.

    Attributes:
        last: the last of them.
        items: how many they are.
        merged: how many changes they stand for: some may be merged already.
    """

    __slots__ = ("_before", "_booted", "_came", "_fell", "_old", "_ran", "_record", "_told", "items", "last", "merged")

    def __init__(self, first: RecordChange) -> None:
        before = first.before
        self._before = self._record = before
        self._came = isinstance(first, Added)
        self._old = ""
        self._told: set[type[RecordChange]] = set()
        self._booted = False
        self._ran = before is not None and not _is_down(before)
        self._fell: DomainRecord | None = None
        self.items = 0
        self.merged = 0
        self.last = first
        self.add(first)

    def add(self, change: RecordChange) -> None:
        """The next one."""
        self.last = change
        self.merged += change.merged
        self.items += 1
        self._told.add(type(change))
        if isinstance(change, Renamed) and not self._old:
            self._old = change.old
        self._follow(change)
        self._record = change.after or change.before or self._record

    def _follow(self, change: RecordChange) -> None:
        """Watch it go down and come up again."""
        after, fell = change.after, self._fell
        if isinstance(change, Rebooted):
            self._booted = True
        if after is None or _is_down(after):
            if self._ran or fell is not None:
                self._ran = False
                self._fell = after or fell or change.before
            return
        if fell is not None and _is_booted(fell, after, at_once=not self._ran):
            self._booted = True
            self._fell = None
        self._ran = True

    def one(self, wants: Wants) -> RecordChange | None:
        """One change for all; None if the reader wants none of the kinds that it could be."""
        last = self.last
        if self.items == 1:
            return last if wants(type(last)) else None
        gone = last.after is None and wants(Removed)
        kind = Removed if gone else next(filter(wants, self._kinds()), None)
        if kind is None:
            return None
        make: Callable[..., RecordChange] = kind
        after = None if gone else self._record
        name = last.name if after is None else after.name
        if kind is Renamed:
            make = partial(Renamed, old=self._before.name if self._before is not None else self._old, new=name)
        return make(
            host=last.host,
            origin=last.origin,
            observed_at=last.observed_at,
            revision=last.revision,
            seq=last.seq,
            key=last.key,
            name=name,
            merged=self.merged,
            before=self._before,
            after=after,
        )

    def _kinds(self) -> Iterator[type[RecordChange]]:
        """What else it can be, the best first."""
        if self._came:
            yield Added
        before, after, told = self._before, self._record, self._told
        if before is None or after is None:
            moved, renamed = StateChanged in told, Renamed in told
        else:
            moved, renamed = _standing(before) != _standing(after), before.name != after.name
        rebooted = self._booted and self._ran and not (before is not None and _is_down(before))
        if moved:
            yield StateChanged
        if rebooted:
            yield Rebooted
        if renamed:
            yield Renamed
        if Updated in told or not (moved or rebooted or renamed or self._came):
            yield Updated
        if Rebooted in told:
            yield Rebooted


def _is_down(record: DomainRecord) -> bool:
    if not record.active or record.state in _DOWN:
        return True
    return record.state is DomainState.PAUSED and record.reason is PausedReason.SHUTTING_DOWN


def _is_booted(fell: DomainRecord, up: DomainRecord, *, at_once: bool) -> bool:
    """Whether a domain that went down has booted. At once it is judged by how it went and came; later its reason may
    still tell: RESUMED comes before STARTED."""
    how = (up.state, up.reason)
    return how == _BOOTED or (at_once and how not in _GOES_ON and (fell.state, fell.reason) not in _KEPT)


def _standing(record: DomainRecord) -> tuple[object, ...]:
    return record.state, record.active, record.transition
