"""Recordings of libvirt 9.0 (its test driver, QEMU 7.2, LXC), played: the changes that followed then, on every loop.

Made by `python -m tests.real.record_golden`. Where avirt asks a daemon something else than it did, they are made anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from avirt.model.change import HostConnected, HostLost, HostResynced, Removed
from avirt.recording.replay import ReplayFrom, replay
from avirt.testing.checkers import validate

FOLDER = Path(__file__).resolve().parents[2] / "golden/recordings"
FILES = sorted(FOLDER.glob("*.avirt"))
LINK = [HostConnected, HostResynced, HostLost]


@pytest.mark.anyio
@pytest.mark.parametrize("source", list(ReplayFrom))
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_recording_of_libvirt_gives_what_followed_then(file: Path, source: ReplayFrom) -> None:
    """From the frames and from the Items; and the stream breaks no promise."""
    played = await replay(file, source=source)
    assert played.differences == []
    assert played.source is source
    links = [type(change) for change in played.changes if type(change) in LINK]
    assert links == LINK * 2
    if file.stem != "test":  # each of its connections has a hypervisor of its own
        assert any(isinstance(change, Removed) for change in played.changes)
        assert played.records == {}
        validate(played.changes, view=list(played.records.values()), start=0)


def test_golden_recordings_are_small() -> None:
    """Three of them, below 200 KiB in all."""
    assert len(FILES) == 3
    assert sum(file.stat().st_size for file in FILES) < 200 * 1024
