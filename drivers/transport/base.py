"""What a session and a byte stream want from each other, whatever is under it. No I/O here.

A session is a `Receiver`: it is told of bytes, of an empty out-buffer and of the end by plain calls, so that no await
lies between the bytes read and what they lead to. A `Transport` takes whole frames by a plain call as well: a caller
that is cancelled can't tear one. What does not fit into the kernel's buffer waits in the out-buffer, which is bounded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Hashable, Sequence
from typing import Any, Final, Protocol, TypeVar

from avirt.errors import AvirtError

__all__ = ["MAX_BUFFERED", "Connect", "Dialect", "Loop", "Receiver", "Transport", "Waiter", "Wire", "wake"]

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

    async def wait(self, waiter: Waiter[None], deadline: float) -> None:
        """Wait, at the longest until this reading of the clock."""
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
    def loop(self) -> Loop:
        """The loop it runs on, whose clock counts for what goes over it."""
        ...

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

    def expect_descriptors(self, expected: bool) -> None:
        """Whether any may come; at first they may. Those not expected are closed unseen, and reading is cheaper."""
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


# ---------------------------------------------------------------- recording and replaying


class Dialect(Protocol):
    """What whoever records or replays a connection has to know of its protocol. Frames are whole, headers included."""

    def splitter(self) -> Callable[[bytes], list[bytes]]:
        """For one direction of one connection: takes bytes as they come, gives the frames that they complete.

        Bytes of descriptors are not part of a frame, and what is no frame is left out.
        """
        ...

    def clean(self, frame: bytes) -> bytes:
        """The frame without anything that may be secret, of the same length and as decodable as it was."""
        ...

    def question(self, frame: bytes) -> tuple[Hashable, int] | None:
        """Of a frame that wants an answer: what it asks, secrets left out, and its serial. Else None."""
        ...

    def answer(self, frame: bytes) -> int | None:
        """The serial of the question that a frame belongs to; None of what comes unasked."""
        ...

    def renumbered(self, frame: bytes, serial: int) -> bytes:
        """The same frame under another serial."""
        ...

    @property
    def filler(self) -> bytes:
        """A frame that means nothing, and counts as one."""
        ...


Connect = Callable[[], Awaitable[Transport]]


class Wire(Protocol):
    """Stands between a driver and its sockets: a recorder that looks on, or a recording that plays their part."""

    @property
    def window(self) -> int | None:
        """How many calls may be on their way at once; None: as ever. A recording answers whatever is asked."""
        ...

    async def connect(self, connect: Connect, dialect: Dialect) -> Transport:
        """The transport to use. `connect` makes the real one, and raises as it does."""
        ...
