"""virsh, the oracle: what libvirt's own client says, in the shape of `avirt list --all -o json`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from tests.lab.runner import run

__all__ = ["Row", "Virsh", "VirshError", "differences"]

Row = dict[str, object]
"""name, uuid, id, state, reason, persistent, autostart of one domain."""

FIELDS: Final = ("name", "uuid", "id", "state", "reason", "persistent", "autostart")

STATES: Final = {
    "no state": "nostate",
    "running": "running",
    "idle": "running",  # libvirt's BLOCKED: ours is RUNNING with the flag `idle`
    "paused": "paused",
    "in shutdown": "shutdown",
    "shut off": "shutoff",
    "crashed": "crashed",
    "pmsuspended": "pmsuspended",
}

REASONS: Final = {
    "from snapshot": "from_snapshot",
    "migration canceled": "migration_canceled",
    "save canceled": "save_canceled",
    "event wakeup": "wakeup",
    "post-copy": "postcopy",
    "post-copy failed": "postcopy_failed",
    "migrating": "migration",
    "saving": "save",
    "dumping": "dump",
    "I/O error": "ioerror",
    "shutting down": "shutting_down",
    "creating snapshot": "snapshot",
    "starting up": "starting_up",
    "api error": "api_error",
}
"""Those that virsh words differently than the enums (virsh-domain-monitor.c against libvirt-domain.h)."""


class VirshError(Exception):
    """virsh refused."""


class Virsh:
    """virsh at one URI. Blocks: tests of the loop call it through `anyio.to_thread`."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def __call__(self, *args: str, timeout: float = 120) -> str:
        """Run one command; its output.

        Raises:
            VirshError: it failed.
        """
        answer = run(["virsh", "-q", "-c", self.uri, *args], timeout=timeout, env={**os.environ, "LC_ALL": "C"})
        if answer.returncode != 0:
            raise VirshError(answer.stderr.strip() or answer.stdout.strip())
        return answer.stdout.strip()

    def batch(self, commands: Sequence[str]) -> str:
        """Several commands over one connection, in order."""
        return self("; ".join(commands)) if commands else ""

    def uuids(self) -> list[str]:
        """All domains."""
        return self("list", "--all", "--uuid").split()

    def inventory(self) -> dict[str, Row]:
        """All domains by uuid. A domain that vanishes meanwhile makes it look again."""
        while True:
            uuids = self.uuids()
            try:
                said = self.batch([f"{verb} {uuid}" for uuid in uuids for verb in ("dominfo", "domstate --reason")])
            except VirshError:
                if self.uuids() == uuids:
                    raise
                continue
            return {str(row["uuid"]): row for row in parse(said)}


def differences(ours: Mapping[str, Row], truth: Mapping[str, Row]) -> list[str]:
    """Where two pictures differ, in words: `web1: reason is 'failed', virsh says 'crashed'`."""
    found = []
    for uuid in sorted(ours.keys() | truth.keys()):
        mine, theirs = ours.get(uuid), truth.get(uuid)
        if mine is None or theirs is None:
            found.append(
                f"{(mine or theirs or {}).get('name')}: {'only virsh' if mine is None else 'only avirt'} has it"
            )
            continue
        found += [
            f"{theirs['name']}: {field} is {mine[field]!r}, virsh says {theirs[field]!r}"
            for field in FIELDS
            if mine[field] != theirs[field]
        ]
    return found


def parse(said: str) -> list[Row]:
    """Rows out of `dominfo` and `domstate --reason`, domain after domain."""
    rows: list[Row] = []
    row: Row = {}
    saved = False
    for line in said.splitlines():
        label, colon, value = line.partition(":")
        value = value.strip()
        match label.strip():
            case "Id" if colon:
                row = {"id": None if value == "-" else int(value)}
            case "Name" if colon:
                row["name"] = value
            case "UUID" if colon:
                row["uuid"] = value
            case "Persistent" if colon:
                row["persistent"] = value == "yes"
            case "Managed save" if colon:
                saved = value == "yes"
            case "Autostart" if colon:
                row["autostart"] = value == "enable"
            case _ if not colon and line.endswith(")"):
                state, _, reason = line[:-1].partition(" (")
                row["state"] = STATES[state]
                row["reason"] = REASONS.get(reason, reason)
                if saved and (state, reason) == ("shut off", "unknown"):
                    row["reason"] = "saved"  # a restarted daemon forgets the reason, not the image
                rows.append({field: row.get(field) for field in FIELDS})
    return rows
