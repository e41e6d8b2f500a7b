"""Items in words, so that a test reads as what is told; and who tells it."""

from __future__ import annotations

from collections.abc import Sequence

from avirt.drivers.qemu.identity import Identity
from avirt.model.observation import Item, NativeEvent, Seen
from avirt.model.record import Key
from avirt.model.state import NormalState

__all__ = ["MARKER", "PID", "PLACE", "WHO", "said", "told"]

PLACE = "/run/vms/web1.qmp"
WHO = Identity(Key(bytes(range(16))), "web1")
PID, MARKER = 4711, 99


def said(status: NormalState) -> str:
    """A state in a word: STATE/REASON, then what is under way."""
    under_way = f" {status.transition}" if status.transition else ""
    return f"{status.state.name}/{status.reason.name}{under_way}"


def told(items: Sequence[Item]) -> list[str]:
    """Items in words: "SIGNAL STATE/REASON", "= STATE/REASON" for a read, "+Kind" for a typed event."""
    words = []
    for item in items:
        if isinstance(item, Seen):
            status = item.observation.status
            assert status is not None
            signal = item.observation.signal
            words.append(f"{signal.name if signal else '='} {said(status)}")
        elif isinstance(item, NativeEvent):
            words.append(f"+{type(item.event).__name__}")
        else:
            words.append(type(item).__name__)
    return words
