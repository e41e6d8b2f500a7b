"""Two hundred domains: the listing, the stream and the oracle agree on all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyio import to_thread

import avirt
from avirt.model.change import Added, Removed
from tests.lab.guests import firmware, test_domain
from tests.lab.recording import record
from tests.lab.site import Site, rows_of

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]

MANY = 200


async def test_two_hundred_defined_domains(qemu: Site) -> None:
    """Defined under a watch: each is added once; a fresh list agrees; undefined, each is removed once."""
    files = [qemu.file(firmware(f"many-{number:03}")) for number in range(MANY)]
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        await to_thread.run_sync(qemu.oracle.batch, [f"define {file}" for file in files])
        truth = await seen.settles(qemu)
        assert len(truth) == MANY
        assert rows_of(host.view) == truth
        assert await qemu.agree() == truth
        for name in ("many-000", "many-100", "many-199"):
            await qemu.virsh("start", name)
        await seen.settles(qemu)
        await qemu.agree()
        for name in ("many-000", "many-100", "many-199"):
            await qemu.virsh("destroy", name)
        await to_thread.run_sync(qemu.oracle.batch, [f"undefine many-{number:03}" for number in range(MANY)])
        await seen.settles(qemu)
        assert await qemu.agree() == {}
    assert len(seen.of(Added)) == len(seen.of(Removed)) == MANY


async def test_two_hundred_running_domains_of_the_test_driver(testing: Site, tmp_path: Path) -> None:
    """A hypervisor described by a file; each connection has its own, alike."""
    node = "<node>" + "".join(test_domain(f"t{number}") for number in range(MANY)) + "</node>"
    path = testing.daemon.folder / "node.xml"
    path.write_text(node)
    uri = f"test+unix:///{path}?socket={testing.daemon.socket}"
    async with avirt.connect(uri) as host:
        assert len(host.view) == MANY
        assert {record.state.name for record in host.view.values()} == {"RUNNING"}
        assert len({record.id for record in host.view.values()}) == MANY


async def test_default_hypervisor_of_the_test_driver_is_shared(testing: Site) -> None:
    """test:///default is one for all connections of a daemon: what virsh does there is seen."""
    async with avirt.connect(testing.uri) as host, record(host.watch()) as seen:
        domain = await host.lookup(name="test")
        for verb in ("suspend", "resume", "destroy", "start"):
            await testing.virsh(verb, "test")
            await seen.settles(testing)
            await testing.agree()
        await domain.refresh()
        assert rows_of(host.view) == await testing.truth()
