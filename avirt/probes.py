"""When to read a domain again. Pure: says what is due, reads nothing.

Every lifecycle event asks for one probe. It is sent once its domain was quiet for 20 ms, at the latest after 250 ms, so
that a burst of events costs one read; one is in flight per domain. When more than 50 domains wait, one listing is
cheaper than so many probes (design, section 4).
"""

from __future__ import annotations

from typing import Final

from avirt.model.record import Key

__all__ = ["LATEST", "MANY", "QUIET", "ProbeSchedule"]

QUIET: Final = 0.020
LATEST: Final = 0.250
MANY: Final = 50


class ProbeSchedule:
    """Which domains wait for a probe, and since when. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._waiting: dict[Key, list[float]] = {}  # key → [first asked, last asked]
        self._in_flight: set[Key] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, key: Key, now: float) -> None:
        """A domain is to be read again."""
        times = self._waiting.get(key)
        if times is None:
            self._waiting[key] = [now, now]
        else:
            times[1] = now

    def later(self, key: Key, at: float) -> None:
        """Read it at a given time, unless it is asked for before."""
        self._waiting.setdefault(key, [at - QUIET, at - QUIET])

    def is_due(self, key: Key) -> bool:
        """A read of it is asked for, or under way."""
        return key in self._waiting or key in self._in_flight

    def next_due(self) -> float | None:
        """When `take` has something to give, or None."""
        times = [self._due(times) for key, times in self._waiting.items() if key not in self._in_flight]
        if not times:
            return None
        return min(times)

    def take(self, now: float) -> tuple[list[Key], bool]:
        """What is due now: domains to probe (they are in flight then), and whether to list instead of probing."""
        ready = [key for key, times in self._waiting.items() if key not in self._in_flight and self._due(times) <= now]
        if ready and len(self._waiting) > MANY:
            # the listing is asked after all these events, so it answers them all; a probe under way may be older
            self._waiting.clear()
            return [], True
        for key in ready:
            del self._waiting[key]
            self._in_flight.add(key)
        return ready, False

    def done(self, key: Key) -> None:
        """A probe was answered, or failed."""
        self._in_flight.discard(key)

    def clear(self) -> None:
        """The link is lost: a listing follows the next one."""
        self._waiting.clear()
        self._in_flight.clear()

    @staticmethod
    def _due(times: list[float]) -> float:
        return min(times[0] + LATEST, times[1] + QUIET)
