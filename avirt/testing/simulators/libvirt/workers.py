"""The worker threads of a daemon, as counters: 20 for all calls, 5 more that take only high-priority ones.

A call that never ends holds its worker; when all are held, others wait in a queue (reference/libvirt-wire.md §3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["Workers"]


class Workers:
    """Runs what there is a worker for, in order, and keeps the rest.

    Args:
        most: max_workers of libvirtd.conf.
        most_high: prio_workers.

    Attributes:
        busy, busy_high: workers whose call has not ended.
    """

    def __init__(self, *, most: int = 20, most_high: int = 5) -> None:
        self.busy = 0
        self.busy_high = 0
        self._most = most
        self._most_high = most_high
        self._waiting: deque[tuple[Callable[[Callable[[], None]], None], bool]] = deque()

    @property
    def waiting(self) -> int:
        """Calls that wait for a worker."""
        return len(self._waiting)

    def run(self, work: Callable[[Callable[[], None]], None], *, high: bool) -> None:
        """Run it as soon as there is a worker. It is given what it has to call, once, when it has ended."""
        if not self._start(work, high):
            self._waiting.append((work, high))

    def reset(self) -> None:
        """All of them end."""
        self.busy = self.busy_high = 0
        self._waiting.clear()

    def _start(self, work: Callable[[Callable[[], None]], None], high: bool) -> bool:
        if self.busy < self._most:
            self.busy += 1
            work(self._end)
        elif high and self.busy_high < self._most_high:
            self.busy_high += 1
            work(self._end_high)
        else:
            return False
        return True

    def _end(self) -> None:
        self.busy = max(0, self.busy - 1)
        self._look()

    def _end_high(self) -> None:
        self.busy_high = max(0, self.busy_high - 1)
        self._look()

    def _look(self) -> None:
        for entry in tuple(self._waiting):
            if entry in self._waiting and (self.busy < self._most or entry[1]):
                self._waiting.remove(entry)
                if not self._start(*entry):
                    self._waiting.appendleft(entry)
                    return
