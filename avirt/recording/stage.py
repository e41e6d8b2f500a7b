"""Plays a recording's frames to the real driver: the stage on which its session runs once more.

The engine is not there: what it asked of the driver stands in the file, and is asked again at the same places. The
driver is the real one, whole. Its connections come from here (`drivers.transport.base.Wire`), and so does the time
that they go by. What the driver sends is compared with what it sent then, call by call, so that serials may differ, and
order where several tasks send; the answers come where they came then. A read is as old as it was then (`asked` is a
time), whenever its calls are sent now. So the outcome is the same on every loop.

Calls that verbs made, and reads that were given up, are in the file but nobody makes them again: their answers come as
frames that mean nothing, and count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from functools import partial
from math import inf
from typing import Any, Final

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from avirt.drivers.base import Driver, Env, Session
from avirt.drivers.transport.base import Connect, Dialect, Loop, Receiver, Transport, Waiter, wake
from avirt.drivers.transport.loop import current_loop
from avirt.errors import AvirtError, CannotConnect, ConnectionLost, Outcomes
from avirt.lifecycle import slices
from avirt.model.command import READ_TIMEOUT
from avirt.model.observation import Gone, Item, LinkLost, LinkUp, Listing, ListingSlice, Seen
from avirt.recording.format import CANCELLED, Answered, Asked, Call, Closed, Frames, Left, Line, Opened, Took
from avirt.recording.reader import Recorded
from avirt.uri import parse_uri

__all__ = ["Stage"]

WINDOW: Final = 1_000_000
"""Calls on their way at once: no call waits for another, whose answer may stand later in the file."""
TURNS: Final = 500
"""So many turns of the loop the driver has to do what it did then: some hundred listed domains take one."""
FEW_TURNS: Final = 10
"""So many it takes to take in some answers."""
PATIENCE: Final = 10.0
"""Real seconds that it has where worker threads take part."""


class RecordedTime:
    """The loop, with the time of the recording. See `transport.base.Loop`."""

    def __init__(self, at: float) -> None:
        loop = current_loop()
        self.at = at
        self.now: Callable[[], float] = lambda: self.at
        self.waiter = loop.waiter
        self.soon = loop.soon
        self._waits: list[tuple[float, Waiter[None]]] = []

    async def wait(self, waiter: Waiter[None], deadline: float) -> None:
        """Wait, at the longest until the recording comes to this time."""
        entry = (deadline, waiter)
        self._waits.append(entry)
        try:
            await waiter
        finally:
            self._waits.remove(entry)

    def go_to(self, at: float) -> None:
        """It is so late now."""
        self.at = max(at, self.at)
        for deadline, waiter in self._waits:
            if deadline <= self.at:
                wake(waiter)


class PlayedTransport:
    """A connection that a recording plays. See `transport.base.Transport`."""

    passes_descriptors = True
    buffered = 0

    def __init__(self, dialect: Dialect, loop: Loop) -> None:
        self.loop = loop
        self.is_closed = False
        self._dialect = dialect
        self._split = dialect.splitter()
        self._receiver: Receiver | None = None
        self._over = anyio.Event()
        self._error: AvirtError | None = None
        self._asked: list[tuple[Hashable, int]] = []
        self._serials: dict[int, int] = {}

    # ------------------------------------------------------------ what the session calls

    def expect_descriptors(self, expected: bool) -> None:
        """None are in a recording."""

    async def run(self, receiver: Receiver) -> None:
        """Until it is over."""
        self._receiver = receiver
        try:
            if self.is_closed:
                receiver.on_close(self._error)
            await self._over.wait()
        finally:
            self.close()

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:  # noqa: ARG002  nobody is there to take them
        """Remember what was asked."""
        if self.is_closed:
            raise ConnectionLost("the connection is closed", outcome=Outcomes.NOT_SENT)
        for frame in self._split(data):
            if (question := self._dialect.question(frame)) is not None:
                self._asked.append(question)

    async def drain(self) -> None:
        """All is taken at once."""
        await checkpoint()

    def close(self, error: AvirtError | None = None) -> None:
        """End it."""
        if self.is_closed:
            return
        self.is_closed = True
        self._error = error
        self._over.set()
        if self._receiver is not None:
            self._receiver.on_close(error)

    # ------------------------------------------------------------ what the recording says

    async def sent(self, data: bytes) -> None:
        """These frames were sent: wait until the session has sent the same, as far as it does."""
        for frame in self._dialect.splitter()(data):
            question = self._dialect.question(frame)
            if question is not None and not self.is_closed:
                what, serial = question
                await _turns(lambda what=what: self._matches(what) is not None)  # type: ignore[misc]
                if (index := self._matches(what)) is not None:
                    self._serials[serial] = self._asked.pop(index)[1]

    def _matches(self, what: Hashable) -> int | None:
        """Which of the questions that are not matched yet is this."""
        return next((index for index, (asked, _) in enumerate(self._asked) if asked == what), None)

    async def came(self, data: bytes) -> None:
        """These frames came, in one read."""
        await _turns(lambda: self._receiver is not None)  # what was sent already may have been sent before it reads
        if self.is_closed or self._receiver is None:
            return
        frames: list[bytes] = []
        for frame in self._dialect.splitter()(data):
            then = self._dialect.answer(frame)
            if then is None:
                frames.append(frame)
            elif (serial := self._serials.pop(then, None)) is not None:
                frames.append(self._dialect.renumbered(frame, serial))
            else:
                frames.append(self._dialect.filler)  # the answer to a verb
        if frames:
            self._receiver.on_data(b"".join(frames), ())


async def _turns(holds: Callable[[], bool]) -> bool:
    """Let the loop turn until this holds; False if it does not come to it."""
    for _ in range(TURNS):
        if holds():
            return True
        await checkpoint()
    return holds()


class Asking:
    """A call of the driver that is made again."""

    def __init__(self, what: Call) -> None:
        self.what = what
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()
        self.outcome: Any = None
        self.error: AvirtError | None = None
        self.parts: Iterator[ListingSlice] | None = None
        self.emitted: deque[Sequence[Item]] = deque()

    async def run(self, call: Callable[[], Awaitable[object]]) -> None:
        """Make it."""
        with self.scope:
            try:
                self.outcome = await call()
            except AvirtError as error:
                self.error = error
            self.done.set()

    @property
    def succeeded(self) -> bool:
        """It was answered."""
        return self.done.is_set() and self.error is None


class _Connecting:
    """The driver wants a connection."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.settled = anyio.Event()
        self.transport: PlayedTransport | None = None
        self.error = ""


