"""What real QEMUs said, recorded line by line, each with its origin, arguments and boot sector; for tests.

Guests are boot sectors that do one thing about 50 ms after `cont`: a write to an ACPI, panic or watchdog port, a triple
fault, a read of a broken disk, or nothing (reference/drivers.md §1, "How to test").
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ["ERRORS", "SCENES", "SCHEMA", "Line", "Scene"]

_FOLDER: Final = Path(__file__).resolve().parents[2] / "golden/qmp"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, `t` seconds after the connection stood: exactly one of the others."""

    t: float
    sent: dict[str, Any] | None = None
    got: dict[str, Any] | None = None
    sent_raw: str = ""
    signal: str = ""
    eof: bool = False
    closed: bool = False


class Scene(msgspec.Struct, frozen=True):
    """One connection to one QEMU."""

    name: str
    origin: str
    args: list[str]
    lines: list[Line]

    @property
    def errors(self) -> list[tuple[str, str, str]]:
        """Command, class and text of each refusal."""
        commands = {line.sent["id"]: line.sent["execute"] for line in self.lines if line.sent}
        return [
            (commands.get(line.got.get("id"), ""), line.got["error"]["class"], line.got["error"]["desc"])
            for line in self.lines
            if line.got and "error" in line.got
        ]


def _load(path: Path) -> Scene:
    head, *lines = path.read_text().splitlines()
    about = json.loads(head)
    return Scene(path.stem, about["origin"], about["args"], [msgspec.json.decode(line, type=Line) for line in lines])


SCENES: Final = {path.stem: _load(path) for path in sorted(_FOLDER.glob("*.jsonl"))}

SCHEMA: Final[dict[str, Any]] = json.loads((_FOLDER / "schema.json").read_text())

ERRORS: Final = [error for scene in SCENES.values() for error in scene.errors]
