"""Calls on one connection: which may be sent, which wait for a reply, which nobody waits for any more.

No I/O, no clock.

    add ──▶ QUEUED ──take──▶ SENT ──reply──▶ DONE
              │ │              │
              │ └─ abandon,    └─ abandon, expire ──▶ ABANDONED (a tombstone) ──reply──▶ DONE
              │    expire ──▶ DONE
              └─ parked while another call with the same key is on its way

- **Window.** A server reads no further than so many unanswered calls (libvirt: 5, then not even a ping is answered;
  reference/libvirt-wire.md §3). So at most `window` calls are on their way and the rest waits here, urgent ones first.
- **Tombstones.** Few protocols can cancel a call. Its serial stays known until the reply comes, which is then dropped;
  a serial that is not known is the peer's error.
- **Keys.** At most one call with a given key is on its way, so that a domain that hangs holds one slot and not all;
  and of calls with any key at most `most_keyed`.
- **Patience.** A call with a key that is unanswered for longer is *stuck*: its caller goes on waiting, others need not.
- **Write-off.** The slot of a call that is stuck or overdue is given to another one, as long as one such call at most
  is unanswered: the server keeps one place free for it (reference/performance.md §8).
- **Time.** Nothing is sorted: calls with deadlines are few and their deadlines alike, so `expire` looks at all of them
  when `earliest` has come, and a call that is answered costs nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import Enum, IntEnum
from math import inf
from typing import Final, Generic, TypeVar

import msgspec

from avirt.errors import Busy, RemoteProtocolError

__all__ = ["GRACE", "MAX_QUEUED", "PATIENCE", "WINDOW", "Entry", "Pending", "Priority", "State"]

WINDOW: Final = 4
"""One less than libvirt's default for `max_client_requests`, so that a ping always gets through."""

MAX_QUEUED: Final = 20_000
"""Calls waiting for the window: one for each domain of the largest hosts, and some. More is a runaway caller."""

GRACE: Final = 10.0
"""Seconds after which a cancelled call without a reply counts as abandoned: far above what a healthy call takes."""

PATIENCE: Final = 1.0
"""Seconds after which a call with a key counts as stuck: hundreds of times what a healthy read takes. Verbs may take
longer; then others merely have another connection."""

_LAST_SERIAL: Final = 0xFFFFFFFF


class Priority(IntEnum):
    """The order in which queued calls get a slot."""

    URGENT = 0
    """Probes, listings, registrations, destroy and abort."""
    NORMAL = 1


class State(Enum):
    """Where a call is; see the diagram above."""

    NEW = 0
    QUEUED = 1
    SENT = 2
    ABANDONED = 3
    DONE = 4


class Entry(msgspec.Struct, eq=False):
    """One call. A session derives its own from this. Compared by identity.

    Attributes:
        deadline: when `expire` reports it.
        key: of calls with the same key one is on its way at a time; None is no key.
        since: when a call with a key was sent.
        slot: whether it counts in the window.
        is_overdue: sent, unanswered, and nobody's patience left.
    """

    program: int
    procedure: int
    serial: int
    deadline: float = inf
    priority: Priority = Priority.NORMAL
    key: Hashable = None
    state: State = State.NEW
    slot: bool = False
    is_overdue: bool = False
    since: float = inf


# an enumeration's member takes a look-up in its class each time, which on Python 3.11 is slow
_QUEUED: Final = State.QUEUED
_SENT: Final = State.SENT
_ABANDONED: Final = State.ABANDONED
_DONE: Final = State.DONE

E = TypeVar("E", bound=Entry)


