"""Live migration between two hosts, made by virsh: both halves are seen, each on its host."""

from __future__ import annotations

import socket

import pytest

import avirt
from avirt.model.state import DomainState, RunningReason, ShutoffReason
from tests.lab.guests import firmware
from tests.lab.recording import record
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_migration_is_seen_on_both_sides(qemu: Site, other_host: Site) -> None:
    """Gone here with the reason `migrated` (persistent: still defined), running there."""
    await qemu.define(firmware("mover"))
    await qemu.virsh("start", "mover")
    async with (
        avirt.connect(qemu.uri, name="here") as here,
        avirt.connect(other_host.uri, name="there") as there,
        record(here.watch()) as left,
        record(there.watch()) as arrived,
    ):
        target = ("--desturi", other_host.uri, "--migrateuri", f"tcp://127.0.0.1:{free_port()}")
        await qemu.virsh("migrate", "mover", "--live", *target)
        await left.settles(qemu)
        await arrived.settles(other_host)
        await qemu.agree()
        await other_host.agree()
        (source,) = left.replayed().values()
        (copy,) = arrived.replayed().values()
        assert source.uuid == copy.uuid
        assert (source.state, source.reason) == (DomainState.SHUTOFF, ShutoffReason.MIGRATED)
        assert (copy.state, copy.reason) == (DomainState.RUNNING, RunningReason.MIGRATED)
        assert source.id is None
