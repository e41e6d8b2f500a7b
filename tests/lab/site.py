"""One driver of a laboratory daemon, as a test uses it: virsh's verbs and avirt's own command line, without blocking
the loop, and the question whether the two agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import to_thread

from avirt.model.record import DomainRecord
from tests.lab.daemon import Daemon
from tests.lab.runner import run
from tests.lab.virsh import FIELDS, Row, Virsh, VirshError, differences

__all__ = ["ROOT", "Site", "row_of", "rows_of"]

ROOT: Final = Path(__file__).resolve().parents[2]

PATIENCE: Final = 15.0
"""Seconds for what has to become so. Nothing waits that long unless it fails: this machine may be busy."""


def row_of(record: DomainRecord) -> Row:
    """A record in the oracle's shape."""
    return {
        "name": record.name,
        "uuid": str(record.uuid),
        "id": record.id,
        "state": record.state.name.lower(),
        "reason": record.reason.name.lower(),
        "persistent": record.persistent,
        "autostart": record.autostart,
    }


def rows_of(view: Mapping[Any, DomainRecord]) -> dict[str, Row]:
    """A view in the oracle's shape."""
    return {str(record.uuid): row_of(record) for record in view.values()}


class Site:
    """One driver of one daemon."""

    def __init__(self, daemon: Daemon, driver: str) -> None:
        self.daemon = daemon
        self.driver = driver
        self.uri = daemon.uri(driver)
        self.oracle = Virsh(self.uri)
        self._files = 0

    # ------------------------------------------------------------ virsh

    async def virsh(self, *args: str) -> str:
        """One virsh command."""
        return await to_thread.run_sync(partial(self.oracle, *args))

    async def define(self, xml: str) -> None:
        """virsh define."""
        await self.virsh("define", self.file(xml))

    async def create(self, xml: str, *flags: str) -> None:
        """virsh create."""
        await self.virsh("create", self.file(xml), *flags)

    def file(self, xml: str) -> str:
        """A file with this text."""
        self._files += 1
        path = self.daemon.folder / f"{self.driver}-{self._files}.xml"
        path.write_text(xml)
        return str(path)

    async def truth(self) -> dict[str, Row]:
        """What virsh says of all domains."""
        return await to_thread.run_sync(self.oracle.inventory)

    # ------------------------------------------------------------ the daemon

    async def restart(self, *, gently: bool = True) -> None:
        """End the daemon and start it again."""
        await to_thread.run_sync(partial(self.daemon.restart, gently=gently))

    async def kill(self) -> None:
        """SIGKILL for the daemon."""
        await to_thread.run_sync(self.daemon.kill)

    async def start(self) -> None:
        """Start the daemon again."""
        await to_thread.run_sync(self.daemon.start)

    async def freeze(self) -> None:
        """SIGSTOP."""
        await to_thread.run_sync(self.daemon.freeze)

    async def thaw(self) -> None:
        """SIGCONT."""
        await to_thread.run_sync(self.daemon.thaw)

    async def signal_guest(self, name: str, signal: str = "KILL") -> None:
        """A signal for a guest's process."""
        await to_thread.run_sync(self.daemon.signal_guest, name, signal)

    # ------------------------------------------------------------ avirt's command line

    async def avirt(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `avirt -c URI …`."""
        return await to_thread.run_sync(partial(run_avirt, "-c", self.uri, *args, check=check))

    async def listed(self) -> dict[str, Row]:
        """What `avirt list --all -o json` says, in the oracle's shape."""
        answer = await self.avirt("list", "--all", "-o", "json")
        rows: Sequence[Mapping[str, object]] = json.loads(answer.stdout)
        return {str(row["uuid"]): {field: row[field] for field in FIELDS} for row in rows}

    async def agree(self) -> dict[str, Row]:
        """`avirt list --all -o json` and virsh say the same; what they say.

        Both read by themselves, one after the other: what is on its way between the two is looked at again.
        """
        rows: dict[str, Row] = {}
        truth: dict[str, Row] = {}
        with anyio.move_on_after(PATIENCE):
            while True:
                truth = await self.truth()
                rows = await self.listed()
                if rows == truth:
                    return rows
        assert differences(rows, truth) == []
        return rows

    async def clean(self) -> None:
        """No domain is left."""
        await to_thread.run_sync(self.wipe)

    def wipe(self) -> None:
        """The same, outside of a loop."""
        for uuid in self.oracle.uuids():
            for command in (("destroy", uuid), ("undefine", uuid, "--managed-save")):
                try:
                    self.oracle(*command)
                except VirshError:
                    continue  # it was off, transient, or of a driver without managed save


def run_avirt(
    *args: str, check: bool = True, timeout: float = 60, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """avirt in a process of its own, without a terminal."""
    answer = run(
        [sys.executable, "-m", "avirt", *args],
        cwd=str(ROOT),
        timeout=timeout,
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
    )
    if check:
        assert answer.returncode == 0, f"avirt {' '.join(args)}: {answer.returncode}\n{answer.stdout}{answer.stderr}"
    return answer
