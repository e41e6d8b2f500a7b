"""Recordings of a simulated libvirt daemon, played from their frames to the real driver: the same changes again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import anyio
import pytest
import trio
from trio.testing import MockClock

from avirt.errors import AvirtError, CannotConnect
from avirt.host import connect
from avirt.model.change import Added, Change, HostConnected, HostReplaced, Removed, StateChanged, Updated
from avirt.model.record import HostState
from avirt.model.state import DomainState
from avirt.recording.format import Answered, Asked, Call, Closed, Frames, Header, Line, Opened, Took
from avirt.recording.reader import Recorded
from avirt.recording.recorder import Recorder
from avirt.recording.replay import play
from avirt.testing import LibvirtSim, ReplayFrom, Seeded
from avirt.testing.simulators.libvirt import LXC
from tests.avirt.recording.recordings import read, recorded, same_again, told, until

pytestmark = pytest.mark.slow


@pytest.mark.anyio
async def test_replay_of_events_gives_the_same_changes(tmp_path: Path) -> None:
    """Started, stopped, crashed, renamed, new and gone: as it was told, in the same order with the same revisions."""
    async with LibvirtSim(domains=3, running=2, memory=True) as sim, recorded(sim, tmp_path / "r") as host:
        sim.domain("vm2").start()
        sim.domain("vm0").crash()
        sim.domain("vm1").suspend()
        sim.world.add("new", running=True, persistent=False)
        await sim.settled(host)
        sim.domain("new").destroy()
        sim.domain("vm1").resume()
        await sim.settled(host)
    changes = told(host)
    assert {StateChanged, Added, Removed} <= {type(change) for change in changes}
    played = await same_again(tmp_path / "r", changes)
    assert {record.name: record.state for record in played.records.values()} == {
        "vm0": DomainState.SHUTOFF,
        "vm1": DomainState.RUNNING,
        "vm2": DomainState.RUNNING,
    }


@pytest.mark.anyio
async def test_replay_of_verbs_needs_nobody_to_make_their_calls(tmp_path: Path) -> None:
    """What verbs sent, on either connection, is in the file; their answers count and mean nothing."""
    async with LibvirtSim(domains=2, running=1, memory=True) as sim, recorded(sim, tmp_path / "r") as host:
        domain = await host.lookup(name="vm0")
        await domain.suspend()
        await domain.destroy()
        await domain.start()
        await domain.xml()
        await sim.settled(host)
    changes = told(host)
    await same_again(tmp_path / "r", changes)
    recording = await read(tmp_path / "r")
    assert sum(isinstance(line, Opened) for line in recording.lines) == 2


@pytest.mark.anyio
async def test_recording_of_passwords_has_none(tmp_path: Path) -> None:
    """Given in XML, read in XML, sent to a guest; also not in an error that quotes them."""
    file = tmp_path / "r"
    xml = "<domain type='qemu'><name>new</name><memory>9</memory><graphics type='vnc' passwd='tweettweet'/></domain>"
    async with LibvirtSim(domains=1, memory=True) as sim, recorded(sim, file) as host:
        domain = await host.define(xml)
        await domain.xml(secure=True)
        with pytest.raises(AvirtError):
            await host.define("<domain type='qemu'><name>tweettweet")
        sim.faults.fail_call(1, text="no: tweettweet", procedure="domain_create_with_flags")
        with pytest.raises(AvirtError):
            await domain.start(timeout=5)
    frames = b"".join(line.data for line in (await read(file)).lines if isinstance(line, Frames))
    assert b"new" in frames
    assert b"tweet" not in frames
    assert b"tweet" not in await anyio.Path(file).read_bytes()
    await same_again(file, told(host))


@pytest.mark.anyio
async def test_replay_of_daemon_restarts_gives_the_same_changes(tmp_path: Path) -> None:
    """Lost, connected again, what happened meanwhile, and another host under the same URI."""
    async with LibvirtSim(domains=3, running=3, memory=True) as sim, recorded(sim, tmp_path / "r") as host:
        with sim.restart() as world:
            sim.domain("vm0").destroy()
            world.add("born")
        await until(lambda: len([c for c in told(host) if isinstance(c, HostConnected)]) == 2)
        await sim.settled(host)
        sim.replace_host()
        await until(lambda: any(isinstance(c, HostReplaced) for c in told(host)))
        await sim.settled(host)
    changes = told(host)
    await same_again(tmp_path / "r", changes)


@pytest.mark.anyio
async def test_replay_of_a_storm_gives_the_same_changes(tmp_path: Path) -> None:
    """A thousand events in a few reads, and the listing that follows."""
    async with LibvirtSim(domains=60, memory=True) as sim, recorded(sim, tmp_path / "r") as host:
        sim.faults.storm(1000)
        await sim.settled(host)
    changes = told(host)
    assert len(changes) > 300
    await same_again(tmp_path / "r", changes)


@pytest.mark.anyio
async def test_replay_of_lists_gives_the_same_changes(tmp_path: Path) -> None:
    """Where there are no statistics: many calls, one after the other."""
    async with (
        LibvirtSim(domains=9, running=4, memory=True, profile=LXC) as sim,
        recorded(sim, tmp_path / "r") as host,
    ):
        sim.domain("vm8").start()
        await sim.settled(host)
        await host.refresh()
    changes = told(host)
    await same_again(tmp_path / "r", changes)


@pytest.mark.anyio
async def test_replay_of_a_cut_in_mid_frame_gives_the_same_changes(tmp_path: Path) -> None:
    """The frame that was never complete is not there."""
    async with LibvirtSim(domains=3, memory=True) as sim, recorded(sim, tmp_path / "r") as host:
        sim.faults.cut(after_bytes=100)
        sim.domain("vm0").destroy()
        await until(lambda: len([c for c in told(host) if isinstance(c, HostConnected)]) == 2)
        await sim.settled(host)
    changes = told(host)
    await same_again(tmp_path / "r", changes)


@pytest.mark.anyio
async def test_replay_of_a_read_that_fails_gives_the_same_changes(tmp_path: Path) -> None:
    """The record is stale then, and live again after the next read."""
    async with LibvirtSim(domains=2, memory=True) as sim, recorded(sim, tmp_path / "r") as host:
        sim.faults.fail_call(38, times=1, procedure="domain_get_state")
        sim.domain("vm0").suspend()
        await until(lambda: any(isinstance(change, Updated) for change in told(host)))
        await host.refresh()
    changes = told(host)
    await same_again(tmp_path / "r", changes)


@pytest.mark.anyio
async def test_replay_of_a_connection_that_failed_says_why(tmp_path: Path) -> None:
    """The recording holds what there was until then, and nothing follows from it."""
    with pytest.raises(CannotConnect):
        async with (
            Recorder(tmp_path / "r") as recorder,
            connect(f"qemu+unix:///system?socket={tmp_path}/nothing", recorder=recorder),
        ):
            pass
    recording = await read(tmp_path / "r")
    for source in ReplayFrom:
        played = await play(recording, source=source)
        assert played.changes == []
        assert played.differences == []
        assert "there is no socket" in played.notes[0]


@pytest.mark.anyio
async def test_replay_of_refused_credentials_says_why(tmp_path: Path) -> None:
    """The daemon's answer is in the frames: opening fails the same way."""
    async with LibvirtSim(domains=1, memory=True) as sim:
        sim.faults.refuse_auth()
        with pytest.raises(AvirtError):
            async with recorded(sim, tmp_path / "r"):
                pass
    played = await play(await read(tmp_path / "r"))
    assert played.source is ReplayFrom.FRAMES
    assert played.differences == []
    assert "no connection" in played.notes[0]


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(3))
async def test_replay_of_any_life_under_faults_gives_the_same_changes(tmp_path: Path, seed: int) -> None:
    """Whatever happens, and whatever goes wrong on the wire meanwhile."""
    rng = Random(seed)
    async with (
        LibvirtSim(domains=12, memory=True, seed=seed, life=Seeded(rate=50, lasts=0.5)) as sim,
        recorded(sim, tmp_path / "r") as host,
    ):
        faults = sim.faults
        for _ in range(6):
            await anyio.sleep(rng.random() * 0.1)
            what = rng.choice((faults.fragment, faults.reorder, faults.lose_event, faults.repeat_event, faults.cut))
            what()
        with sim.restart():
            pass
        await until(lambda: host.status.state is HostState.LIVE and host.status.synced)
    changes = told(host)
    assert len(changes) > 12
    await same_again(tmp_path / "r", changes)


