"""Judges of a recorded stream: one checker a promise, by name. Each reads the whole recording and says what is wrong.

A checker knows nothing of how avirt works inside; its rules are those of the design, sections 2 to 4. What a reader
sees that fell behind (`complete=False`) is merged, so steps may be missing there, but order and outcome are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from avirt.events.store import apply
from avirt.model.change import (
    Added,
    Change,
    DomainChange,
    Gap,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    Origin,
    RecordChange,
    Removed,
    Renamed,
    StateChanged,
    StoreChange,
)
from avirt.model.record import Certainty, DomainRecord
from avirt.model.state import DomainState

__all__ = ["CHECKERS", "LEGAL", "Checker", "Finding", "InvalidStream", "Recording", "findings", "validate"]


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What one subscription gave.

    Attributes:
        snapshot: the records it began with.
        stream: everything after it, in order.
        view: the store's records at the end; None if not known.
        start: the seq of the snapshot; None if not known.
        complete: nothing was filtered out and the reader never fell behind: every step is there.
        settled: it was a reader of settled states (`watch(settle=)`): each domain's steps are merged, and in order.
    """

    stream: Sequence[Change | Gap]
    snapshot: Sequence[DomainRecord] = ()
    view: Sequence[DomainRecord] | None = None
    start: int | None = None
    complete: bool = True
    settled: bool = False

    @property
    def every_step(self) -> bool:
        """Nothing is merged, nothing is missing."""
        return self.complete and not self.settled


class Finding(msgspec.Struct, frozen=True):
    """One breach.

    Attributes:
        checker: its name in CHECKERS.
        index: place in the stream; None if it concerns the whole.
    """

    checker: str
    index: int | None
    text: str

    def __str__(self) -> str:
        where = "" if self.index is None else f" at {self.index}"
        return f"{self.checker}{where}: {self.text}"


class InvalidStream(AssertionError):
    """A recording breaks promises.

    Attributes:
        findings: all of them.
    """

    def __init__(self, found: Sequence[Finding]) -> None:
        shown = "\n".join(str(each) for each in found[:20])
        more = f"\n… and {len(found) - 20} more" if len(found) > 20 else ""
        super().__init__(f"{len(found)} breaches:\n{shown}{more}")
        self.findings = tuple(found)


Said = tuple[int | None, str]
Checker = Callable[[Recording], Iterator[Said]]

_UP: Final = frozenset(
    {DomainState.RUNNING, DomainState.BLOCKED, DomainState.PAUSED, DomainState.PMSUSPENDED, DomainState.SHUTDOWN}
)

LEGAL: Final[dict[DomainState, frozenset[DomainState]]] = {
    DomainState.NOSTATE: frozenset(DomainState),
    DomainState.RUNNING: frozenset(DomainState) - {DomainState.NOSTATE},
    DomainState.BLOCKED: frozenset(DomainState) - {DomainState.NOSTATE},
    DomainState.PAUSED: frozenset(DomainState) - {DomainState.NOSTATE},
    DomainState.PMSUSPENDED: frozenset(DomainState) - {DomainState.NOSTATE},
    # a guest on its way down ends, or is held or restarted there (preserve, on_poweroff=restart)
    DomainState.SHUTDOWN: frozenset(
        {DomainState.SHUTOFF, DomainState.CRASHED, DomainState.PAUSED, DomainState.RUNNING, DomainState.SHUTDOWN}
    ),
    # what is off begins with a start, running or paused
    DomainState.SHUTOFF: frozenset({DomainState.SHUTOFF, DomainState.RUNNING, DomainState.PAUSED}),
    DomainState.CRASHED: frozenset(
        {DomainState.CRASHED, DomainState.SHUTOFF, DomainState.RUNNING, DomainState.PAUSED, DomainState.SHUTDOWN}
    ),
}
"""The steps that an event can tell by itself. Any other needs a step before it, or is a conclusion."""


def _changes(recording: Recording) -> Iterator[tuple[int, Change]]:
    for index, item in enumerate(recording.stream):
        if not isinstance(item, Gap):
            yield index, item


def seq_rises(recording: Recording) -> Iterator[Said]:
    """The store's numbers rise strictly; without gaps by one. Of what has settled: for each domain."""
    last: dict[object, int] = {}
    for index, change in _changes(recording):
        line = _line(change) if recording.settled else None
        before = last.get(line, recording.start)
        if before is not None and change.seq <= before:
            yield index, f"seq {change.seq} after {before}"
        elif before is not None and recording.every_step and change.seq != before + 1:
            yield index, f"seq {change.seq} after {before}: {change.seq - before - 1} missing"
        last[line] = change.seq


