"""An emulator that hangs: a QEMU that was stopped (SIGSTOP) answers nothing until it goes on."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

import avirt
from avirt.drivers.libvirt.endpoint import LibvirtSession
from avirt.errors import Busy
from avirt.host import Host
from avirt.model.record import Certainty
from avirt.model.state import DomainState
from tests.lab.guests import firmware
from tests.lab.recording import record
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]

ON_UVLOOP = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"])


def hangs(host: Host) -> bool:
    session = host.engine.session
    assert isinstance(session, LibvirtSession)
    return bool(session._lanes.breaker)


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not holds():  # noqa: ASYNC110 -- nothing tells
            await anyio.sleep(0.1)


async def answers(host: Host, name: str) -> None:
    """Within a second: statistics, which ask the emulator, XML, verbs."""
    domain = await host.lookup(name=name)
    with anyio.fail_after(5):
        assert (await domain.stats()).params
        assert await domain.xml()
        assert (await domain.suspend()).observed
        assert (await domain.resume()).observed


@ON_UVLOOP
async def test_emulator_that_hangs_costs_itself_and_nobody_else(qemu: Site) -> None:
    """Reads of it are not answered, then fail at once; its state is known all the same; it recovers; destroy works."""
    await qemu.create(firmware("sick"))
    await qemu.create(firmware("well"))
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        sick = await host.lookup(name="sick")
        await answers(host, "sick")
        await qemu.signal_guest("sick", "STOP")
        with anyio.move_on_after(2) as patience:
            await sick.stats()
        assert patience.cancelled_caught
        await answers(host, "well")
        await until(lambda: hangs(host))
        with anyio.fail_after(1), pytest.raises(Busy, match="hung since"):
            await sick.stats()
        assert [finding.ok for finding in await host.diagnose() if finding.step == "domain"] == [False]
        await answers(host, "well")
        await host.refresh()
        assert sick.record.state is DomainState.RUNNING
        assert sick.record.certainty is Certainty.LIVE  # libvirt knows it without asking the emulator
        await qemu.signal_guest("sick", "CONT")
        await until(lambda: not hangs(host))
        await answers(host, "sick")
        await qemu.signal_guest("sick", "STOP")
        with anyio.move_on_after(1):
            await sick.stats()
        assert (await sick.destroy()).observed  # libvirt kills it in the end
        await answers(host, "well")
        await seen.settles(qemu)
        await qemu.agree()
