"""What a recorder puts around a driver, its sessions and transports, and a lifecycle. They pass on, and tell."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from anyio.abc import TaskStatus
from msgspec.structs import replace

from avirt.drivers.base import Driver, Emit, Env, PollPolicy, Session
from avirt.drivers.transport.base import Dialect, Loop, Receiver, Transport
from avirt.errors import AvirtError
from avirt.lifecycle import HostLifecycle, Now, Step
from avirt.log import redact
from avirt.model.observation import Gone, Item, Listing, Scope, Seen
from avirt.model.record import DomainRecord, HostFacts, Key
from avirt.recording.format import Call, Closed, Frames, Left, Recalled
from avirt.uri import URI

if TYPE_CHECKING:
    from avirt.recording.recorder import Recorder

__all__ = ["TappedDriver", "TappedLifecycle", "TappedSession", "TappedTransport"]

T = TypeVar("T")


class TappedDriver:
    """A driver whose sessions are recorded."""

    def __init__(self, driver: Driver, recorder: Recorder) -> None:
        self._driver = driver
        self._recorder = recorder

    @property
    def name(self) -> str:
        """The driver's."""
        return self._driver.name

    @property
    def schemes(self) -> frozenset[str]:
        """The driver's."""
        return self._driver.schemes

    @property
    def api(self) -> int:
        """The driver's."""
        return self._driver.api

    def open(self, uri: URI, env: Env) -> AbstractAsyncContextManager[Session]:
        """Open a session, looked on at."""
        return self._open(uri, replace(env, wire=self._recorder))

    @asynccontextmanager
    async def _open(self, uri: URI, env: Env) -> AsyncGenerator[Session]:
        recorder = self._recorder
        async with AsyncExitStack() as stack:
            async with recorder.call(Call.OPEN) as number:
                session = await stack.enter_async_context(self._driver.open(uri, env))
            recorder.opened(number)
            try:
                yield TappedSession(session, recorder)
            finally:
                recorder.write(Left(recorder.now(), number))


class TappedSession:
    """A session whose calls are recorded. What verbs do is seen in the frames, and in what comes of it."""

    def __init__(self, session: Session, recorder: Recorder) -> None:
        self._session = session
        self._recorder = recorder

    @property
    def facts(self) -> HostFacts:
        """The session's."""
        return self._session.facts

    @property
    def poll(self) -> PollPolicy | None:
        """The session's."""
        return self._session.poll

    def capability(self, kind: type[T]) -> T | None:
        """The session's."""
        return self._session.capability(kind)

    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        """All domains."""
        async with self._recorder.call(Call.LIST) as number:
            listing = await self._session.list(scope)
        self._recorder.listed(number)
        return listing

    async def probe(self, key: Key) -> Seen | Gone:
        """One domain."""
        async with self._recorder.call(Call.PROBE, key) as number:
            item = await self._session.probe(key)
        self._recorder.probed(item, number)
        return item

    async def watch(self, emit: Emit, *, task_status: TaskStatus[None]) -> None:
        """Emit Items, looked on at."""
        recorder = self._recorder
        async with recorder.call(Call.WATCH) as number:

            def emitting(items: Sequence[Item]) -> None:
                recorder.emitting(number)
                emit(items)
                recorder.emitting(None)

            await self._session.watch(emitting, task_status=task_status)


class TappedLifecycle(HostLifecycle):
    """A lifecycle whose steps are recorded."""

    def __init__(self, host: str, recorder: Recorder) -> None:
        super().__init__(host)
        self._recorder = recorder

    def recall(
        self, records: Iterable[DomainRecord], *, facts: HostFacts | None, revision: int, connected: bool
    ) -> None:
        """Begin with what is known from earlier."""
        records = tuple(records)
        self._recorder.write(Recalled(self._recorder.now(), records, facts, revision, connected))
        super().recall(records, facts=facts, revision=revision, connected=connected)

    def steps(self, items: Iterable[Item], now: Now) -> Step:
        """Take what came together, in order."""
        items = tuple(items)
        step = super().steps(items, now)
        self._recorder.took(items, now, step)
        return step

    def wake(self, now: Now) -> Step:
        """A timer came due."""
        step = super().wake(now)
        self._recorder.woke(now, step)
        return step


class TappedTransport:
    """A transport whose frames are recorded, whole and without secrets. It is the receiver of the real one."""

    def __init__(self, transport: Transport, recorder: Recorder, number: int, dialect: Dialect) -> None:
        self._transport = transport
        self._recorder = recorder
        self._number = number
        self._clean = dialect.clean
        self._came = dialect.splitter()
        self._went = dialect.splitter()
        self._receiver: Receiver | None = None

    def _record(self, frames: Sequence[bytes], *, sent: bool) -> None:
        if frames:
            data = b"".join(map(self._clean, frames))
            self._recorder.write(Frames(self._recorder.now(), self._number, sent, data))

    # ------------------------------------------------------------ what the session calls

    @property
    def loop(self) -> Loop:
        """The transport's."""
        return self._transport.loop

    @property
    def passes_descriptors(self) -> bool:
        """The transport's."""
        return self._transport.passes_descriptors

    @property
    def is_closed(self) -> bool:
        """The transport's."""
        return self._transport.is_closed

    @property
    def buffered(self) -> int:
        """The transport's."""
        return self._transport.buffered

    def expect_descriptors(self, expected: bool) -> None:
        """As the transport's."""
        self._transport.expect_descriptors(expected)

    async def run(self, receiver: Receiver) -> None:
        """Read until the stream is over."""
        self._receiver = receiver
        await self._transport.run(self)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Write, or keep for later."""
        self._record(self._went(data), sent=True)
        self._transport.send(data, fds)

    async def drain(self) -> None:
        """Wait until the out-buffer is empty."""
        await self._transport.drain()

    def close(self, error: AvirtError | None = None) -> None:
        """End it now."""
        self._transport.close(error)

    # ------------------------------------------------------------ what the transport calls

    def on_data(self, data: bytes, fds: Sequence[int]) -> None:
        """Bytes came."""
        self._record(self._came(data), sent=False)
        if self._receiver is not None:
            self._receiver.on_data(data, fds)

    def on_drain(self) -> None:
        """The out-buffer is empty."""
        if self._receiver is not None:
            self._receiver.on_drain()

    def on_close(self, error: AvirtError | None) -> None:
        """The stream is over."""
        why = None if error is None else redact(str(error))
        self._recorder.write(Closed(self._recorder.now(), self._number, why))
        if self._receiver is not None:
            self._receiver.on_close(error)