class Pending(Generic[E]):
    """The calls of one connection.

    Attributes:
        earliest: no call expires before this; `expire` moves it on.
        in_flight: calls that hold a slot.
        written_off: unanswered calls whose slot was given away.
        abandoned: unanswered calls that are overdue, these included.
        queued: calls that were not sent.
        late: replies that came after their call was abandoned.
        latest: the call that the last of these answered.
        stuck: calls with a key that are unanswered for longer than `patience`, by serial.
        most_keyed: so many calls with a key may be on their way.
        on_overdue: told of calls with a key that become overdue.
    """

    def __init__(
        self,
        *,
        window: int = WINDOW,
        max_queued: int = MAX_QUEUED,
        grace: float = GRACE,
        patience: float = PATIENCE,
        on_overdue: Callable[[E], None] | None = None,
    ) -> None:
        self.window = window
        self.most_keyed = window
        self.max_queued = max_queued
        self.grace = grace
        self.patience = patience
        self.on_overdue = on_overdue
        self.latest: E | None = None
        self.stuck: dict[int, E] = {}
        self.earliest = inf
        self.in_flight = 0
        self.written_off = 0
        self.abandoned = 0
        self.queued = 0
        self.late = 0
        self._live: dict[int, E] = {}
        self._queues: tuple[OrderedDict[int, E], ...] = tuple(OrderedDict[int, E]() for _ in Priority)
        self._parked: dict[Hashable, OrderedDict[int, E]] = {}
        self._watched: dict[int, E] = {}
        self._keyed = 0
        self._crowd: OrderedDict[int, E] = OrderedDict()
        self._held: set[int] = set()
        self._serial = _LAST_SERIAL

    @property
    def is_full(self) -> bool:
        """Whether the server may have reached its limit, and then answers no ping either."""
        return self.in_flight + self.written_off >= self.window

    @property
    def awaited(self) -> int:
        """Calls queued or unanswered, tombstones not included."""
        return sum(entry.state is not _ABANDONED for entry in self._live.values())

    def __len__(self) -> int:
        """Calls queued or unanswered, tombstones included."""
        return len(self._live)

    # ------------------------------------------------------------ serials

    def next_serial(self) -> int:
        """A serial that neither a call nor a stream uses."""
        serial = (self._serial + 1) & _LAST_SERIAL
        while serial in self._live or serial in self._held:
            serial = (serial + 1) & _LAST_SERIAL
        self._serial = serial
        return serial

    def hold(self, serial: int) -> None:
        """Don't give this serial to another call: a stream goes on under it."""
        self._held.add(serial)

    def release(self, serial: int) -> None:
        """The stream is over."""
        self._held.discard(serial)

    # ------------------------------------------------------------ the way of a call

    def add(self, entry: E) -> None:
        """Queue a new call.

        Raises:
            Busy: too many are waiting; nothing was queued.
        """
        if self.queued >= self.max_queued:
            raise Busy(
                f"{self.queued} calls are waiting for this connection",
                hint="the hypervisor is slower than the calls come: wait for some of them",
            )
        entry.state = _QUEUED
        self._live[entry.serial] = entry
        self.queued += 1
        self.earliest = min(self.earliest, entry.deadline)
        if entry.key is not None:
            if (parked := self._parked.get(entry.key)) is not None:
                parked[entry.serial] = entry
                return
            self._parked[entry.key] = OrderedDict()
        self._queues[entry.priority][entry.serial] = entry

    def start(self, entry: E) -> bool:
        """Queue a new call; True if it is to be sent at once, because nothing waits and a slot is free.

        The short way of `add` and `take` for one call after another.

        Raises:
            Busy: as of `add`.
        """
        if self.queued or self.in_flight >= self.window or entry.key is not None:
            self.add(entry)
            return False
        entry.state = _SENT
        entry.slot = True
        self.in_flight += 1
        self._live[entry.serial] = entry
        if entry.deadline < self.earliest:  # noqa: PLR1730  cheaper than a call, on the way of every call
            self.earliest = entry.deadline
        return True

    def take(self) -> list[E]:
        """The calls that are to be sent now, in this order. They count as sent."""
        taken: list[E] = []
        if not self.queued:
            return taken
        for queue in self._queues:
            while queue and self.in_flight < self.window:
                serial, entry = queue.popitem(last=False)
                if entry.key is not None:
                    if self._keyed >= self.most_keyed:
                        self._crowd[serial] = entry
                        continue
                    self._keyed += 1
                entry.state = _SENT
                entry.slot = True
                self.in_flight += 1
                self.queued -= 1
                taken.append(entry)
        return taken

    def watch(self, entry: E, now: float) -> None:
        """A call with a key was sent now."""
        entry.since = now
        self._watched[entry.serial] = entry
        self.earliest = min(self.earliest, now + self.patience)

    def holds(self, key: Hashable) -> bool:
        """A call with this key is queued or unanswered."""
        return key in self._parked

    def withdraw(self, *, keyed: bool) -> list[E]:
        """Take back what was not sent, in order; not what waits for an unanswered call with its key.

        Args:
            keyed: only calls with a key.
        """
        taken: list[E] = []
        while True:
            waiting = [
                *self._crowd.values(),
                *(e for q in self._queues for e in q.values() if e.key is not None or not keyed),
            ]
            if not waiting:
                return taken
            for entry in waiting:
                self._unqueue(entry)
            taken += waiting

    def reply(self, program: int, procedure: int, serial: int) -> E | None:
        """A reply came: the call that it answers, or None if nobody waits for it.

        Only for replies: events and keepalive messages carry serials that mean nothing.

        Raises:
            RemoteProtocolError: no such call was sent, or it called something else.
        """
        entry = self._live.get(serial)
        if entry is None or entry.state is _QUEUED:
            raise RemoteProtocolError(f"a reply to a call that was not made (serial {serial})")
        if entry.program != program or entry.procedure != procedure:
            raise RemoteProtocolError(
                f"a reply of procedure {procedure} of program {program:#x} to a call of"
                f" {entry.procedure} of {entry.program:#x} (serial {serial})"
            )
        if entry.slot and entry.key is None and entry.state is _SENT:
            # the way of nearly all calls, without the detours of `_finish`
            del self._live[serial]
            entry.slot = False
            self.in_flight -= 1
            entry.state = _DONE
            return entry
        awaited = entry.state is _SENT
        self._finish(entry)
        if awaited:
            return entry
        self.late += 1
        self.latest = entry
        return None

    def abandon(self, entry: E, now: float) -> bool:
        """Nobody waits for this call any more. True if it was never sent, and never will be."""
        if entry.state is _QUEUED:
            self._unqueue(entry)
            return True
        if entry.state is _SENT:
            entry.state = _ABANDONED
            entry.deadline = min(entry.deadline, max(now, min(entry.since, now) + self.grace))
            self.earliest = min(self.earliest, entry.deadline)
        return False

    def expire(self, now: float) -> list[tuple[E, bool]]:
        """The calls whose deadline has passed, oldest first, each with whether it was sent."""
        expired: list[tuple[E, bool]] = []
        if now < self.earliest:
            return expired
        earliest = self._look_at_watched(now)
        for entry in sorted(self._live.values(), key=_deadline):
            if entry.is_overdue:
                continue
            if entry.deadline > now:
                earliest = min(earliest, entry.deadline)
                break
            if entry.state is _QUEUED:
                self._unqueue(entry)
                expired.append((entry, False))
                continue
            if entry.state is _SENT:
                expired.append((entry, True))
            entry.state = _ABANDONED
            entry.is_overdue = True
            self.abandoned += 1
            self._write_off(entry)
            if entry.key is not None and self.on_overdue is not None:
                self.on_overdue(entry)
        self.earliest = earliest
        return expired

    def clear(self) -> list[tuple[E, bool]]:
        """The connection is over: all calls that someone waits for, each with whether it was sent."""
        left = [(e, e.state is _SENT) for e in self._live.values() if e.state is not _ABANDONED]
        for entry in self._live.values():
            entry.state = _DONE
        for queue in self._queues:
            queue.clear()
        self._live.clear()
        self._parked.clear()
        self._held.clear()
        self._watched.clear()
        self._crowd.clear()
        self.stuck.clear()
        self._keyed = 0
        self.in_flight = self.written_off = self.abandoned = self.queued = 0
        self.earliest = inf
        return left

    # ------------------------------------------------------------ bookkeeping

    def _finish(self, entry: E) -> None:
        """A call that was sent is answered."""
        del self._live[entry.serial]
        if entry.slot:
            entry.slot = False
            self.in_flight -= 1
        else:
            self.written_off -= 1
        if entry.is_overdue:
            self.abandoned -= 1
        entry.state = _DONE
        if entry.key is not None:
            self._watched.pop(entry.serial, None)
            self.stuck.pop(entry.serial, None)
            self._keyed -= 1
            if self._crowd:
                serial, other = self._crowd.popitem(last=False)
                queue = self._queues[other.priority]
                queue[serial] = other
                queue.move_to_end(serial, last=False)
            self._unpark(entry.key)

    def _look_at_watched(self, now: float) -> float:
        """Find what is stuck; when to look again."""
        while self._watched:
            serial, entry = next(iter(self._watched.items()))
            if entry.since + self.patience > now:
                return entry.since + self.patience
            del self._watched[serial]
            self.stuck[serial] = entry
            self._write_off(entry)
        return inf

    def _write_off(self, entry: E) -> None:
        """Give its slot to another call, if that was not done for one already."""
        if entry.slot and self.written_off == 0:
            entry.slot = False
            self.in_flight -= 1
            self.written_off += 1

    def _unqueue(self, entry: E) -> None:
        del self._live[entry.serial]
        entry.state = _DONE
        self.queued -= 1
        queue = self._queues[entry.priority]
        if entry.serial in self._crowd:
            queue = self._crowd
        if entry.serial in queue:
            del queue[entry.serial]
            if entry.key is not None:
                self._unpark(entry.key)
        else:
            del self._parked[entry.key][entry.serial]

    def _unpark(self, key: Hashable) -> None:
        """The call with this key is through: queue the next."""
        parked = self._parked[key]
        if not parked:
            del self._parked[key]
            return
        serial, entry = parked.popitem(last=False)
        self._queues[entry.priority][serial] = entry


def _deadline(entry: Entry) -> float:
    return entry.deadline
