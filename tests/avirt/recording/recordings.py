"""Recordings for tests: of a simulated daemon, made on the loop of the test; and files from lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from avirt.host import Host, connect
from avirt.model.change import Change
from avirt.recording.format import VERSION, Header, Line, write_line
from avirt.recording.reader import Recorded, read_recording
from avirt.recording.recorder import Recorder
from avirt.recording.replay import play
from avirt.testing import LibvirtSim, Replayed, ReplayFrom

HEADER = Header(
    version=VERSION, avirt="0.1.0", python="3.13.0", driver="sim", uri="sim://demo", host="sim", wall=1.0, at=5.0
)


def file_of(*lines: Line, header: Header = HEADER) -> bytes:
    """A file with these lines."""
    return b"".join(map(write_line, (header, *lines)))


@asynccontextmanager
async def recorded(sim: LibvirtSim, path: Path) -> AsyncIterator[Host]:
    """A host whose connection to a simulated daemon is recorded."""
    async with (
        Recorder(path, overwrite=True) as recorder,
        connect(sim.uri, driver=sim.driver, recorder=recorder) as host,
    ):
        yield host


def told(host: Host) -> Sequence[Change]:
    """Everything that this host's store was told, until now or until it was left: in a test its ring has it all."""
    window = host.engine.store.window
    assert window.oldest == 1
    return window.slice(1, window.head)


async def read(path: Path) -> Recorded:
    """A file, read in a worker thread."""
    return await anyio.to_thread.run_sync(read_recording, path)


async def same_again(path: Path, changes: Sequence[Change]) -> Replayed:
    """Play a file from its frames, twice, and from its Items: each time these changes. What was played first."""
    recording = await read(path)
    once = await play(recording)
    assert once.source is ReplayFrom.FRAMES
    for played in (once, await play(recording), await play(recording, source=ReplayFrom.ITEMS)):
        assert played.differences == []
        assert played.changes == changes
        assert played.records == once.records
    return once


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until a condition holds."""
    with anyio.fail_after(20):
        while not holds():  # noqa: ASYNC110  what is waited for tells nobody
            await anyio.sleep(0.005)
