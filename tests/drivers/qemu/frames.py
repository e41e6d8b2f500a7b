"""Conversations recorded from the real QEMU and its agent (`tools/record_qmp.py`), as data for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["SCENES", "Said", "Scene"]


class Said(msgspec.Struct, frozen=True):
    """Bytes of one side, up to the other's."""

    sender: str
    data: bytes


class Scene(msgspec.Struct, frozen=True):
    """One conversation."""

    origin: str
    said: tuple[Said, ...]

    def by(self, sender: str) -> list[bytes]:
        """What one side said."""
        return [each.data for each in self.said if each.sender == sender]

    def answers(self) -> list[tuple[bytes, bytes]]:
        """What the client said, each with what came of it."""
        pairs: list[tuple[bytes, bytes]] = []
        for each in self.said:
            if each.sender == "client":
                pairs.append((each.data, b""))
            elif pairs:
                pairs[-1] = (pairs[-1][0], each.data)
        return pairs


def _load(path: Path) -> Scene:
    document = json.loads(path.read_text())
    return Scene(
        document["origin"], tuple(Said(row["from"], row["data"].encode("latin-1")) for row in document["said"])
    )


_FOLDER: Final = Path(__file__).resolve().parents[2] / "golden/qmp/bytes"

SCENES: Final[dict[str, Scene]] = {path.stem: _load(path) for path in sorted(_FOLDER.glob("*.json"))}