class Stage:
    """The driver, and what it is played.

    Args:
        recording: what is played.
        driver: the driver that recorded, or its successor.
        tasks: where its sessions live.
        patience: real seconds that the driver has for what it did then.

    Attributes:
        differences: what went otherwise than then.
    """

    def __init__(self, recording: Recorded, driver: Driver, tasks: TaskGroup, *, patience: float = PATIENCE) -> None:
        header = recording.header
        self.differences: list[str] = []
        self._uri = parse_uri(header.uri)
        self._env = Env(read_only=header.read_only, wire=self)
        self._driver = driver
        self._tasks = tasks
        self._patience = patience
        self._time = RecordedTime(header.at)
        self._given_up = _given_up(recording.lines)
        self._asked: dict[int, Asking] = {}
        self._session: Session | None = None
        self._transports: dict[int, PlayedTransport] = {}
        self._connecting: deque[_Connecting] = deque()
        self._is_opening = False
        self._wants_connection = anyio.Event()

    # ------------------------------------------------------------ drivers.transport.base.Wire

    @property
    def window(self) -> int | None:
        """Everything is sent at once."""
        return WINDOW

    async def connect(self, connect: Connect, dialect: Dialect) -> Transport:  # noqa: ARG002  no socket is made
        """A connection of the recording's."""
        wanted = _Connecting(dialect)
        self._connecting.append(wanted)
        self._wants_connection.set()
        await wanted.settled.wait()
        if wanted.transport is None:
            raise CannotConnect(wanted.error)
        return wanted.transport

    # ------------------------------------------------------------ line by line

    async def play(self, line: Line, following: Line | None) -> None:
        """Do what a line says, or see it done. `following`: the line after it."""
        self._time.go_to(line.at)
        match line:
            case Asked():
                self._ask(line)
                await checkpoint()  # tasks that begin in one turn may run in any order: trio's do
            case Answered():
                await self._answered(line)
            case Left():
                self._leave(line)
            case Opened():
                await self._opened(line)
            case Frames():
                transport = self._transports.get(line.connection)
                if transport is None:
                    return  # a connection of verbs
                if line.sent:
                    await transport.sent(line.data)
                    return
                if isinstance(following, Took) and self._is_watch(following.call):
                    # whoever registers for events had taken in what came before
                    for _ in range(FEW_TURNS):
                        await checkpoint()
                await transport.came(line.data)
            case Closed():
                transport = self._transports.pop(line.connection, None)
                if transport is not None:
                    transport.close(None if line.why is None else ConnectionLost(line.why))
            case _:
                pass

    def _is_watch(self, call: int | None) -> bool:
        asking = None if call is None else self._asked.get(call)
        return asking is not None and asking.what is Call.WATCH

    def _ask(self, line: Asked) -> None:
        if line.call in self._given_up:
            return  # nothing came of it, and how far it came is chance
        asking = self._asked[line.call] = Asking(line.what)
        session = self._session
        call: Callable[[], Awaitable[object]]
        if line.what is Call.OPEN:
            self._is_opening = True
            self._session = None
            self._tasks.start_soon(self._hold, asking)
            return
        if session is None:
            self.differences.append(f"{line.what} is asked of a session that was not opened")
            return
        if line.what is Call.WATCH:
            call = partial(session.watch, asking.emitted.append, task_status=TASK_STATUS_IGNORED)
        elif line.what is Call.LIST:
            call = session.list
        elif line.key is not None:
            call = partial(session.probe, line.key)
        else:
            self.differences.append("a probe of no domain")
            return
        self._tasks.start_soon(asking.run, call)

    async def _hold(self, asking: Asking) -> None:
        """A session, from its opening until it is given up."""
        with asking.scope:
            try:
                async with self._driver.open(self._uri, self._env) as session:
                    asking.outcome = session
                    asking.done.set()
                    await anyio.sleep_forever()
            except AvirtError as error:
                asking.error = error
                asking.done.set()

    async def _answered(self, line: Answered) -> None:
        asking = self._asked.get(line.call)
        if asking is None:
            return
        if line.error is None:
            with anyio.move_on_after(self._patience):
                await asking.done.wait()
            if not asking.succeeded:
                why = asking.error or "no answer, with what was recorded"
                self.differences.append(f"{asking.what} (call {line.call}) was answered; now: {why}")
        elif line.error == CANCELLED:
            asking.scope.cancel()
        else:
            await _turns(asking.done.is_set)
            asking.scope.cancel()
            if asking.succeeded:
                self.differences.append(f"{asking.what} (call {line.call}) failed ({line.error}); now it is answered")
        if asking.what is Call.OPEN:
            self._is_opening = False
            self._session = asking.outcome if asking.succeeded else None

    def _leave(self, line: Left) -> None:
        self._session = None
        for asking in self._asked.values():
            asking.scope.cancel()
        self._asked.clear()
        del line

    async def _opened(self, line: Opened) -> None:
        if self._is_opening:
            with anyio.move_on_after(self._patience):
                while not self._connecting:
                    self._wants_connection = anyio.Event()
                    await self._wants_connection.wait()
        else:
            await _turns(lambda: bool(self._connecting))
        if not self._connecting:
            return
        wanted = self._connecting.popleft()
        if line.error is None:
            transport = self._transports[line.connection] = PlayedTransport(wanted.dialect, self._time)
            wanted.transport = transport
        else:
            wanted.error = line.error
        wanted.settled.set()

    # ------------------------------------------------------------ what came of it

    def items(self, line: Took) -> Sequence[Item]:
        """What the driver gives now for the Items that were taken then; those of then, if it gives none or had none."""
        items = self._items(line)
        if items is None:
            return line.items
        if len(items) == len(line.items) == 1:
            return (_as_old_as(line.items[0], items[0]),)
        return items

    def _items(self, line: Took) -> Sequence[Item] | None:
        asking = None if line.call is None else self._asked.get(line.call)
        if asking is None:
            return None
        if asking.what is Call.WATCH:
            batches = [item for batch in asking.emitted for item in batch]
            asking.emitted.clear()
            return batches
        if not asking.succeeded:
            return None
        outcome = asking.outcome
        if asking.what is Call.OPEN:
            return (LinkUp(outcome.facts),)
        if isinstance(outcome, Listing):
            asking.parts = asking.parts or slices(outcome)
            part = next(asking.parts, None)
            return None if part is None else (part,)
        return (outcome,)


