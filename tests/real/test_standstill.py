"""A process that was stopped for longer than anybody waits for it: on waking its hosts are lost, and come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import anyio
import pytest
from anyio import to_thread

from avirt.drivers.libvirt.keepalive import DEFAULT_COUNT, DEFAULT_INTERVAL
from tests.lab.guests import firmware
from tests.lab.site import ROOT, Site

pytestmark = [
    pytest.mark.real,
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"]),
]

LIBVIRT = DEFAULT_INTERVAL * (DEFAULT_COUNT + 2)
"""Seconds after which libvirtd has closed the connection of a client that does not answer."""


class Watch:
    """`avirt -o json watch` in a process of its own."""

    def __init__(self, uri: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "avirt", "-c", uri, "-o", "json", "watch"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "NO_COLOR": "1"},
        )

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """What it prints up to the next of a kind."""
        return await to_thread.run_sync(self._read_until, kind, abandon_on_cancel=True)

    def _read_until(self, kind: str) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        found: list[dict[str, Any]] = []
        for line in self.process.stdout:
            found.append(json.loads(line))
            if found[-1]["kind"] == kind:
                return found
        raise AssertionError(f"it ended before {kind}: {found}")

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


async def test_stopped_process_loses_its_host_on_waking_and_misses_nothing(qemu: Site) -> None:
    await qemu.define(firmware("one"))
    await qemu.define(firmware("two"))
    await qemu.virsh("start", "one")
    watch = await to_thread.run_sync(Watch, qemu.uri)
    try:
        with anyio.fail_after(60):
            await watch.until("snapshot")
        watch.process.send_signal(signal.SIGSTOP)
        await qemu.virsh("suspend", "one")
        await qemu.virsh("undefine", "two")
        await anyio.sleep(LIBVIRT)
        watch.process.send_signal(signal.SIGCONT)
        with anyio.fail_after(60):
            items = await watch.until("host_resynced")
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(watch.end)
    kinds = [item["kind"] for item in items]
    assert [kind for kind in kinds if kind.startswith("host_")] == ["host_lost", "host_connected", "host_resynced"]
    # told by what was in the socket still, or by the listing: once each in any case
    assert sorted(kind for kind in kinds if not kind.startswith("host_")) == ["removed", "state_changed"]
    paused = next(item for item in items if item["kind"] == "state_changed")
    assert (paused["name"], paused["after"]["state"]) == ("one", "paused")
