"""Recordings of real libvirt: no secret is in them, and played again they give what followed then."""

from __future__ import annotations

import base64
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

import avirt
from avirt.recording.format import Frames
from avirt.recording.reader import read_recording
from avirt.testing import ReplayFrom, replay
from tests.lab.lives import CANARY, Life, container_life, driver_life, qemu_life
from tests.lab.site import Site, run_avirt

pytestmark = [pytest.mark.real, pytest.mark.slow]


async def lived(site: Site, life: Life, file: Path) -> None:
    """Record a life, and play it: the same changes as were published, from frames and from Items."""
    async with avirt.Recorder(file) as recorder, avirt.connect(site.uri, recorder=recorder) as host:
        await life(site, host)
    window = host.engine.store.window
    changes = window.slice(1, window.head)
    assert len(changes) == recorder.changes
    for source in (ReplayFrom.FRAMES, ReplayFrom.FRAMES, ReplayFrom.ITEMS):
        played = await replay(file, source=source)
        assert played.differences == []
        assert played.changes == changes
        assert all("no connection" in note for note in played.notes)  # while the daemon was down


@pytest.mark.anyio
async def test_life_in_the_test_driver_is_played_as_it_was(testing: Site, tmp_path: Path) -> None:
    """Verbs, and a restart of the daemon."""
    await lived(testing, driver_life, tmp_path / "r")


@pytest.mark.anyio
async def test_life_of_a_container_is_played_as_it_was(lxc: Site, container_root: Path, tmp_path: Path) -> None:
    """Lists and single reads."""
    await lived(lxc, container_life(container_root), tmp_path / "r")


@pytest.mark.anyio
async def test_life_of_a_guest_is_played_as_it_was_and_its_password_is_nowhere(qemu: Site, tmp_path: Path) -> None:
    """In what was defined, in what dumpxml answered, in the frames, in the text."""
    file = tmp_path / "r"
    await lived(qemu, qemu_life, file)
    text = await anyio.Path(file).read_bytes()
    recording = await to_thread.run_sync(read_recording, file)
    frames = b"".join(line.data for line in recording.lines if isinstance(line, Frames))
    assert b"golden" in frames
    for secret in (CANARY.encode(), CANARY[1:].encode()):
        assert secret not in frames
        assert secret not in text
        assert base64.b64encode(secret) not in text


@pytest.mark.parametrize("options", [(), ("-r",)], ids=["read-write", "read-only"])
def test_command_line_records_and_replays(qemu: Site, tmp_path: Path, options: tuple[str, ...]) -> None:
    """As in a bug report."""
    file = str(tmp_path / "r")
    recorded = run_avirt("-c", qemu.uri, *options, "record", file, "--timeout", "3")
    assert "changes recorded into" in recorded.stdout
    played = run_avirt("replay", file)
    assert "connected: QEMU" in played.stdout
    assert "from its frames" in played.stderr