async def hung(path: Path) -> Sequence[Change]:
    """Three of six domains hang, for minutes."""
    async with LibvirtSim(domains=6, memory=True) as sim, recorded(sim, path) as host:
        for number in range(3):
            sim.faults.hang(f"vm{number}")
        for number in range(5):
            sim.domain(f"vm{number}").suspend()
        await anyio.sleep(100)
        sim.domain("vm5").suspend()
        await anyio.sleep(100)
    return told(host)


@pytest.mark.parametrize("uvloop", [False, True])
def test_replay_of_domains_that_hang_gives_the_same_changes(tmp_path: Path, uvloop: bool) -> None:
    """Reads given up after 30 s, slots given away, pings, a connection replaced: minutes of then, none of now."""
    clock = MockClock(autojump_threshold=0.01)  # worker threads have their time
    changes: Sequence[Change] = trio.run(hung, tmp_path / "r", clock=clock)
    assert sum(isinstance(change, Updated) for change in changes) >= 3
    anyio.run(same_again, tmp_path / "r", changes, backend_options={"use_uvloop": uvloop})


# ---------------------------------------------------------------- what is not as it was


async def made(path: Path) -> Recorded:
    """A short recording."""
    async with LibvirtSim(domains=1, running=1, memory=True) as sim, recorded(sim, path) as host:
        sim.domain("vm0").destroy()
        await sim.settled(host)
        assert host.status.state is HostState.LIVE
    return await read(path)


