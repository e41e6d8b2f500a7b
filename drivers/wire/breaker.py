"""Which domains hang, so that nobody waits for them in vain. No I/O, no clock.

    ──call overdue──▶ open ──after a pause──▶ one trial ──overdue or refused──▶ open, for twice as long
                       │                          │
                       └── any answer, even a late one, or an event of that domain ──▶ closed

While it is open, calls of that domain fail at once with `Busy`. A server has no cancel: each call to a domain that
hangs holds one of its workers. So a trial is made only while at most one call of the domain is unanswered.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Generic, TypeVar

import msgspec

from avirt.errors import Busy

__all__ = ["FIRST_PAUSE", "LONGEST_PAUSE", "Breaker", "Hung"]

FIRST_PAUSE: Final = 15.0
"""Seconds until the first trial. A late answer or an event comes sooner, if the domain recovers."""

LONGEST_PAUSE: Final = 300.0
"""Seconds between trials, at the longest."""

MOST_UNANSWERED: Final = 2
"""Calls of one domain that hold a worker of the server: the first, and a trial."""


K = TypeVar("K", bound=Hashable)


class Hung(msgspec.Struct, kw_only=True):
    """One domain that hangs.

    Attributes:
        what: the call that was not answered.
        since: wall clock: when it was sent.
        pause: seconds between trials now.
        next_trial: when another may be made, monotonic.
        unanswered: calls of it that are overdue, on connections that still stand.
    """

    what: str
    since: float
    pause: float
    next_trial: float
    unanswered: int = 1

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).isoformat(sep=" ", timespec="seconds")
        return f"hung since {since}: {self.what} was not answered"


class Breaker(Generic[K]):
    """The domains of one host that hang, by key."""

    def __init__(self) -> None:
        self._hung: dict[K, Hung] = {}

    def __bool__(self) -> bool:
        """Some domain hangs."""
        return bool(self._hung)

    @property
    def hung(self) -> Mapping[K, Hung]:
        """Those that hang."""
        return MappingProxyType(self._hung)

    def check(self, key: K, now: float) -> bool:
        """Whether this call is a trial: False if the domain does not hang.

        Raises:
            Busy: it hangs; nothing is to be sent.
        """
        hung = self._hung.get(key)
        if hung is None:
            return False
        if now < hung.next_trial or hung.unanswered >= MOST_UNANSWERED:
            raise Busy(str(hung), hint="it is tried again now and then; destroy goes through all the same")
        hung.next_trial = now + LONGEST_PAUSE  # if nothing should come of this one
        return True

    def overdue(self, key: K, what: str, *, since: float, now: float) -> None:
        """A call was not answered in its time. `since`: wall clock."""
        hung = self._hung.get(key)
        if hung is None:
            self._hung[key] = Hung(what=what, since=since, pause=FIRST_PAUSE, next_trial=now + FIRST_PAUSE)
            return
        hung.unanswered += 1
        self._back_off(hung, now)

    def refused(self, key: K, now: float) -> None:
        """A trial was answered: the domain is still held by what hangs."""
        if (hung := self._hung.get(key)) is not None:
            self._back_off(hung, now)

    def lost(self, key: K) -> None:
        """The connection of an unanswered call is over: its answer can't come any more."""
        if (hung := self._hung.get(key)) is not None:
            hung.unanswered = max(0, hung.unanswered - 1)

    def answered(self, key: K) -> None:
        """A call of it was answered, or an event of it came: it does not hang."""
        self._hung.pop(key, None)

    @staticmethod
    def _back_off(hung: Hung, now: float) -> None:
        hung.pause = min(hung.pause * 2, LONGEST_PAUSE)
        hung.next_trial = now + hung.pause
