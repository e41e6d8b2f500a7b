"""Calls, replies, events and streams of one libvirt connection, used by many tasks at once.

The bytes are `protocol.py`'s, the calls' order `wire/pending.py`'s, the socket `transport/`'s; this joins them, and
`session.py` opens and closes it. From a frame to `on_events`, and to the slot of the call that it answers, there is no
await. Callers hand over whole frames and wait on their slot: cancelling one tears nothing, and its late reply finds a
tombstone. Follows reference/libvirt-wire.md §3, §4, §7 and §8.

It is long because calls and streams share serials, slots, deadlines and the end of the connection: cut in two, each
half would reach into the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Sequence
from math import inf
from typing import Any, Final, Generic, Literal, TypeVar, cast, overload

import msgspec

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.errors import native_error
from avirt.drivers.libvirt.keepalive import DEFAULT_COUNT, DEFAULT_INTERVAL, PING_MESSAGE, Keepalive, Verdict
from avirt.drivers.libvirt.procedure import Fds, Procedure, ReadOnly, StreamKind
from avirt.drivers.libvirt.protocol import HEADER_SIZE, KEEPALIVE_PROGRAM, Message, MessageStatus, MessageType, Role
from avirt.drivers.libvirt.protocol import Connection as Core
from avirt.drivers.transport.base import Transport, Waiter, wake
from avirt.drivers.transport.unix import close_fds
from avirt.drivers.wire.breaker import Breaker
from avirt.drivers.wire.pending import MAX_QUEUED, WINDOW, Entry, Pending, Priority, State
from avirt.errors import (
    AccessDenied,
    AvirtError,
    Busy,
    ConnectionLost,
    LocalProtocolError,
    OperationTimeout,
    Outcomes,
    Phase,
    RemoteProtocolError,
    Unsupported,
)

__all__ = [
    "ABANDONED_LIMIT",
    "CALL_TIMEOUT",
    "Arrival",
    "Call",
    "OnEvents",
    "Rpc",
    "Settings",
    "Sick",
    "Statistics",
    "Withdrawn",
]

R = TypeVar("R")

CALL_TIMEOUT: Final = 30.0
"""Seconds a call may take by default: the design's deadline for reads. Verbs bring their own."""

ABANDONED_LIMIT: Final = 3
"""Overdue, unanswered calls after which a connection is to be replaced."""

_GRANULE: Final = 0.02
"""Seconds: deadlines are looked at no more often. Nobody sees the difference, and a storm of them costs little."""

_PING_FRAME: Final = Core(Role.CLIENT).send(PING_MESSAGE)


# an enumeration's member takes a look-up in its class each time, which on Python 3.11 is slow
Arrival = tuple[Message, int]
"""An event, and the count of messages that it was."""

OnEvents = Callable[[Sequence[Arrival]], None]

Sick = tuple[bytes, bool]
"""What hangs: a domain, for calls of high priority or for the others. A server knows states without asking anybody."""

_REPLY: Final = MessageType.REPLY
_MESSAGE: Final = MessageType.MESSAGE
_ERROR: Final = MessageStatus.ERROR
_QUEUED: Final = State.QUEUED
_URGENT: Final = Priority.URGENT
_NO_FDS: Final = Fds.NONE
_NORMAL: Final = Priority.NORMAL