@pytest.mark.anyio
async def test_replay_without_the_frame_of_an_event_says_what_is_missing(tmp_path: Path) -> None:
    """A driver that does not see what it saw then: the change is missing."""
    recording = await made(tmp_path / "r")
    stopped = next(
        index
        for index, line in enumerate(recording.lines)
        if isinstance(line, Took) and any(isinstance(change, StateChanged) for change in line.changes)
    )
    assert isinstance(recording.lines[stopped - 1], Frames)
    lines = [line for index, line in enumerate(recording.lines) if index != stopped - 1]
    played = await play(Recorded(recording.header, lines))
    assert played.differences
    assert "recorded" in played.differences[0]


@pytest.mark.anyio
async def test_replay_with_an_answer_that_failed_then_says_so(tmp_path: Path) -> None:
    """A call that is answered now, and was not: what follows may be something else."""
    recording = await made(tmp_path / "r")
    listing = next(line.call for line in recording.lines if isinstance(line, Asked) and line.what is Call.LIST)
    lines = [
        Answered(line.at, line.call, "NativeError: broken")
        if isinstance(line, Answered) and line.call == listing
        else line
        for line in recording.lines
    ]
    played = await play(Recorded(recording.header, lines))
    assert "failed (NativeError: broken); now it is answered" in played.differences[0]


@pytest.mark.anyio
async def test_replay_with_frames_missing_says_what_is_not_answered(tmp_path: Path) -> None:
    """A driver that asks something else than it did gets no answer: the Items of then go on."""
    recording = await made(tmp_path / "r")
    listing = next(
        index for index, line in enumerate(recording.lines) if isinstance(line, Asked) and line.what is Call.LIST
    )
    sent = next(index for index in range(listing, len(recording.lines)) if isinstance(recording.lines[index], Frames))
    lines = [line for index, line in enumerate(recording.lines) if index != sent]
    played = await play(Recorded(recording.header, lines), patience=0.05)
    assert "was answered; now: no answer" in played.differences[0]
    assert len(played.changes) == len((await play(recording)).changes)


HEADER = Header(version=1, avirt="0", python="3", driver="libvirt", uri="test:///default", host="h", wall=0.0, at=0.0)


@pytest.mark.anyio
async def test_stage_nonsense_in_order_is_differences() -> None:
    """Lines that follow from nothing: a call without a session, frames without a connection, an answer to nothing."""
    lines: list[Line] = [
        Asked(0.0, 1, Call.LIST),
        Answered(0.0, 7),
        Frames(0.0, 3, sent=True, data=b"nonsense"),
        Closed(0.0, 3),
        Asked(0.0, 2, Call.OPEN),
        Opened(0.0, 1),
        Frames(0.0, 1, sent=False, data=b"nonsense"),
        Answered(0.0, 2),
    ]
    played = await play(Recorded(HEADER, lines), patience=0.05)
    assert played.changes == []
    assert played.differences == [
        "line 2: list is asked of a session that was not opened",
        "line 9: open (call 2) was answered; now: no answer, with what was recorded",
    ]