def revision_steps(recording: Recording) -> Iterator[Said]:
    """Each host's numbers rise; without gaps by one. Of what has settled: each domain's."""
    last: dict[object, int] = {}
    for index, change in _changes(recording):
        if isinstance(change, StoreChange):
            continue
        line = _line(change) if recording.settled else change.host
        before = last.get(line)
        last[line] = change.revision
        if before is None:
            continue
        if change.revision <= before or (recording.every_step and change.revision != before + 1):
            yield index, f"{change.host}: revision {change.revision} after {before}"


def gaps_are_said(recording: Recording) -> Iterator[Said]:
    """A Gap counts something and its seq never falls back; a complete recording has none."""
    last = recording.start
    for index, item in enumerate(recording.stream):
        if not isinstance(item, Gap):
            last = item.seq
        elif recording.complete:
            yield index, f"a gap of {item.lost} in a recording that should be complete"
        elif item.lost < 1:
            yield index, f"a gap of {item.lost}"
        elif last is not None and item.seq < last and not recording.settled:
            yield index, f"a gap until seq {item.seq} after seq {last}"


def chain_holds(recording: Recording) -> Iterator[Said]:
    """`before` is what the domain's last Change left, in all that the hypervisor says of it."""
    known = {record.domain: record for record in recording.snapshot}
    for index, item in enumerate(recording.stream):
        if isinstance(item, RecordChange) and item.before is not None:
            last = known.get(item.domain)
            whole = item.merged == 1 or recording.settled
            if last is not None and whole and recording.complete and not _alike(last, item.before):
                yield index, f"{item.name}: before is {_brief(item.before)}, known was {_brief(last)}"
        apply(known, item)


def presence_holds(recording: Recording) -> Iterator[Said]:
    """Added comes first and once, Removed ends it; after it nothing but Added. Kinds have the records they must."""
    if not recording.complete:
        return
    known = {record.domain: record for record in recording.snapshot}
    for index, item in enumerate(recording.stream):
        if isinstance(item, RecordChange):
            present = item.domain in known
            if recording.settled and isinstance(item, Removed) and item.before is None:
                if present:
                    yield index, f"removed of {item.name}, which is there, without a record"
                continue  # it came and went
            if present is isinstance(item, Added):
                yield index, f"{item.kind} of {item.name}, which is {'there already' if present else 'not there'}"
            if (item.after is None) is not isinstance(item, Removed):
                yield index, f"{item.kind} of {item.name} with after={_brief(item.after)}"
            if (item.before is None) is not isinstance(item, Added):
                yield index, f"{item.kind} of {item.name} with before={_brief(item.before)}"
        apply(known, item)


def ids_only_while_active(recording: Recording) -> Iterator[Said]:
    """No runtime id unless active, whatever the hypervisor prints; up means active, off means not."""
    for index, change in _changes(recording):
        if isinstance(change, RecordChange) and change.after is not None:
            yield from ((index, text) for text in _activity(change.after))
    for record in (*recording.snapshot, *(recording.view or ())):
        yield from ((None, text) for text in _activity(record))


def illegal_steps_are_marked(recording: Recording) -> Iterator[Said]:
    """A step that no single event can tell is marked as inferred, or comes from a read."""
    for index, change in _changes(recording):
        if isinstance(change, StateChanged) and change.before is not None and change.after is not None:
            old, new = change.before.state, change.after.state
            if change.origin is Origin.EVENT and change.merged == 1 and new not in LEGAL.get(old, frozenset({new})):
                yield index, f"{change.name}: {old.name} → {new.name} with origin event"


def kinds_mean_it(recording: Recording) -> Iterator[Said]:
    """A Change is of the domain it names, its record carries its revision, a rename renames, a change changes."""
    for index, change in _changes(recording):
        if not isinstance(change, RecordChange):
            continue
        for record in (change.before, change.after):
            if record is not None and record.domain != change.domain:
                yield index, f"{change.kind} of {change.domain} has a record of {record.domain}"
        if change.after is not None and change.after.revision != change.revision:
            yield index, f"{change.kind}: revision {change.revision}, its record says {change.after.revision}"
        if change.before is None or change.after is None:
            continue
        if isinstance(change, Renamed) and (change.old, change.new) != (change.before.name, change.after.name):
            yield index, f"renamed {change.old} → {change.new}, records say {change.before.name} → {change.after.name}"
        if isinstance(change, Renamed) and change.old == change.new:
            yield index, f"renamed {change.old} → {change.new}"
        if isinstance(change, StateChanged) and _shown(change.before) == _shown(change.after):
            yield index, f"state_changed of {change.name}, which stays {_brief(change.after)}"


