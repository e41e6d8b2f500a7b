"""What a session and a byte stream want from each other, whatever is under it. No I/O here.

A session is a `Receiver`: it is told of bytes, of an empty out-buffer and of the end by plain calls, so that no await
lies between the bytes read and what they lead to. A `Transport` takes whole frames by a plain call as well: a caller
that is cancelled can't tear one. What does not fit into the kernel's buffer waits in the out-buffer, which is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from avirt.errors import AvirtError

__all__ = ["MAX_BUFFERED", "Loop", "Receiver", "Transport", "Waiter"]

T = TypeVar("T")

MAX_BUFFERED: Final = 64 * 1024 * 1024
"""Bytes a transport keeps for a peer that does not read: two frames of libvirt's largest size. Then it is closed."""


class Waiter(Protocol[T]):
    """One task waits, once, for one value. Setting it twice, or after the waiting task was cancelled, does nothing."""

    def set(self, value: T) -> None:
        """Hand over the value."""
        ...

    def fail(self, error: BaseException) -> None:
        """Raise this in the waiting task."""
        ...

    async def wait(self) -> T:
        """The value; at once, without a checkpoint, if it is there.

        Cancellation: a value handed over in the same moment may be lost; keep it elsewhere if it needs care.
        """
        ...


class Loop(Protocol):
    """What differs between the event loops, besides reading and writing."""

    @property
    def now(self) -> Callable[[], float]:
        """The loop's monotonic clock."""
        ...

    def waiter(self) -> Waiter[None]:
        """A new waiter."""
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
