"""What a recorder writes, and what it leaves alone: the connection, the loop, whoever else is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.transport.base import Dialect, Receiver
from avirt.drivers.transport.loop import current_loop
from avirt.errors import AvirtError, ConnectionLost, InvalidArgument, NativeError
from avirt.host import connect
from avirt.model.observation import Accepted, LinkLost, LinkUp, ListingSlice, Seen
from avirt.model.state import Transition
from avirt.recording.format import Answered, Asked, Call, Closed, Frames, Left, Opened, Recalled, Took, Woke
from avirt.recording.recorder import Recorder
from avirt.recording.replay import ReplayFrom, play
from avirt.recording.taps import TappedTransport
from avirt.uri import parse_uri
from tests.avirt.recording.recordings import read, told
from tests.avirt.worlds import make_world

pytestmark = pytest.mark.anyio


async def test_recording_holds_calls_items_and_changes_in_order(tmp_path: Path) -> None:
    """What the engine asked, what came of it, by which call, and what was concluded."""
    world = make_world("a", "b", running=("a",))
    async with (
        Recorder(tmp_path / "r") as recorder,
        connect("sim://x", driver=SimDriver(world=world), recorder=recorder) as host,
    ):
        await (await host.lookup(name="b")).start()
    recording = await read(tmp_path / "r")
    lines = recording.lines
    header = recording.header
    assert (header.driver, header.uri, header.host) == ("sim", "sim://x", host.name)
    assert [line.what for line in lines if isinstance(line, Asked)][:3] == [Call.OPEN, Call.WATCH, Call.LIST]
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    took = [line for line in lines if isinstance(line, Took)]
    by_call = {line.call: line.what for line in lines if isinstance(line, Asked)}
    sources = {type(item): line.call and by_call[line.call] for line in took for item in line.items}
    assert sources[LinkUp] is Call.OPEN
    assert sources[ListingSlice] is Call.LIST
    assert sources[Accepted] is None
    assert sources[LinkLost] is None
    assert {by_call[line.call] for line in took if line.call and isinstance(line.items[0], Seen)} == {
        Call.WATCH,
        Call.PROBE,
    }
    assert [change for line in took for change in line.changes] == told(host)
    assert recorder.changes == len(told(host))
    assert [line.error for line in lines if isinstance(line, Answered) and by_call[line.call] is Call.WATCH] == [
        "cancelled"
    ]
    assert sum(isinstance(line, Left) for line in lines) == 1
    played = await play(recording)
    assert played.source is ReplayFrom.ITEMS
    assert played.differences == []
    assert played.changes == told(host)


async def test_recording_of_reads_that_fail_says_why(tmp_path: Path) -> None:
    """And the record that was stale meanwhile is so again."""
    world = make_world("a")
    async with (
        Recorder(tmp_path / "r") as recorder,
        connect("sim://x", driver=SimDriver(world=world), recorder=recorder) as host,
    ):
        world.faults.fail_reads("a")
        with pytest.raises(NativeError):
            await host.domains()[0].refresh()
    recording = await read(tmp_path / "r")
    errors = [line.error for line in recording.lines if isinstance(line, Answered) and line.error]
    assert errors[0] == "NativeError: the read failed"
    assert (await play(recording)).changes == told(host)


async def test_recorder_of_two_hosts_is_refused(tmp_path: Path) -> None:
    """One file is one connection's."""
    async with Recorder(tmp_path / "r") as recorder:
        async with connect("sim://a", driver=SimDriver(world=make_world()), recorder=recorder):
            pass
        with pytest.raises(InvalidArgument, match="records 'sim://a' already"):
            async with connect("sim://b", driver=SimDriver(world=make_world()), recorder=recorder):
                pass


async def test_recording_with_a_journal_begins_with_what_it_knew(tmp_path: Path) -> None:
    """Revisions go on where the last process ended; so they do when it is played."""
    world = make_world("a", running=("a",))
    async with connect("sim://x", driver=SimDriver(world=world), journal=tmp_path / "j"):
        pass
    async with (
        Recorder(tmp_path / "r") as recorder,
        connect("sim://x", driver=SimDriver(world=world), journal=tmp_path / "j", recorder=recorder) as host,
    ):
        world.domain("a").destroy()
        await host.refresh()
    recording = await read(tmp_path / "r")
    (recalled,) = [line for line in recording.lines if isinstance(line, Recalled)]
    assert [record.name for record in recalled.records] == ["a"]
    played = await play(recording)
    assert played.differences == []
    assert len(played.changes) == recorder.changes
    assert played.changes[0].revision > 1
    assert [record.name for record in played.records.values()] == ["a"]


