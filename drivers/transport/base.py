"""What a session and a byte stream want from each other, whatever is under it. No I/O here.

A session is a `Receiver`: it is told of bytes, of an empty out-buffer and of the end by plain calls, so that no await
lies between the bytes read and what they lead to. A `Transport` takes whole frames by a plain call as well: a caller
that is cancelled can't tear one. What does not fit into the kernel's buffer waits in the out-buffer, which is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, Protocol, TypeVar

from avirt.errors import AvirtError

__all__ = ["MAX_BUFFERED", "Loop", "Receiver", "Transport", "Waiter", "wake"]

T_co = TypeVar("T_co", covariant=True)

MAX_BUFFERED: Final = 64 * 1024 * 1024
"""Bytes a transport keeps for a peer that does not read: two frames of libvirt's largest size. Then it is closed."""


class Waiter(Protocol[T_co]):
    """One task awaits it, once, for one value. Shaped as a future, because on asyncio it is one: nothing is cheaper.

    Awaiting gives the value, at once and without a checkpoint if it is there. When the awaiting task is cancelled, a
    value set in the same moment may be lost (keep it elsewhere if it needs care), and `done` answers True afterwards.
    """

    def __await__(self) -> Generator[Any, Any, T_co]: ...
    def done(self) -> bool:
        """Whether there is nothing to be set any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Hand over the value. Not if it is done."""
        ...


def wake(waiter: Waiter[None]) -> None:
    """Wake who waits, now or later; once more does nothing."""
    if not waiter.done():
        waiter.set_result(None)


class Loop(Protocol):
    """What differs between the event loops, besides reading and writing."""

    @property
    def now(self) -> Callable[[], float]:
        """The loop's monotonic clock."""
        ...

    @property
    def waiter(self) -> Callable[[], Waiter[None]]:
        """Makes a new waiter."""
        ...

    def soon(self, callback: Callable[[], None]) -> None:
        """Call this in the loop's next turn."""
        ...


class Receiver(Protocol):
    """What a transport calls. None of these may block, or raise but for a bug."""

    def on_data(self, data: bytes, fds: Sequence[int]) -> None:
        """Bytes came, in order, and descriptors with them, which the receiver owns from now on."""
        ...

    def on_drain(self) -> None:
        """The out-buffer was not empty, and is now."""
        ...

    def on_close(self, error: AvirtError | None) -> None:
        """Called exactly once: the stream is over. None if we closed it."""
        ...


class Transport(Protocol):
    """A connected byte stream."""

    @property
    def passes_descriptors(self) -> bool:
        """Whether descriptors can be sent and received."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        ...

    @property
    def buffered(self) -> int:
        """Bytes in the out-buffer."""
        ...

    async def run(self, receiver: Receiver) -> None:
        """Read until the stream is over; it is closed then, and also when this is cancelled.

        Raises:
            Exception: what the receiver raised (a bug).
        """
        ...

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Write, or keep for later, all of it, with the descriptors attached to its first byte.

        The descriptors stay the caller's, who may close them at once. A stream that breaks here is reported by
        `on_close`, after what was still to be read.

        Raises:
            ConnectionLost: the stream is over; nothing was sent.
        """
        ...

    async def drain(self) -> None:
        """Wait until the out-buffer is empty, or the stream over."""
        ...

    def close(self, error: AvirtError | None = None) -> None:
        """End it now; what was not sent is dropped."""
        ...
