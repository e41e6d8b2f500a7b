"""The store: records of domains and hosts, and the ring of the changes that made them. Pure.

`publish` numbers changes, keeps them and brings the records up to date, at a constant price a change and with no await,
so that no reader ever sees half of it. Reading is the business of `cursor.py`, waiting of `subscription.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec.structs import force_setattr, replace

from avirt.errors import InvalidArgument, RevisionTooOld
from avirt.events.cursor import Cursor, Walk
from avirt.events.filters import EVERYTHING, Filter
from avirt.events.policies import Latest, Slow, TooOld, What
from avirt.events.records import Records
from avirt.events.token import Token, is_epoch
from avirt.events.window import Window
from avirt.model.change import (
    Change,
    Gap,
    HostChange,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    Rebooted,
    RecordChange,
    StateChanged,
)
from avirt.model.record import Certainty, DomainKey, DomainRecord, HostState, HostStatus, Key

if TYPE_CHECKING:
    from avirt.events.notifier import Notifier
    from avirt.events.subscription import Subscription

__all__ = ["CAPACITY", "Snapshot", "Store", "apply"]

CAPACITY: Final = 200_000
"""About 86 MB of changes when the ring is full: minutes of a storm on a thousand hosts."""

_NOTHING: Final[Mapping[Key, DomainRecord]] = MappingProxyType({})
W = TypeVar("W", bound=What)

# a domain's key is 16 bytes: these are a host's own places
_LINK: Final = Key(b"link")
_REPLACED: Final = Key(b"replaced")


def apply(records: MutableMapping[DomainKey, DomainRecord], change: Change | Gap) -> None:
    """Bring records up to date with what a subscription gave: replaying a stream over its snapshot gives the view."""
    if isinstance(change, RecordChange):
        if change.after is None:
            records.pop(change.domain, None)
        else:
            records[change.domain] = change.after
    elif isinstance(change, HostReplaced):
        for domain in [domain for domain in records if domain.host == change.host]:
            del records[domain]
    elif isinstance(change, Gap) and change.reset:
        records.clear()


def _later(latest: dict[Key, Latest[W]], after: int) -> list[Latest[What]]:
    """All of them if any came after `after`; what came before is cut off elsewhere."""
    if latest and next(reversed(latest.values())).seq > after:
        return [*latest.values()]
    return []


class Snapshot(msgspec.Struct, frozen=True):
    """The view at one moment."""

    records: Sequence[DomainRecord]
    hosts: Mapping[str, HostStatus]


class _Host:
    """What is known of one host. All three dicts are in order of seq: what changes goes to the end."""

    __slots__ = (
        "cleared",
        "connected",
        "domains",
        "lost_at",
        "lost_why",
        "marks",
        "others",
        "records",
        "revision",
        "status",
        "tombs",
    )

    def __init__(self, status: HostStatus, *, cleared: int = 0) -> None:
        self.status = status
        self.revision = status.revision
        self.domains: dict[Key, Latest[DomainRecord]] = {}
        self.tombs: dict[Key, Latest[RecordChange]] = {}
        self.marks: dict[Key, Latest[HostChange]] = {}
        self.records = Records(self.domains)
        self.others = 0  # seq of the last change that can't be merged
        self.cleared = cleared  # changes up to this seq are those of another host
        self.connected = 0  # seq of the last HostConnected
        # wall clock and reason of a loss that was not yet made good by a complete listing
        self.lost_at: float | None = None
        self.lost_why = ""

    def current(self) -> HostStatus:
        """The status, with the revision."""
        if self.status.revision != self.revision:
            self.status = replace(self.status, revision=self.revision)
        return self.status


class Store:
    """Records of all hosts, and a ring of their changes.

    One store belongs to one event loop; it has no lock. `subscribe` is its readers' way in.

    Attributes:
        epoch: a random id of this store, part of every token.
        wake: called after each publish; the notifier's.
    """

    def __init__(self, *, capacity: int = CAPACITY, epoch: str | None = None) -> None:
        if epoch is None:
            from avirt.events.subscription import new_epoch

            epoch = new_epoch()
        elif not is_epoch(epoch):
            raise InvalidArgument(f"not an epoch: {epoch[:80]!r}", hint="letters, digits, - and _, at most 64")
        self.epoch = epoch
        self.wake: Callable[[], None] | None = None
        self.closed = False
        self.window = Window(capacity)
        self.horizon = 0
        """Removals up to this seq may be forgotten."""
        self._hosts: dict[str, _Host] = {}
        self._tombs: deque[tuple[_Host, Key, Latest[RecordChange]]] = deque()
        self._walks: deque[Walk] = deque()
        self._notifier: Notifier | None = None

    # ------------------------------------------------------------ the writer's side

    @property
    def head(self) -> int:
        """The number of the last change; 0 before the first."""
        return self.window.head

    @property
    def oldest(self) -> int:
        """The number of the oldest change kept; `head + 1` if there is none."""
        return self.window.oldest

    def publish(self, changes: Sequence[Change]) -> None:
        """Number changes, keep them, apply them; then wake who waits.

        A change without a number is stamped in place (it belongs to the store from here on), another one is copied.
        """
        window = self.window
        hosts = self._hosts
        for change in changes:
            seq = window.head + 1
            if change.seq:
                change = replace(change, seq=seq)  # noqa: PLW2901
            else:
                force_setattr(change, "seq", seq)
            pruned = window.append(change)
            if pruned is not None and isinstance(pruned, RecordChange):
                self._prune(pruned)
            host = hosts.get(change.host)
            if host is None:
                host = self._open(HostStatus(name=change.host), seq - 1)
            if change.revision:
                host.revision = change.revision
            if isinstance(change, RecordChange):
                self._keep(host, change, seq)
            else:
                host.others = seq
                self._host_change(host, change, seq)
        if changes and self.wake is not None:
            self.wake()

    def set_status(self, status: HostStatus) -> None:
        """Say where the connection to a host stands; for what no Change tells (connecting, the next try)."""
        host = self._hosts.get(status.name)
        if host is None:
            self._open(status, self.window.head)
            return
        host.status = status
        host.revision = max(host.revision, status.revision)

    def forget(self, host: str) -> None:
        """Drop a host that is no longer watched, with its records. Readers are not told."""
        self._hosts.pop(host, None)

    def close(self) -> None:
        """No change comes any more: subscriptions end after what is left."""
        self.closed = True
        if self.wake is not None:
            self.wake()

    def _open(self, status: HostStatus, head: int) -> _Host:
        # changes of an earlier host of that name may still be in the ring
        host = self._hosts[status.name] = _Host(status, cleared=head)
        return host

    def _keep(self, host: _Host, change: RecordChange, seq: int) -> None:
        """One domain's change: its record, and its place among the latest."""
        key = change.key
        domains = host.domains
        old = domains.pop(key, None)
        after = change.after
        if after is None:
            self._bury(host, change, seq, old)
        elif old is not None:
            moved = seq if isinstance(change, StateChanged | Rebooted) else old.moved
            domains[key] = Latest(after, change.origin, seq, old.born, old.added, moved, old.kept + 1)
        else:
            tomb = host.tombs.pop(key, None)
            born, kept = (seq, 0) if tomb is None else (tomb.born, tomb.kept)
            domains[key] = Latest(after, change.origin, seq, born, seq, seq, kept + 1)

    def _bury(self, host: _Host, change: RecordChange, seq: int, old: Latest[What] | None) -> None:
        """Keep a memory of a removed domain, and the memory of them bounded."""
        key = change.key
        if old is None:
            old = host.tombs.pop(key, None)
        bare = replace(change, before=None)
        born, kept = (seq, 0) if old is None else (old.born, old.kept)
        tomb = Latest(bare, change.origin, seq, born, seq, seq, kept + 1)
        host.tombs[key] = tomb
        self._tombs.append((host, key, tomb))
        if len(self._tombs) > self.window.capacity:
            host, key, tomb = self._tombs.popleft()
            if host.tombs.get(key) is tomb:
                del host.tombs[key]
                self.horizon = tomb.seq

    def _prune(self, change: RecordChange) -> None:
        """A domain's change has left the ring."""
        host = self._hosts.get(change.host)
        if host is not None and change.seq > host.cleared:
            latest = host.domains.get(change.key) or host.tombs[change.key]
            latest.kept -= 1

    def _host_change(self, host: _Host, change: Change, seq: int) -> None:
        """A host's own change: its status follows."""
        match change:
            case HostConnected():
                host.connected = seq
                host.status = HostStatus(
                    name=change.host, state=HostState.LIVE, since=change.observed_at, facts=change.facts
                )
            case HostResynced():
                host.lost_at, host.lost_why = None, ""
                host.status = replace(host.status, state=HostState.LIVE, why="", next_try=None, synced=True)
            case HostLost():
                if host.lost_at is None:
                    host.lost_at, host.lost_why = change.observed_at, change.why
                host.status = replace(
                    host.status,
                    state=HostState.REFUSED if change.refused else HostState.LOST,
                    since=change.observed_at,
                    why=change.why,
                    next_try=None,
                    synced=False,
                )
            case HostReplaced():
                host.domains.clear()
                host.tombs.clear()
                host.cleared = seq
                host.status = replace(host.status, facts=change.after)
                self._mark(host, _REPLACED, change, seq)
                return
            case _:
                return
        self._mark(host, _LINK, change, seq)

    def _mark(self, host: _Host, key: Key, change: HostChange, seq: int) -> None:
        host.marks.pop(key, None)
        host.marks[key] = Latest(change, change.origin, seq, seq, seq, seq, 0)

    # ------------------------------------------------------------ what is known

    def status(self, host: str) -> HostStatus | None:
        """Where the connection to a host stands; None if there is no such host."""
        known = self._hosts.get(host)
        return None if known is None else known.current()

    @property
    def hosts(self) -> Mapping[str, HostStatus]:
        """The status of every host, as of now."""
        return {name: host.current() for name, host in self._hosts.items()}

    def records(self, host: str) -> Mapping[Key, DomainRecord]:
        """A host's records as they were last observed; a live, read-only view."""
        known = self._hosts.get(host)
        return _NOTHING if known is None else known.records

    def record(self, host: str, key: Key) -> DomainRecord | None:
        """One domain's record as it was last observed."""
        known = self._hosts.get(host)
        return None if known is None else known.records.get(key)

    def view(self, *, filter: Filter = EVERYTHING) -> list[DomainRecord]:
        """All records with the certainty that follows from their hosts."""
        found: list[DomainRecord] = []
        for name, host in self._hosts.items():
            if not filter.wants_host(name):
                continue
            records: Iterable[DomainRecord] = host.records.values()
            if filter.restricts_records:
                records = filter.select(records)
            if host.status.state is not HostState.LIVE or host.lost_at is not None:
                records = (self._overlay(host, record) for record in records)
            found.extend(records)
        return found

    def view_of(self, host: str, key: Key) -> DomainRecord | None:
        """One domain's record with the certainty that follows from its host."""
        known = self._hosts.get(host)
        if known is None:
            return None
        record = known.records.get(key)
        if record is None or (known.status.state is HostState.LIVE and known.lost_at is None):
            return record
        return self._overlay(known, record)

    def _overlay(self, host: _Host, record: DomainRecord) -> DomainRecord:
        """The record, stale if its host would not tell."""
        status = host.status
        if status.state is HostState.LIVE and host.domains[record.key].seq > host.connected:
            return record  # seen since the host came back
        if record.certainty is not Certainty.LIVE:
            return record
        return replace(
            record,
            certainty=Certainty.STALE,
            stale_since=status.since if host.lost_at is None else host.lost_at,
            stale_why=host.lost_why or status.why,
        )

    # ------------------------------------------------------------ the readers' side

    @property
    def notifier(self) -> Notifier:
        """Who wakes the waiting readers; `notifier.run()` is a task of whoever owns the store."""
        if self._notifier is None:
            from avirt.events.notifier import Notifier

            self._notifier = Notifier()
            self.wake = self._notifier.notify
        return self._notifier

    def snapshot(self, *, filter: Filter = EVERYTHING) -> Snapshot:
        """Records and hosts as of now."""
        return Snapshot(self.view(filter=filter), self.hosts)

    def cursor(
        self,
        *,
        filter: Filter = EVERYTHING,
        slow: Slow = Slow.COALESCE,
        since: Token | None = None,
    ) -> Cursor:
        """A place in the stream: the head, or right after a token; RevisionTooOld if that is gone."""
        seq = self.window.head if since is None else since.seq
        if since is not None:
            reason = ""
            if since.epoch != self.epoch:
                reason = "epoch"
            elif seq > self.window.head:
                reason = "ahead"
            elif seq + 1 < self.window.oldest:
                reason = "pruned"
            if reason:
                raise RevisionTooOld(oldest=self.window.oldest, head=self.window.head, reason=reason)
        return Cursor(self, seq=seq, filter=filter, slow=slow)

    def subscribe(
        self,
        *,
        filter: Filter = EVERYTHING,
        slow: Slow = Slow.COALESCE,
        since: str | Token | None = None,
        too_old: TooOld = TooOld.RAISE,
    ) -> Subscription:
        """A snapshot and every change after it; or, with a token, every change after that.

        Raises:
            InvalidArgument: `since` is no token.
            RevisionTooOld: the changes after the token are gone, and `too_old` says to raise.
        """
        from avirt.events.subscription import Subscription

        token = Token.parse(since) if isinstance(since, str) else since
        try:
            cursor = self.cursor(filter=filter, slow=slow, since=token)
        except RevisionTooOld:
            if too_old is TooOld.RAISE:
                raise
            token = None
            cursor = self.cursor(filter=filter, slow=slow)
        return Subscription(self, cursor, None if token is not None else self.snapshot(filter=filter))

    def others_since(self, seq: int, filter: Filter) -> bool:
        """Whether a change that can't be merged came after `seq` on a host that the filter wants."""
        return any(host.others > seq and filter.wants_host(name) for name, host in self._hosts.items())

    def walk(self, after: int) -> Walk:
        """The latest of everything that changed after `after`, in order, as of now.

        The lists that are still being read are bounded together by the ring's size; the oldest are emptied for that,
        and their readers ask again.
        """
        lists: list[list[Latest[What]]] = []
        for host in self._hosts.values():
            lists += _later(host.domains, after), _later(host.tombs, after), _later(host.marks, after)
        walk = Walk([entries for entries in lists if entries], after=after, until=self.window.head)
        walks = self._walks = deque(other for other in self._walks if len(other))
        walks.append(walk)
        room = self.window.capacity - sum(len(other) for other in walks)
        while room < 0 and walks[0] is not walk:
            other = walks.popleft()
            room += len(other)
            other.drop()
        return walk