# ---------------------------------------------------------------- transports


class Plain:
    """A dialect of one-byte frames; capital letters are secrets."""

    filler = b"-"

    def splitter(self) -> Callable[[bytes], list[bytes]]:
        return lambda data: [bytes([byte]) for byte in data]

    def clean(self, frame: bytes) -> bytes:
        return b"*" if frame.isupper() else frame

    def question(self, frame: bytes) -> None:
        return None

    def answer(self, frame: bytes) -> None:
        return None

    def renumbered(self, frame: bytes, serial: int) -> bytes:
        return frame


class Inner:
    """A transport that notes what it is told."""

    passes_descriptors = False
    is_closed = False
    buffered = 7

    def __init__(self) -> None:
        self.loop = current_loop()
        self.done: list[object] = []

    async def run(self, receiver: Receiver) -> None:
        receiver.on_data(b"aB", ())
        receiver.on_data(b"", ())
        receiver.on_drain()
        receiver.on_close(ConnectionLost("gone: password=tweet"))

    def send(self, data: bytes, fds: object = ()) -> None:
        self.done.append((data, fds))

    def expect_descriptors(self, expected: bool) -> None:
        self.done.append(f"descriptors {expected}")

    async def drain(self) -> None:
        self.done.append("drain")

    def close(self, error: AvirtError | None = None) -> None:
        self.done.append(error)


class Told:
    """A receiver that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_data(self, data: bytes, fds: object) -> None:
        self.told.append(data)

    def on_drain(self) -> None:
        self.told.append("drain")

    def on_close(self, error: AvirtError | None) -> None:
        self.told.append(error)


async def test_tapped_transport_passes_on_everything_and_records_what_is_clean(tmp_path: Path) -> None:
    """Both ways; the session gets the bytes, the file what may be kept of them."""
    inner, receiver = Inner(), Told()
    dialect: Dialect = Plain()
    async with Recorder(tmp_path / "r") as recorder:
        recorder.begin(host="h", uri=parse_uri("sim://x:80?token=tweet"), driver=SimDriver(), read_only=False)

        async def make() -> Inner:
            return inner

        tapped = await recorder.connect(make, dialect)
        assert isinstance(tapped, TappedTransport)
        assert (tapped.passes_descriptors, tapped.is_closed, tapped.buffered) == (False, False, 7)
        assert tapped.loop is inner.loop
        tapped.expect_descriptors(False)
        await tapped.run(receiver)
        tapped.send(b"xY", (3,))
        await tapped.drain()
        tapped.close()
    assert inner.done == ["descriptors False", (b"xY", (3,)), "drain", None]
    assert receiver.told[:3] == [b"aB", b"", "drain"]
    assert isinstance(receiver.told[3], ConnectionLost)
    opened, came, closed, went = (await read(tmp_path / "r")).lines
    assert isinstance(opened, Opened)
    assert isinstance(came, Frames)
    assert isinstance(went, Frames)
    assert (came.sent, came.data, went.sent, went.data) == (False, b"a*", True, b"x*")
    assert isinstance(closed, Closed)
    assert closed.why == "gone: password=***"
    assert "tweet" not in await anyio.Path(tmp_path / "r").read_text()


async def test_wake_of_the_lifecycle_is_recorded(tmp_path: Path) -> None:
    """A transition that nobody saw end is ended by time, then and when it is played."""
    world = make_world("a")
    async with (
        Recorder(tmp_path / "r") as recorder,
        connect("sim://x", driver=SimDriver(world=world), recorder=recorder) as host,
    ):
        host.engine.accepted(host.domains()[0].key, Transition.STARTING, 0.02)
        with anyio.fail_after(5):
            while host.domains()[0].record.transition is not None:  # noqa: ASYNC110
                await anyio.sleep(0.01)
    recording = await read(tmp_path / "r")
    assert any(isinstance(line, Woke) and line.changes for line in recording.lines)
    assert (await play(recording)).changes == told(host)
