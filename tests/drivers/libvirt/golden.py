"""Frames recorded from real daemons (`tools/record_libvirt.py`), as data for the tests of the core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["SCENES", "Frame", "Scene"]


class Frame(msgspec.Struct, frozen=True):
    """One message as it was on the wire, its descriptors' bytes behind it."""

    sender: str
    name: str
    type: str
    status: str
    fds: int
    data: bytes


class Scene(msgspec.Struct, frozen=True):
    """All messages of one connection, in order."""

    origin: str
    name: str
    frames: tuple[Frame, ...]

    def sent_by(self, sender: str) -> list[Frame]:
        """Those of one side."""
        return [frame for frame in self.frames if frame.sender == sender]


def _load(path: Path) -> Scene:
    document = json.loads(path.read_text())
    frames = tuple(
        Frame(row["from"], row["name"], row["type"], row["status"], row["fds"], bytes.fromhex(row["frame"]))
        for row in document["frames"]
    )
    return Scene(document["origin"], document["name"], frames)


_FOLDER: Final = Path(__file__).resolve().parents[2] / "golden/libvirt"

SCENES: Final[dict[str, Scene]] = {path.stem: _load(path) for path in sorted(_FOLDER.glob("*.json"))}
