"""The store: records of domains and hosts, and the ring of the changes that made them. Pure.

`publish` numbers changes, keeps them and brings the records up to date, at a constant price a change and with no await,
so that no reader ever sees half of it. Reading is the business of `cursor.py`, waiting of `subscription.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import force_setattr, replace

from avirt.errors import InvalidArgument, RevisionTooOld
from avirt.events.cursor import Cursor, Walk
from avirt.events.filters import EVERYTHING, Filter
from avirt.events.hosts import HostMemory, KnownHost
from avirt.events.policies import Latest, Slow, TooOld
from avirt.events.token import Token, is_epoch
from avirt.events.window import Window
from avirt.model.change import Change, Gap, HostReplaced, RecordChange, StoreChange
from avirt.model.record import DomainKey, DomainRecord, HostState, HostStatus, Key

if TYPE_CHECKING:
    from avirt.events.journal import Journal
    from avirt.events.notifier import Notifier
    from avirt.events.runs import Runs
    from avirt.events.subscription import Subscription

__all__ = ["CAPACITY", "Sizes", "Snapshot", "Store", "apply"]

CAPACITY: Final = 200_000
"""About 86 MB of changes when the ring is full: minutes of a storm on a thousand hosts."""

_NOTHING: Final[Mapping[Key, DomainRecord]] = MappingProxyType({})


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


class Snapshot(msgspec.Struct, frozen=True):
    """The view at one moment."""

    records: Sequence[DomainRecord]
    hosts: Mapping[str, HostStatus]


class Sizes(msgspec.Struct, frozen=True):
    """How much a store holds.

    Attributes:
        changes: in the ring.
        domains: records.
        removed: domains that are gone and remembered, for readers that are behind.
        waiting: entries of the lists that readers are catching up with.
    """

    changes: int
    domains: int
    removed: int
    waiting: int


class Store:
    """Records of all hosts, and a ring of their changes.

    One store belongs to one event loop; it has no lock. `subscribe` is its readers' way in. `open_store` makes one with
    a journal.

    Args:
        head: the number before the first change; another one than 0 goes on where an earlier process ended.
        memory: what that process knew of its hosts. A host has it from when it is looked after again.

    Attributes:
        epoch: a random id of this store, part of every token.
        wake: called after each publish; the notifier's.
        journal: where changes are written down, if they are.
    """

    def __init__(
        self,
        *,
        capacity: int = CAPACITY,
        epoch: str | None = None,
        head: int = 0,
        memory: Mapping[str, HostMemory] | None = None,
    ) -> None:
        if epoch is None:
            from avirt.events.subscription import new_epoch

            epoch = new_epoch()
        elif not is_epoch(epoch):
            raise InvalidArgument(f"not an epoch: {epoch[:80]!r}", hint="letters, digits, - and _, at most 64")
        self.epoch = epoch
        self.wake: Callable[[], None] | None = None
        self.closed = False
        self.journal: Journal | None = None
        self.window = Window(capacity, head=head)
        self.horizon = head
        """Removals up to this seq may be forgotten."""
        self._hosts: dict[str, KnownHost] = {}
        self._memory = dict(memory or {})
        self._runs: Runs | None = None
        self._former: Token | None = None  # the epoch before this one, and how far it came
        self._own_change = 0  # seq of the last StoreChange
        self._tombs: deque[tuple[KnownHost, Key, Latest[RecordChange]]] = deque()
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
        host: KnownHost | None = None
        name = ""
        for change in changes:
            seq = window.head + 1
            if change.seq:
                change = replace(change, seq=seq)  # noqa: PLW2901
            else:
                force_setattr(change, "seq", seq)
            pruned = window.append(change)
            if pruned is not None:
                known = hosts.get(pruned.host)
                if known is not None and isinstance(pruned, RecordChange):
                    known.prune(pruned)
            if host is None or change.host is not name:
                if isinstance(change, StoreChange):
                    self._own_change = seq
                    continue
                name = change.host
                host = hosts.get(name) or self._open(HostStatus(name=name), seq - 1)
            if change.revision:
                host.revision = change.revision
            if isinstance(change, RecordChange):
                tomb = host.keep(change, seq)
                if tomb is not None:
                    self._bury(host, change.key, tomb)
            else:
                host.follow(change, seq)
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
        self._memory.pop(host, None)
        if self.journal is not None:
            self.journal.forget(host)

    def close(self) -> None:
        """No change comes any more: subscriptions end after what is left."""
        self.closed = True
        if self.wake is not None:
            self.wake()

    def _open(self, status: HostStatus, head: int) -> KnownHost:
        # changes of an earlier host of that name may still be in the ring
        host = self._hosts[status.name] = KnownHost(status, cleared=head)
        memory = self._memory.get(status.name)
        if memory is not None:
            host.recall(memory)
        return host

    def _bury(self, host: KnownHost, key: Key, tomb: Latest[RecordChange]) -> None:
        """Keep the memory of removed domains bounded."""
        self._tombs.append((host, key, tomb))
        if len(self._tombs) > self.window.capacity:
            host, key, tomb = self._tombs.popleft()
            if host.tombs.get(key) is tomb:
                del host.tombs[key]
                self.horizon = tomb.seq

    # ------------------------------------------------------------ the journal's side

    def attach(self, journal: Journal, runs: Runs) -> None:
        """Changes are written down from here on: `journal.collect` is called after each publish, before readers run."""
        self.journal = journal
        self._runs = runs
        notify = self.notifier.notify

        def wake() -> None:
            journal.collect()
            notify()

        self.wake = wake

    def detach(self, epoch: str) -> None:
        """They are not written down any more, so that their numbers may be used again later: for another epoch."""
        self._runs = None
        self._former = Token(self.epoch, self.window.head)
        self.epoch = epoch

    def token(self, seq: int) -> Token:
        """The token of a place."""
        former = self._former
        return Token(self.epoch if former is None or seq > former.seq else former.epoch, seq)

    def look_after(self, status: HostStatus) -> HostMemory | None:
        """A host is looked after from now on; what an earlier connection, or process, knew of it."""
        memory = self.left(status.name)
        self.set_status(status if memory is None else replace(status, facts=memory.facts))
        return memory or self.recall(status.name)

    def recall(self, host: str) -> HostMemory | None:
        """What an earlier process knew of a host; once."""
        return self._memory.pop(host, None)

    def left(self, host: str) -> HostMemory | None:
        """What is known of a host that nobody looks after any more; None if somebody does, or nobody ever did."""
        known = self._hosts.get(host)
        return known.memory() if known is not None and known.status.state is HostState.CLOSED else None

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
            if filter.wants_host(name):
                records: Iterable[DomainRecord] = host.records.values()
                if filter.restricts_records:
                    records = filter.select(records)
                found.extend(records if host.live else map(host.shown, records))
        return found

    def view_of(self, host: str, key: Key) -> DomainRecord | None:
        """One domain's record with the certainty that follows from its host."""
        known = self._hosts.get(host)
        record = None if known is None else known.records.get(key)
        return record if known is None or record is None else known.shown(record)

    def sizes(self) -> Sizes:
        """How much is held; for metrics and tests of bounds."""
        hosts = self._hosts.values()
        return Sizes(
            changes=len(self.window),
            domains=sum(len(host.domains) for host in hosts),
            removed=sum(len(host.tombs) for host in hosts),
            waiting=sum(len(walk) for walk in self._walks),
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
        disk: bool = True,
    ) -> Cursor:
        """A place in the stream: the head, or right after a token; RevisionTooOld if that is gone.

        Args:
            disk: a place that only the journal has will do.
        """
        seq = self.window.head
        if since is not None:
            seq = since.seq
            reason = self._refusal(since)
            if not reason and self._runs is not None:
                seq = self._runs.start(seq)
            if not reason and not disk and seq + 1 < self.window.oldest:
                reason = "pruned"
            if reason:
                oldest = self.window.oldest if self._runs is None else self._runs.oldest
                raise RevisionTooOld(oldest=oldest, head=self.window.head, reason=reason)
        return Cursor(self, seq=seq, filter=filter, slow=slow)

    def _refusal(self, token: Token) -> str:
        """Why a token can't be resumed from, or ""."""
        window, seq = self.window, token.seq
        if token.epoch != (self.epoch if self._former is None or seq > self._former.seq else self._former.epoch):
            return "epoch"
        if seq > window.head:
            return "ahead"
        if seq + 1 >= window.oldest:
            return ""
        if self._runs is None:
            return "pruned"
        self._runs.last = window.head
        return self._runs.refusal(seq)

    def subscribe(
        self,
        *,
        filter: Filter = EVERYTHING,
        slow: Slow = Slow.COALESCE,
        since: str | Token | None = None,
        too_old: TooOld = TooOld.RAISE,
        settle: float | None = None,
        durable: bool = False,
    ) -> Subscription:
        """A snapshot and every change after it; or, with a token, every change after that.

        Args:
            settle: hold each domain's changes back until it has been quiet for so many seconds (`settle.py`). The
                journal has no part in that: what the ring has lost is too old.
            durable: give a change only once it is on disk.

        Raises:
            InvalidArgument: `since` is no token; `settle` is not above 0; `durable` without a journal or with `settle`.
            ResourceError: `durable`, and the journal is lost.
            RevisionTooOld: the changes after the token are gone, and `too_old` says to raise.
        """
        from avirt.events.subscription import Subscription

        if settle is not None and not 0 < settle < inf:
            raise InvalidArgument(f"settling for {settle} s can't work", hint="give seconds above 0, or nothing")
        if settle is not None and durable:
            raise InvalidArgument("what settles is not on disk as it is given", hint="leave out settle, or durable")
        read = filter if settle is None else filter.before_settling
        token = Token.parse(since) if isinstance(since, str) else since
        try:
            cursor = self.cursor(filter=read, slow=slow, since=token, disk=settle is None)
        except RevisionTooOld:
            if too_old is TooOld.RAISE:
                raise
            token = None
            cursor = self.cursor(filter=read, slow=slow)
        snapshot = None if token is not None else self.snapshot(filter=filter)
        if settle is not None:
            from avirt.events.settled import Settled

            return Settled(self, cursor, snapshot, settle=settle, filter=filter)
        if durable or cursor.seq + 1 < self.window.oldest:
            if self.journal is None:
                raise InvalidArgument("there is no journal, so nothing is durable", hint="connect with journal=PATH")
            return self.journal.subscription(cursor, snapshot, durable=durable)
        return Subscription(self, cursor, snapshot)

    def others_since(self, seq: int, filter: Filter) -> bool:
        """Whether a change that can't be merged came after `seq` on a host that the filter wants."""
        return self._own_change > seq or any(
            host.others > seq and filter.wants_host(name) for name, host in self._hosts.items()
        )

    def walk(self, after: int) -> Walk:
        """The latest of everything that changed after `after`, in order, as of now.

        The lists that are still being read are bounded together by the ring's size; the oldest are emptied for that,
        and their readers ask again.
        """
        lists = [latest for host in self._hosts.values() for latest in host.later(after)]
        walk = Walk(lists, after=after, until=self.window.head)
        walks = self._walks = deque(other for other in self._walks if len(other))
        walks.append(walk)
        room = self.window.capacity - sum(len(other) for other in walks)
        while room < 0 and walks[0] is not walk:
            other = walks.popleft()
            room += len(other)
            other.drop()
        return walk
