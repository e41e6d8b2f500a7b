"""The read-only socket: everything is seen, nothing can be done."""

from __future__ import annotations

import pytest

import avirt
from avirt.errors import AccessDenied
from tests.lab.guests import firmware
from tests.lab.recording import record
from tests.lab.site import Site, rows_of

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]


async def test_readonly_connection_sees_and_may_do_nothing(qemu: Site) -> None:
    """Every verb is refused before anything is sent."""
    await qemu.define(firmware("watched"))
    async with avirt.connect(qemu.daemon.uri("qemu", readonly=True), readonly=True) as host:
        assert host.facts.read_only
        async with record(host.watch()) as seen:
            await qemu.virsh("start", "watched")
            truth = await seen.settles(qemu)
            assert rows_of(host.view) == truth
            domain = await host.lookup(name="watched")
            assert await domain.xml()
            for verb in (domain.destroy, domain.suspend, domain.undefine, domain.managed_save):
                with pytest.raises(AccessDenied):
                    await verb()
            with pytest.raises(AccessDenied):
                await host.define(firmware("never"))
            assert await qemu.truth() == truth


async def test_readonly_socket_refuses_by_itself(qemu: Site) -> None:
    """Opened as if it were read-write, the daemon's refusal is AccessDenied."""
    await qemu.define(firmware("guarded"))
    async with avirt.connect(qemu.daemon.uri("qemu", readonly=True)) as host:
        domain = await host.lookup(name="guarded")
        with pytest.raises(AccessDenied):
            await domain.start()
    await qemu.agree()


async def test_readonly_option_of_the_command_line(qemu: Site) -> None:
    """`-r` refuses with exit code 1, and changes nothing."""
    await qemu.define(firmware("still"))
    before = await qemu.truth()
    answer = await qemu.avirt("-r", "start", "still", check=False)
    assert answer.returncode == 1
    assert "read-only" in answer.stderr
    assert await qemu.truth() == before
