"""A byte stream of a simulated peer that obeys the rules of `faults.py`: over a socket, on any loop.

What is sent goes to the socket at once if it can. What can't (a full buffer, a rule) is kept, and written by a task
that lives only as long as something is kept. Reading is its owner's: one task that calls `receive`.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator
from math import inf
from socket import SHUT_RDWR, socket
from typing import Final

import anyio
from anyio import ClosedResourceError
from anyio.abc import TaskGroup

from avirt.testing.faults import WireFaults
from avirt.testing.rules import Delay, Direction, Fragment, Silence

__all__ = ["FaultyStream"]

_READ: Final = 65536

IN: Final = Direction.IN
OUT: Final = Direction.OUT


class FaultyStream:
    """The peer's end of one connection.

    Args:
        sock: connected and non-blocking; the stream owns it.
        faults: what it obeys.
        number: the connection's, by which rules name it.
        tasks: where the task that writes is started.

    Attributes:
        is_events: whether this connection is told of events; its owner says so.
        was_cut: a rule ended it.
    """

    def __init__(self, sock: socket, faults: WireFaults, number: int, tasks: TaskGroup) -> None:
        self.number = number
        self.is_events = False
        self.is_closed = False
        self.was_cut = False
        self._sock = sock
        self._faults = faults
        self._tasks = tasks
        self._kept: deque[tuple[float, memoryview]] = deque()
        self._is_writing = False
        self._waits = 0
        self._is_paused = False
        self._is_finishing = False
        self._look = anyio.Event()
        self._silenced: Silence | None = None

    @property
    def is_idle(self) -> bool:
        """Nothing is kept."""
        return not self._kept

    # ------------------------------------------------------------ reading

    def pause(self, paused: bool) -> None:
        """Read nothing, or go on."""
        if paused != self._is_paused:
            self._is_paused = paused
            self.look_again()

    async def receive(self, until: float = inf) -> bytes | None:
        """What comes next: b"" at the end, None if nothing came until then."""
        while not self.is_closed:
            with anyio.CancelScope(deadline=until) as patience:
                if self._is_paused or self._is_silent(IN):
                    await self._look.wait()
                    continue
                with self._waiting():
                    await anyio.wait_readable(self._sock)
            if patience.cancelled_caught:
                return None
            if self._is_paused or self._is_silent(IN):
                continue
            data = self._read()
            if data is None:
                continue
            if data and (delay := self._faults.strike(Delay, self.number, self.is_events, _is_in)) is not None:
                await anyio.sleep(delay.seconds)
            return data
        return b""

    def _read(self) -> bytes | None:
        size = _READ
        if (short := self._faults.strike(Fragment, self.number, self.is_events, _is_in)) is not None:
            size = short.size
        room = self._faults.room(IN, self.number, self.is_events)
        try:
            data = self._sock.recv(size if room is None else min(size, max(1, room)))
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if data and self._faults.passed(IN, self.number, self.is_events, len(data)):
            self.cut()
        return data

    # ------------------------------------------------------------ writing

    def send(self, data: bytes) -> None:
        """Send it, now or later. Nothing happens if the stream is over."""
        if self.is_closed:
            return
        at = -inf
        if (delay := self._faults.strike(Delay, self.number, self.is_events, _is_out)) is not None:
            at = anyio.current_time() + delay.seconds
        self._kept.append((at, memoryview(data)))
        if not self._is_writing:
            if at == -inf:
                self._write()
            self._write_later()

    def _write(self) -> None:
        """Write what is oldest, as far as it goes."""
        if self._is_silent(OUT):
            return
        at, data = self._kept[0]
        size = len(data)
        short = self._faults.find(Fragment, self.number, self.is_events, _is_out)
        if short is not None and size > short.size:
            self._faults.strike(Fragment, self.number, self.is_events, _is_out)
            size = short.size
        room = self._faults.room(OUT, self.number, self.is_events)
        if room is not None:
            size = min(size, room)
        try:
            sent = self._sock.send(data[:size])
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if sent == len(data):
            self._kept.popleft()
        else:
            self._kept[0] = (at, data[sent:])
        if self._faults.passed(OUT, self.number, self.is_events, sent):
            self.cut()
        elif self._is_finishing and not self._kept:
            self.close()

    def _write_later(self) -> None:
        if self._kept and not self.is_closed and not self._is_writing:
            self._is_writing = True
            self._tasks.start_soon(self._write_kept)

    async def _write_kept(self) -> None:
        try:
            while self._kept and not self.is_closed:
                at = self._kept[0][0]
                if self._is_silent(OUT):
                    await self._look.wait()
                elif at > anyio.current_time():
                    with anyio.CancelScope(deadline=at):
                        await self._look.wait()
                else:
                    with self._waiting():
                        await anyio.wait_writable(self._sock)
                    if not self.is_closed:
                        self._write()
        finally:
            self._is_writing = False

    # ------------------------------------------------------------ rules and the end

    def look_again(self) -> None:
        """The rules have changed."""
        self._look.set()
        self._look = anyio.Event()
        self._write_later()

    def _is_silent(self, direction: Direction) -> bool:
        if not self._faults.holds(Silence):
            return False
        fits = _silences_in if direction is IN else _silences_out
        rule = self._faults.find(Silence, self.number, self.is_events, fits)
        if rule is None:
            return False
        if rule is not self._silenced:
            self._silenced = rule
            self._faults.count(rule)
        return True

    def cut(self) -> None:
        """End it: a fault."""
        self.was_cut = True
        self.close()

    def finish(self) -> None:
        """End it when what is kept has gone out."""
        self._is_finishing = True
        if not self._kept:
            self.close()

    def close(self) -> None:
        """End it now; what is kept is dropped."""
        if self.is_closed:
            return
        self.is_closed = True
        self._kept.clear()
        anyio.notify_closing(self._sock)
        self._look.set()
        if self._waits:
            # who waits for it knows it by its number, which must not be another's until he is gone
            with contextlib.suppress(OSError):
                self._sock.shutdown(SHUT_RDWR)
        else:
            self._sock.close()

    @contextlib.contextmanager
    def _waiting(self) -> Generator[None]:
        """Wait for the socket, which is not closed before that is over."""
        self._waits += 1
        try:
            with contextlib.suppress(ClosedResourceError, OSError, ValueError):
                yield
        finally:
            self._waits -= 1
            if self.is_closed and not self._waits:
                self._sock.close()


def _is_in(rule: Delay | Fragment) -> bool:
    return rule.direction is IN


def _is_out(rule: Delay | Fragment) -> bool:
    return rule.direction is OUT


def _silences_in(rule: Silence) -> bool:
    return rule.direction is not OUT


def _silences_out(rule: Silence) -> bool:
    return rule.direction is not IN