class Withdrawn(Busy):
    """The call was not sent, since calls of other domains hang on this connection: make it on another one."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection behaves.

    Attributes:
        window: calls on their way at once; the server reads no further than its `max_client_requests` (5).
        max_queued: calls that may wait for the window.
        connect_timeout: seconds to open, without the time a person needs to answer polkit.
        ping_interval, ping_count: after `interval` seconds without a message the server is pinged; after
            `interval * (count + 1)` it counts as lost. The server's own defaults.
    """

    window: int = WINDOW
    max_queued: int = MAX_QUEUED
    connect_timeout: float = 30.0
    ping_interval: float = DEFAULT_INTERVAL
    ping_count: int = DEFAULT_COUNT


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection is at.

    Attributes:
        in_flight: calls that hold a slot of the window.
        queued: calls that were not sent yet.
        abandoned: calls that are overdue and unanswered.
        late: replies that nobody waited for any more.
        inbound: messages received.
        buffered: bytes the peer has not taken yet.
    """

    in_flight: int
    queued: int
    abandoned: int
    late: int
    inbound: int
    buffered: int


class Call(Entry, Generic[R], eq=False, kw_only=True):
    """A call that was submitted. One task may wait for it.

    Attributes:
        asked: how many messages had come in when its bytes were written; -1 before.
        fds: descriptors that came with the reply, the caller's from then on.
    """

    rpc: Rpc
    what: Procedure[R]
    frame: bytes = b""
    raw: bool = False
    asked: int = -1
    takes_fds: bool = False
    fds: Sequence[int] = ()
    out_fds: Sequence[int] = ()
    on_stream: Callable[[Message | None], None] | None = None
    waiter: Waiter[None] | None = None
    reply: Message | None = None
    error: AvirtError | None = None

    def __repr__(self) -> str:
        # not the payloads: XML may hold secrets
        return f"<Call {self.what.name} {self.serial}: {self.state.name.lower()}>"

    async def wait(self) -> R:
        """The reply, decoded; or, of a raw call, its payload.

        Raises:
            AvirtError: what the server answered, or what became of the call.

        Cancellation: a call that was not sent never will be; the reply to one that was is dropped when it comes.
        """
        if self.reply is None and self.error is None:
            rpc = self.rpc
            if self.state is _QUEUED:
                rpc.flush()
            self.waiter = waiter = rpc.waiter()
            try:
                await waiter
            except BaseException:
                rpc.abandon(self)
                raise
        return self.result()

    def result(self) -> R:
        """The same of a call that is done."""
        reply = self.reply
        if reply is None or self.error is not None:
            raise self.error or LocalProtocolError(f"{self.what.name} is not answered yet")
        if reply.status is _ERROR:
            raise native_error(codec.unpack_error(reply.payload), verb=self.what.name)
        if self.raw:
            return cast("R", reply.payload)
        return codec.unpack_reply(self.what, reply.payload)

    def fail(self, error: AvirtError) -> None:
        """There will be no reply."""
        self.error = error
        if self.waiter is not None:
            wake(self.waiter)


class Rpc:
    """One connection. It is the receiver of its transport.

    Attributes:
        inbound: messages that came in so far, the calls' answers and the events alike.
        lost: why the connection is over, or None while it is not.
        read_only: calls that need write access are refused here already.
        now: the clock of its deadlines.
        on_events: called with the events that came in one read, in order, and must neither block nor raise.
        breaker: told of domains that hang, by (key, whether the call was of high priority).
        gives_way: what was not sent is withdrawn as soon as a call is stuck, so that it can be made elsewhere; of a
            connection that carries events only calls with a key.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        settings: Settings | None = None,
        read_only: bool = False,
        on_events: OnEvents | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.read_only = read_only
        self.on_events = on_events
        self.inbound = 0
        self.lost: AvirtError | None = None
        self._transport = transport
        transport.expect_descriptors(False)  # they come when asked for only
        self._core = Core(Role.CLIENT)
        self.breaker: Breaker[Sick] | None = None
        self.gives_way = False
        self._pending = Pending[Call[Any]](
            window=self.settings.window, max_queued=self.settings.max_queued, on_overdue=self._on_overdue
        )
        self._streams: dict[int, Call[Any]] = {}
        self._loop = transport.loop
        self.now = self._loop.now
        self.waiter = self._loop.waiter
        self._keepalive: Keepalive | None = None
        self._timer: Waiter[None] | None = None
        self._timer_at = -inf
        self._flush_due = False
        self._pinged = False
        self._ends: list[Waiter[None]] = []
        self._pid = os.getpid()

    # ------------------------------------------------------------ calling

    async def call(
        self,
        procedure: Procedure[R],
        *args: object,
        timeout: float | None = CALL_TIMEOUT,
        priority: Priority | None = None,
        key: Hashable = None,
    ) -> R:
        """Call a procedure with the fields of its arguments, and wait for what it answers.

        Args:
            timeout: seconds until `OperationTimeout`; the server goes on, its reply is dropped.
            priority: when it gets a slot; by default as urgent as the server treats it.
            key: of calls with the same key only one is on its way at a time.

        Raises:
            AvirtError: what the server answered (`errors.py`), `OperationTimeout`, `ConnectionLost`.

        Cancellation: as of `Call.wait`.
        """
        call = self._make(procedure, args, timeout, priority, key)
        if self._transport.buffered:
            self._pending.add(call)
            return await call.wait()
        if not self._pending.start(call):
            self._pump()
            return await call.wait()
        call.asked = self.inbound
        frame, call.frame = call.frame, b""
        self._transport.send(frame)
        # as `call.wait`, which would be a coroutine more for the way of nearly all calls
        call.waiter = waiter = self.waiter()
        try:
            await waiter
        except BaseException:
            self.abandon(call)
            raise
        return call.result()

    @overload
    def submit(
        self,
        procedure: Procedure[R],
        *args: object,
        raw: Literal[False] = False,
        timeout: float | None = ...,
        priority: Priority | None = ...,
        key: Hashable = ...,
    ) -> Call[R]: ...
    @overload
    def submit(
        self,
        procedure: Procedure[Any],
        *args: object,
        raw: Literal[True],
        timeout: float | None = ...,
        priority: Priority | None = ...,
        key: Hashable = ...,
    ) -> Call[bytes]: ...
    def submit(
        self,
        procedure: Procedure[Any],
        *args: object,
        raw: bool = False,
        timeout: float | None = CALL_TIMEOUT,
        priority: Priority | None = None,
        key: Hashable = None,
    ) -> Call[Any]:
        """Queue a call without waiting: several are written together, at the next await.

        Args:
            raw: `wait()` returns the payload as it came, for a reply that is decoded in slices.
        """
        call = self._make(procedure, args, timeout, priority, key)
        call.raw = raw
        self._pending.add(call)
        if not self._flush_due:
            self._flush_due = True
            self._loop.soon(self.flush)
        return call

    async def call_with_fds(
        self, procedure: Procedure[R], *args: object, fds: Sequence[int] = (), timeout: float | None = CALL_TIMEOUT
    ) -> tuple[R, list[int]]:
        """Call a procedure that takes descriptors, or answers with some.

        Those given stay the caller's; those that come are the caller's, not inheritable.
        """
        if not self._transport.passes_descriptors:
            raise Unsupported(
                f"{procedure.name}: this connection carries no file descriptors",
                hint="use a unix socket on the hypervisor's own host",
                verb=procedure.name,
            )
        call = self._make(procedure, args, timeout)
        call.takes_fds = True
        if fds:
            call.out_fds = fds
            call.frame = self._core.send(
                Message(
                    procedure.program,
                    procedure.number,
                    MessageType.CALL_WITH_FDS,
                    call.serial,
                    payload=call.frame[HEADER_SIZE:],
                    fds=tuple(fds),
                )
            )
        self._pending.add(call)
        self._pump()
        try:
            value = await call.wait()
        except BaseException:
            close_fds(call.fds)
            raise
        return value, list(call.fds)

    def submit_stream(
        self,
        procedure: Procedure[R],
        *args: object,
        on_stream: Callable[[Message | None], None],
        timeout: float | None = CALL_TIMEOUT,
    ) -> Call[R]:
        """Queue a call that opens a stream; packets, holes, its end go to `on_stream`, None when the connection ends.

        The data may come together with the reply, hence before `wait()` returns. End it with `end_stream`.
        """
        if procedure.stream is StreamKind.NONE:
            raise LocalProtocolError(f"{procedure.name} opens no stream", verb=procedure.name)
        call = self._make(procedure, args, timeout)
        call.on_stream = on_stream
        self._pending.add(call)
        self._streams[call.serial] = call
        self._pending.hold(call.serial)
        self._pump()
        return call

    async def send_stream(self, call: Call[Any], data: bytes) -> None:
        """Send a packet of a stream; returns once there is room for another."""
        self._check(call.what)
        self._send_packet(call, MessageStatus.CONTINUE, data)
        await self._transport.drain()

    def finish_stream(self, call: Call[Any], *, abort: bool = False) -> None:
        """Finish or abort a stream. The server confirms by a last packet."""
        if self.lost is None and call.serial in self._streams:
            self._send_packet(call, MessageStatus.ERROR if abort else MessageStatus.OK, b"")

    def end_stream(self, call: Call[Any]) -> None:
        """Forget a stream: its last packet came."""
        self._streams.pop(call.serial, None)
        self._pending.release(call.serial)

    def _send_packet(self, call: Call[Any], status: MessageStatus, data: bytes) -> None:
        self._transport.send(
            self._core.send(
                Message(
                    program=call.program,
                    procedure=call.procedure,
                    type=MessageType.STREAM,
                    serial=call.serial,
                    status=status,
                    payload=data,
                )
            )
        )

    def _check(self, procedure: Procedure[Any]) -> None:
        if self.lost is not None:
            raise ConnectionLost(str(self.lost), outcome=Outcomes.NOT_SENT, hint=self.lost.hint, verb=procedure.name)
        if os.getpid() != self._pid:
            raise LocalProtocolError(
                "a connection can't be used in a forked child",
                hint="open one there, after the fork",
                verb=procedure.name,
            )
        if self.read_only and procedure.read_only is ReadOnly.REFUSED:
            raise AccessDenied(
                f"{procedure.name}: this connection is read-only",
                hint="connect without read-only",
                verb=procedure.name,
            )

    def _make(
        self,
        procedure: Procedure[R],
        args: Sequence[object],
        timeout: float | None,
        priority: Priority | None = None,
        key: Hashable = None,
    ) -> Call[R]:
        if self.lost is not None or self.read_only or os.getpid() != self._pid:
            self._check(procedure)
        if procedure.fds is not _NO_FDS:
            self._transport.expect_descriptors(True)
        serial = self._pending.next_serial()
        payload = codec.pack(procedure, *args)
        frame = self._core.send_call(procedure.program, procedure.number, serial, payload)
        deadline = inf
        if timeout is not None:
            deadline = self.now() + timeout
            if deadline < self._timer_at and self._timer is not None:
                wake(self._timer)
        if priority is None:
            priority = _URGENT if procedure.high else _NORMAL
        return Call(
            procedure.program,
            procedure.number,
            serial,
            deadline,
            priority,
            key,
            rpc=self,
            what=procedure,
            frame=frame,
        )

    def flush(self) -> None:
        """Write what was submitted, as far as the window lets it."""
        self._flush_due = False
        self._pump()

    def _pump(self) -> None:
        if self.lost is not None or self._transport.buffered:
            return  # what is not written yet can still be withdrawn: on_drain goes on
        calls = self._pending.take()
        if not calls:
            return
        asked = self.inbound
        if len(calls) == 1 and not calls[0].out_fds:
            call = calls[0]
            if call.key is not None:
                self._watch(call)
            call.asked = asked
            frame, call.frame = call.frame, b""
            self._transport.send(frame)
            return
        frames: list[bytes] = []
        for call in calls:
            if call.key is not None:
                self._watch(call)
            call.asked = asked
            frames.append(call.frame)
            call.frame = b""
            if call.out_fds:
                self._write(b"".join(frames))
                frames.clear()
                # one byte a descriptor, after the message and not counted in it (§2)
                for fd in call.out_fds:
                    self._write(b"\0", [fd])
        if frames:
            self._write(b"".join(frames))

    def _watch(self, call: Call[Any]) -> None:
        self._pending.watch(call, self.now())
        if self._pending.earliest < self._timer_at and self._timer is not None:
            wake(self._timer)

    def _write(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send, unless what was sent just before was more than the peer takes, and ended the connection."""
        if self.lost is None:
            self._transport.send(data, fds)

    def abandon(self, call: Call[Any]) -> None:
        """The task that waited for this call was cancelled."""
        call.fail(LocalProtocolError(f"{call.what.name} was given up: the task that waited for it was cancelled"))
        close_fds(call.fds)
        call.fds = ()
        if self._pending.abandon(call, self.now()):
            self._drop_stream(call)
            return
        if call.state is State.DONE:
            self._abort_stream(call)
            return
        call.on_stream = None
        if self._pending.earliest < self._timer_at and self._timer is not None:
            wake(self._timer)

    # ------------------------------------------------------------ what the transport calls

    def on_data(self, data: bytes, fds: Sequence[int]) -> None:
        """Bytes came."""
        if not fds and (reply := self._core.receive_reply(data)) is not None:
            self._on_one_reply(reply)
            return
        try:
            messages = self._core.receive_data(data, fds)
        except RemoteProtocolError as error:
            self.close(error)
            return
        done = 0
        on_reply = self._on_reply
        events: list[Arrival] = []
        try:
            for message in messages:
                self.inbound += 1
                done += 1
                kind = message.type
                if kind is _REPLY:
                    on_reply(message)
                elif kind is _MESSAGE and message.program != KEEPALIVE_PROGRAM:
                    events.append((message, self.inbound))
                else:
                    self._dispatch(message)
                    if self.lost is not None:
                        break
        except RemoteProtocolError as error:
            self.close(error)
        finally:
            if done < len(messages):
                for message in messages[done:]:
                    close_fds(message.fds)
        if events and self.on_events is not None:
            self.on_events(events)
        if self.lost is None:
            if self._pinged and (owed := self._core.data_to_send()):
                self._pinged = False
                self._transport.send(owed)
            if self._pending.queued:
                self._pump()

    def _on_one_reply(self, reply: Message) -> None:
        self.inbound += 1
        try:
            self._on_reply(reply)
        except RemoteProtocolError as error:
            self.close(error)
        else:
            if self._pending.queued:
                self._pump()

    def on_drain(self) -> None:
        """The peer took all."""
        self._pump()

    def on_close(self, error: AvirtError | None) -> None:
        """The connection is over: everyone is told."""
        close_fds(self._core.take_fds())
        if isinstance(error, ConnectionLost):
            try:
                self._core.receive_eof()
            except RemoteProtocolError as cut:
                cut.__cause__ = error
                error = ConnectionLost(f"{error}, in the middle of a message", hint=error.hint)
        self.lost = error or ConnectionLost("the connection was closed", outcome=Outcomes.NOT_SENT)
        if self.breaker:
            for call in self._pending.stuck.values():
                if call.is_overdue and (sick := sick_of(call)) is not None:
                    self.breaker.lost(sick)
        for call, sent in self._pending.clear():
            outcome = Outcomes.UNKNOWN if sent else Outcomes.NOT_SENT
            lost = ConnectionLost(str(self.lost), outcome=outcome, hint=self.lost.hint, verb=call.what.name)
            lost.__cause__ = self.lost
            call.fail(lost)
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            if stream.on_stream is not None:
                stream.on_stream(None)
        if self._timer is not None:
            wake(self._timer)
        ends, self._ends = self._ends, []
        for waiter in ends:
            wake(waiter)

    def _on_reply(self, message: Message) -> None:
        call = self._pending.reply(message.program, message.procedure, message.serial)
        if call is None:
            close_fds(message.fds)
            self._abort_late(message)
            if self.breaker and self._pending.latest is not None:
                self._on_late(self.breaker, self._pending.latest, message)
            return
        if message.fds:
            if call.takes_fds:
                call.fds = message.fds
            else:
                close_fds(message.fds)
        if call.on_stream is not None and message.status is _ERROR:
            self._drop_stream(call)
        call.reply = message
        if (waiter := call.waiter) is not None and not waiter.done():
            waiter.set_result(None)

    def _dispatch(self, message: Message) -> None:
        kind = message.type
        if kind is MessageType.REPLY_WITH_FDS:
            self._on_reply(message)
        elif kind is MessageType.MESSAGE:
            if message.program == KEEPALIVE_PROGRAM:
                self._pinged = True
        elif kind is MessageType.STREAM or kind is MessageType.STREAM_HOLE:
            # late packets of streams that are over are to be ignored (§8)
            if (stream := self._streams.get(message.serial)) is not None:
                self._stream_packet(stream, message)
        else:
            raise RemoteProtocolError(f"the server sent a message of type {message.type}")

    def close(self, error: AvirtError | None = None) -> None:
        """End the connection now; `error` says why, None that we wanted it."""
        self._transport.close(error)

    async def wait_closed(self) -> AvirtError:
        """Wait until the connection is over; why."""
        while self.lost is None:
            waiter = self.waiter()
            self._ends.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._ends:
                    self._ends.remove(waiter)
        return self.lost

    # ------------------------------------------------------------ how it is doing

    @property
    def is_idle(self) -> bool:
        """Nothing is under way."""
        return not len(self._pending) and not self._streams

    @property
    def awaited(self) -> int:
        """Calls that someone waits for."""
        return self._pending.awaited

    @property
    def is_clogged(self) -> bool:
        """Too many calls were abandoned and never answered: replace this connection."""
        return self._pending.abandoned >= ABANDONED_LIMIT

    @property
    def stuck(self) -> int:
        """Calls with a key that are unanswered for longer than a healthy domain takes."""
        return len(self._pending.stuck)

    @property
    def unanswered(self) -> int:
        """Calls that were sent."""
        return self._pending.in_flight + self._pending.written_off

    def holds(self, key: Hashable) -> bool:
        """A call with this key is queued or unanswered, and not yet overdue."""
        pending = self._pending
        return pending.holds(key) and not any(e.key == key and e.is_overdue for e in pending.stuck.values())

    def parks(self, key: Hashable) -> bool:
        """Another call with this key would wait for one that is unanswered, be it for ever."""
        return self._pending.holds(key)

    def limit_keyed(self, most: int) -> None:
        """So many calls with a key may be on their way at once; the other slots are kept for those without."""
        self._pending.most_keyed = most

    @property
    def statistics(self) -> Statistics:
        """Numbers of this moment."""
        pending = self._pending
        return Statistics(
            in_flight=pending.in_flight,
            queued=pending.queued,
            abandoned=pending.abandoned,
            late=pending.late,
            inbound=self.inbound,
            buffered=self._transport.buffered,
        )

    # ------------------------------------------------------------ streams that nobody wants any more

    def _stream_packet(self, stream: Call[Any], message: Message) -> None:
        if stream.on_stream is not None:
            stream.on_stream(message)
        elif message.status is not MessageStatus.CONTINUE:
            self.end_stream(stream)  # the abort is confirmed

    def _drop_stream(self, call: Call[Any]) -> None:
        """The call that was to open a stream did not."""
        if call.on_stream is not None:
            call.on_stream = None
            self.end_stream(call)

    def _abort_stream(self, call: Call[Any]) -> None:
        """The stream is open, and its caller gone."""
        if call.serial in self._streams:
            call.on_stream = None
            self.finish_stream(call, abort=True)

    def _abort_late(self, reply: Message) -> None:
        """The late reply of a call that was to open a stream."""
        if (call := self._streams.get(reply.serial)) is not None:
            if reply.status is MessageStatus.ERROR:
                self.end_stream(call)
            else:
                self._abort_stream(call)

    # ------------------------------------------------------------ time

    @property
    def keepalive(self) -> Keepalive | None:
        """The watch over the peer's silence, None if it did not agree to one."""
        return self._keepalive

    def start_keepalive(self) -> None:
        """The server has agreed to pings: send some when it is silent, and give it up when it stays so."""
        self._keepalive = Keepalive(interval=self.settings.ping_interval, count=self.settings.ping_count)
        if self._timer is not None:
            wake(self._timer)

    async def keep_time(self) -> None:
        """Watch over all deadlines, and over the peer's silence. Returns when the connection is over."""
        while (at := self._look_at_time(now := self.now())) is not None:
            self._timer_at = at
            self._timer = timer = self.waiter()
            await self._loop.wait(timer, max(at, now + _GRANULE))

    def _look_at_time(self, now: float) -> float | None:
        """Do what is due; when to look again, or None."""
        for call, sent in self._pending.expire(now):
            self._expire(call, sent=sent)
        if self.gives_way and self._pending.stuck:
            self._withdraw(keyed=self.on_events is not None)
        self._pump()
        at = self._watch_silence(now) if self.lost is None else inf
        return min(self._pending.earliest, at) if self.lost is None else None

    def _expire(self, call: Call[Any], *, sent: bool) -> None:
        name = call.what.name
        call.on_stream = None
        if not sent:
            self.end_stream(call)
        call.fail(
            OperationTimeout(
                f"{name}: no answer in time" if sent else f"{name}: no free slot in time",
                phase=Phase.SENT if sent else Phase.QUEUED,
                hint="the daemon, or a domain, hangs: see its log",
                verb=name,
            )
        )

    def _withdraw(self, *, keyed: bool) -> None:
        for call in self._pending.withdraw(keyed=keyed):
            self._drop_stream(call)
            call.fail(
                Withdrawn(
                    f"{call.what.name} was not sent: calls of other domains hang on this connection",
                    hint="try again",
                    verb=call.what.name,
                )
            )

    def _on_late(self, breaker: Breaker[Sick], call: Call[Any], message: Message) -> None:
        """A domain that was thought to hang has answered; that another call still holds it is no answer."""
        sick = sick_of(call)
        if sick is None:
            return
        if message.status is _ERROR and isinstance(native_error(codec.unpack_error(message.payload)), Busy):
            breaker.lost(sick)
        else:
            breaker.answered(sick)

    def _on_overdue(self, call: Call[Any]) -> None:
        if self.breaker is not None and (sick := sick_of(call)) is not None:
            now = self.now()
            since = time.time() - (now - call.since)
            self.breaker.overdue(sick, call.what.name, since=since, now=now)

    def _watch_silence(self, now: float) -> float:
        """Ping if it is time to, or give up; when to look again."""
        watch = self._keepalive
        if watch is None:
            return inf
        verdict = watch.check(now, self.inbound, suspended=self._pending.is_full)
        if verdict is Verdict.PING:
            self._transport.send(_PING_FRAME)
        elif verdict is Verdict.DEAD:
            seconds = watch.interval * (watch.count + 1)
            self.close(
                ConnectionLost(
                    f"the daemon has not answered for {seconds:g} s", hint="it hangs, or the connection to it is dead"
                )
            )
        return watch.due


def sick_of(call: Call[Any]) -> Sick | None:
    """What hangs if this call does."""
    return (call.key, call.what.high) if isinstance(call.key, bytes) else None
