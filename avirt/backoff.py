"""Back-off with full jitter: between 0 and a ceiling that doubles, so that a thousand hosts don't come back at once."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Delays between attempts, in seconds. Pure: the random source is given.

    Args:
        base: the first ceiling.
        cap: the highest ceiling.
        uniform: e.g. `random.Random().uniform`.
    """

    def __init__(self, uniform: Callable[[float, float], float], *, base: float = 0.25, cap: float = 30.0) -> None:
        if not 0 < base <= cap:
            raise ValueError("0 < base <= cap")
        self._uniform = uniform
        self._base = base
        self._cap = cap
        self.attempts = 0

    def next_delay(self) -> float:
        """How long to wait before the next attempt."""
        ceiling = min(self._cap, self._base * 2.0 ** min(self.attempts, 32))
        self.attempts += 1
        return self._uniform(0.0, ceiling)

    def reset(self) -> None:
        """An attempt succeeded, and lasted."""
        self.attempts = 0
