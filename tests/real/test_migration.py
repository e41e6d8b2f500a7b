"""Live migration between two real hosts, made by virsh: `tests/lab/migration.py`."""

from __future__ import annotations

import socket

import pytest

from tests.lab.migration import Migration
from tests.lab.place import Place
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"])
class TestQemu(Migration):
    """virsh is the oracle on both sides."""

    @pytest.fixture
    def site(self, qemu: Site) -> Place:
        return qemu

    @pytest.fixture
    def other(self, other_host: Site) -> Place:
        return other_host

    async def move(self, site: Place, other: Place, *, persistent: bool = False) -> None:
        flags = ("--persistent", "--undefinesource") if persistent else ()
        target = ("--desturi", other.uri, "--migrateuri", f"tcp://127.0.0.1:{free_port()}")
        await site.virsh("migrate", "mover", "--live", *flags, *target)