def losses_are_bracketed(recording: Recording) -> Iterator[Said]:
    """A lost host says so once and is silent until HostConnected; then comes HostResynced, or the next loss."""
    if not recording.complete:
        return
    lost: dict[str, bool] = {}
    for index, change in _changes(recording):
        if isinstance(change, HostLost):
            if lost.get(change.host) is True:
                yield index, f"{change.host} is lost twice"
            lost[change.host] = True
        elif isinstance(change, HostConnected | HostReplaced):
            lost[change.host] = False
        elif lost.get(change.host) is True and (
            isinstance(change, HostResynced)
            or (isinstance(change, DomainChange) and change.origin in (Origin.EVENT, Origin.LIST, Origin.POLL))
        ):
            yield index, f"{change.kind} of {change.host} while it is lost"


def replay_gives_view(recording: Recording) -> Iterator[Said]:
    """The stream over the snapshot gives the store's view. What only ages (certainty) follows from the host's state."""
    if recording.view is None:
        return
    known = {record.domain: record for record in recording.snapshot}
    lost: set[str] = set()
    for item in recording.stream:
        apply(known, item)
        if isinstance(item, HostLost):
            lost.add(item.host)
        elif isinstance(item, HostResynced):
            lost.discard(item.host)
    view = {record.domain: record for record in recording.view}
    for domain in sorted(known.keys() - view.keys()):
        yield None, f"{domain} is in the stream, not in the view"
    for domain in sorted(view.keys() - known.keys()):
        yield None, f"{domain} is in the view, not in the stream"
    for domain in sorted(known.keys() & view.keys()):
        if not _same(known[domain], view[domain], exactly=domain.host not in lost):
            yield None, f"{domain}: the stream says {_brief(known[domain])}, the view {_brief(view[domain])}"


CHECKERS: Final[dict[str, Checker]] = {
    checker.__name__: checker
    for checker in (
        seq_rises,
        revision_steps,
        gaps_are_said,
        chain_holds,
        presence_holds,
        ids_only_while_active,
        illegal_steps_are_marked,
        kinds_mean_it,
        losses_are_bracketed,
        replay_gives_view,
    )
}


def findings(recording: Recording, *, checkers: Iterable[str] = tuple(CHECKERS)) -> list[Finding]:
    """All breaches that these checkers find."""
    return [Finding(name, index, text) for name in checkers for index, text in CHECKERS[name](recording)]


def validate(
    stream: Sequence[Change | Gap],
    *,
    snapshot: Sequence[DomainRecord] = (),
    view: Sequence[DomainRecord] | None = None,
    start: int | None = None,
    complete: bool = True,
    settled: bool = False,
) -> None:
    """Check a recording by all checkers; see `Recording`.

    Raises:
        InvalidStream: it breaks promises; the text lists them.
    """
    recording = Recording(stream=stream, snapshot=snapshot, view=view, start=start, complete=complete, settled=settled)
    found = findings(recording)
    if found:
        raise InvalidStream(found)


def _line(change: Change) -> object:
    """Whose order holds among what has settled."""
    return change.domain if isinstance(change, DomainChange) else change.host


def _shown(record: DomainRecord) -> tuple[object, ...]:
    status = (record.state, record.active, record.reason, record.transition, record.idle, record.needs_answer)
    return (*status, record.id, record.marker)


def _alike(one: DomainRecord, other: DomainRecord) -> bool:
    """The same, but for when it was seen and how far it can be trusted."""
    return _facts(one) == _facts(other)


def _facts(record: DomainRecord) -> tuple[object, ...]:
    return (*_shown(record), record.domain, record.name, record.persistent, record.autostart)


def _same(one: DomainRecord, other: DomainRecord, *, exactly: bool) -> bool:
    if exactly:
        return one == other
    return replace(one, certainty=Certainty.LIVE, stale_since=None, stale_why="") == replace(
        other, certainty=Certainty.LIVE, stale_since=None, stale_why=""
    )


def _activity(record: DomainRecord) -> Iterator[str]:
    if record.id is not None and not record.active:
        yield f"{record.name}: id {record.id} of an inactive domain"
    if record.state in _UP and not record.active:
        yield f"{record.name}: {record.state.name} and not active"
    if record.state is DomainState.SHUTOFF and record.active:
        yield f"{record.name}: SHUTOFF and active"


def _brief(record: DomainRecord | None) -> str:
    if record is None:
        return "nothing"
    words = [record.name, record.state.name, record.reason.name, f"id={record.id}"]
    if record.transition is not None:
        words.append(str(record.transition))
    if record.persistent is not None:
        words.append("persistent" if record.persistent else "transient")
    return " ".join(words)
