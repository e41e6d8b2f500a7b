"""The ring: the last changes of a store by seq, in bounded memory. Pure."""

from __future__ import annotations

from avirt.errors import InvalidArgument
from avirt.model.change import Change

__all__ = ["Window"]


class Window:
    """The last `capacity` changes. Numbers have no holes.

    Args:
        head: the number before the first change.

    Attributes:
        capacity: how many are kept.
        head: the number of the last change.
        oldest: the number of the oldest one kept, `head + 1` when there is none.
    """

    # a list used as a circle: a deque can't be indexed in its middle at a constant price
    __slots__ = ("_first", "_items", "_lap", "capacity", "head", "oldest")

    def __init__(self, capacity: int, *, head: int = 0) -> None:
        if capacity < 1:
            raise InvalidArgument(f"a ring of {capacity} changes can't work", hint="give a capacity of at least 1")
        self.capacity = capacity
        self.head = head
        self.oldest = self._first = head + 1
        self._lap = head + capacity  # up to this number there is room
        self._items: list[Change] = []

    def __len__(self) -> int:
        return len(self._items)

    def append(self, change: Change) -> Change | None:
        """Add the change number `head + 1`; returns the one that had to leave for it."""
        items = self._items
        head = self.head = self.head + 1
        if head <= self._lap:
            items.append(change)
            return None
        place = (head - self._first) % self.capacity
        pruned = items[place]
        items[place] = change
        self.oldest += 1
        return pruned

    def __getitem__(self, seq: int) -> Change:
        """The change of this number; IndexError outside oldest … head."""
        if not self.oldest <= seq <= self.head:
            raise IndexError(seq)
        return self._items[(seq - self._first) % self.capacity]

    def slice(self, first: int, count: int) -> list[Change]:
        """Up to `count` changes from number `first` on, which must not be pruned."""
        if first < self.oldest:
            raise IndexError(first)
        count = min(count, self.head - first + 1)
        if count <= 0:
            return []
        start = (first - self._first) % self.capacity
        end = start + count
        if end <= self.capacity:
            return self._items[start:end]
        return self._items[start:] + self._items[: end - self.capacity]