def _given_up(lines: Sequence[Line]) -> frozenset[int]:
    """The reads whose caller did not wait for them; not those that hung, or that ended with their session."""
    asked: dict[int, float] = {}
    ended: list[int] = []
    found: set[int] = set()
    for line in lines:
        if isinstance(line, Asked) and line.what in (Call.LIST, Call.PROBE):
            asked[line.call] = line.at
        if isinstance(line, Answered):
            if line.error == CANCELLED and line.at - asked.get(line.call, -inf) < READ_TIMEOUT:
                ended.append(line.call)
        elif isinstance(line, Left) or (
            isinstance(line, Took) and any(isinstance(item, LinkLost) for item in line.items)
        ):
            ended.clear()
        else:
            found.update(ended)
            ended.clear()
    return frozenset(found)


def _as_old_as(then: Item, now: Item) -> Item:
    """A read, asked for when it was asked for then."""
    if isinstance(now, Seen):
        if isinstance(then, Seen | Gone):
            return Seen(replace(now.observation, asked=_age(then)))
    elif isinstance(now, Gone):
        if isinstance(then, Seen | Gone):
            return replace(now, asked=_age(then))
    elif isinstance(now, ListingSlice) and isinstance(then, ListingSlice):
        return replace(now, asked=then.asked, items=[replace(item, asked=then.asked) for item in now.items])
    return now


def _age(item: Seen | Gone) -> int:
    return item.asked if isinstance(item, Gone) else item.observation.asked
