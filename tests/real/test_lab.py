"""The laboratory itself: what the other tests here stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.daemon import Daemon
from tests.lab.guests import container, firmware
from tests.lab.site import Site
from tests.lab.virsh import Virsh

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_guests_outlive_their_daemon(qemu: Site) -> None:
    """Killed, terminated, restarted: the guest runs on under its id."""
    qemu.oracle("create", qemu.file(firmware("survivor")))
    (before,) = qemu.oracle.inventory().values()
    for gently in (True, False):
        qemu.daemon.restart(gently=gently)
        assert list(qemu.oracle.inventory().values()) == [before]


def test_two_daemons_know_nothing_of_each_other(qemu: Site) -> None:
    """Each has its own state."""
    qemu.oracle("define", qemu.file(firmware("mine")))
    with Daemon(hostname="elsewhere") as second:
        oracle = Virsh(second.uri("qemu"))
        assert oracle("hostname") == "elsewhere"
        assert oracle.uuids() == []


def test_nothing_is_left_when_a_daemon_is_closed() -> None:
    """No process, no folder."""
    with Daemon() as running:
        folder = running.folder
        Virsh(running.uri("qemu"))("create", Site(running, "qemu").file(firmware("left")))
    assert not folder.exists()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(folder).encode() in _read(path)]


def test_container_starts(lxc: Site, container_root: Path) -> None:
    """LXC works here."""
    lxc.oracle("create", lxc.file(container("boxed", container_root)))
    (row,) = lxc.oracle.inventory().values()
    assert row["state"] == "running"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
