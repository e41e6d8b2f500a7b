"""Records one host: `async with avirt.Recorder(path) as recorder, avirt.connect(uri, recorder=recorder) as host`.

It looks on at three places (`taps.py`), each of which is wrapped and none of which knows of it: the driver, for what
the engine asks of it; its transports, for the frames; and the lifecycle, for Items in, Changes out, and their times.
Without a recorder none of that is there.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from anyio import get_cancelled_exc_class

from avirt.drivers.base import Driver
from avirt.drivers.transport.base import Connect, Dialect, Transport
from avirt.drivers.transport.loop import current_loop
from avirt.errors import AvirtError, InvalidArgument
from avirt.lifecycle import HostLifecycle, Now, Step
from avirt.log import redact
from avirt.model.observation import Item, LinkUp, ListingSlice
from avirt.model.record import Key
from avirt.recording.format import CANCELLED, VERSION, Answered, Asked, Call, Header, Line, Opened, Took, Woke
from avirt.recording.taps import TappedDriver, TappedLifecycle, TappedTransport
from avirt.recording.writer import Writer
from avirt.uri import URI
from avirt.version import __version__

__all__ = ["Recorder"]


class Recorder:
    """Records what happens between one `connect` and its hypervisor, and what is concluded, into a file.

    The file holds no passwords, XML, guest commands or data (docs/record.md says what it holds). It can be read by its
    owner only. What happened until then is in it even if the process is killed.

    Args:
        path: the file to make.
        overwrite: replace one that is there.

    Raises (on entering):
        InvalidArgument: the file is there already, or can't be made.

    Raises (on leaving, unless the body raised):
        ResourceError: the recording ended early: the disk is full, or broken.

    Attributes:
        changes: how many were recorded.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.writer = Writer(path, overwrite=overwrite)
        self.changes = 0
        self.now: Callable[[], float] = time.monotonic
        self._host = ""
        self._calls = 0
        self._connections = 0
        self._opening = 0
        self._watching: int | None = None
        self._listed = 0
        self._slicing: int | None = None
        self._probed: dict[int, tuple[Item, int]] = {}

    async def __aenter__(self) -> Self:
        await self.writer.__aenter__()
        self.now = current_loop().now
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return await self.writer.__aexit__(kind, error, traceback)

    # ------------------------------------------------------------ for connect

    def begin(self, *, host: str, uri: URI, driver: Driver, read_only: bool) -> None:
        """Write the header.

        Raises:
            InvalidArgument: another host is recorded already.
        """
        if self._host:
            raise InvalidArgument(
                f"this recorder records '{self._host}' already", hint="one recorder, and one file, for each host"
            )
        self._host = host
        self.writer.write(
            Header(
                version=VERSION,
                avirt=__version__,
                python=platform.python_version(),
                driver=driver.name,
                uri=str(uri),
                host=host,
                read_only=read_only,
                wall=time.time(),
                at=self.now(),
            )
        )

    def driver(self, driver: Driver) -> Driver:
        """The driver, looked on at."""
        return TappedDriver(driver, self)

    def lifecycle(self, host: str) -> HostLifecycle:
        """A lifecycle that is looked on at."""
        return TappedLifecycle(host, self)

    # ------------------------------------------------------------ for the taps

    def write(self, line: Line) -> None:
        """Keep a line."""
        self.writer.write(line)

    @asynccontextmanager
    async def call(self, what: Call, key: Key | None = None) -> AsyncGenerator[int]:
        """Record a call of the driver and how it ended; gives its number."""
        self._calls += 1
        number = self._calls
        self.write(Asked(self.now(), number, what, key))
        error: str | None = None
        try:
            yield number
        except AvirtError as failure:
            error = redact(f"{type(failure).__name__}: {failure.message}")
            raise
        except get_cancelled_exc_class():
            error = CANCELLED
            raise
        except BaseException as bug:
            error = type(bug).__name__  # what it says may be anything
            raise
        finally:
            self.write(Answered(self.now(), number, error))

    def opened(self, call: int) -> None:
        """What follows comes of this session."""
        self._opening = call
        self._slicing = None
        self._probed.clear()

    def listed(self, call: int) -> None:
        """What the lifecycle takes next are slices of this listing."""
        self._listed = call

    def probed(self, item: Item, call: int) -> None:
        """This Item comes of that call."""
        self._probed[id(item)] = item, call

    def emitting(self, call: int | None) -> None:
        """What the lifecycle takes now comes of that watch."""
        self._watching = call

    def took(self, items: Sequence[Item], now: Now, step: Step) -> None:
        """The lifecycle took these."""
        changes = tuple(step.changes)
        self.changes += len(changes)
        self.write(Took(now.monotonic, now.wall, tuple(items), changes, self._source(items)))

    def woke(self, now: Now, step: Step) -> None:
        """A timer of the lifecycle came due."""
        changes = tuple(step.changes)
        self.changes += len(changes)
        self.write(Woke(now.monotonic, now.wall, changes))

    def _source(self, items: Sequence[Item]) -> int | None:
        """The call that these Items come of."""
        if self._watching is not None:
            return self._watching
        if len(items) != 1:
            return None
        (item,) = items
        if isinstance(item, LinkUp):
            return self._opening
        if isinstance(item, ListingSlice):
            call = self._listed if self._slicing is None else self._slicing
            self._slicing = None if item.last else call
            return call
        _, number = self._probed.pop(id(item), (item, None))
        return number

    # ------------------------------------------------------------ drivers.transport.base.Wire

    @property
    def window(self) -> int | None:
        """As ever."""
        return None

    async def connect(self, connect: Connect, dialect: Dialect) -> Transport:
        """A transport that is looked on at."""
        self._connections += 1
        number = self._connections
        try:
            transport = await connect()
        except AvirtError as error:
            self.write(Opened(self.now(), number, redact(f"{type(error).__name__}: {error.message}")))
            raise
        self.write(Opened(self.now(), number))
        return TappedTransport(transport, self, number, dialect)
