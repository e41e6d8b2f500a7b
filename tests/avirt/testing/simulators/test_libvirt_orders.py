"""The simulated daemon tells what real ones tell (`tests/real/test_event_orders.py`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from avirt.testing import Config, LibvirtSim, Profile, SimDomain
from avirt.testing.simulators.libvirt import LXC, QEMU, TEST
from tests.lab.orders import GUEST_ORDERS, LXC_ORDERS, TEST_ORDERS, Orders, plain, telling
from tests.lab.place import Place
from tests.lab.sim_site import SimSite


class OfSim(Orders):
    """One inner driver."""

    profile: Profile = QEMU

    @pytest.fixture
    async def site(self, anyio_backend: object) -> AsyncIterator[Place]:
        async with LibvirtSim(profile=self.profile) as sim:
            yield SimSite(sim)
            assert sim.complaints == []

    def definition(self) -> str:
        return (
            "<domain type='x'><name>d</name><uuid>5f2b64f8-94c3-4a6c-a0b5-0b0d0a3f6d11</uuid>"
            "<memory unit='MiB'>16</memory></domain>"
        )


class TestQemu(OfSim):
    """The QEMU driver."""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("story", "config", "act"),
    [
        ("powers off", Config(), SimDomain.guest_shutdown),
        ("powers off", Config(), SimDomain.shutdown),
        ("reboots", Config(), SimDomain.reboot),
        ("panics, destroyed", Config(), SimDomain.crash),
        ("panics, preserved", Config(preserve=True), SimDomain.crash),
        ("panics, restarted", Config(restart=True), SimDomain.crash),
    ],
)
async def test_guest_that_does_something_by_itself(
    story: str, config: Config, act: Callable[[SimDomain], object]
) -> None:
    """The same as Linux under QEMU (`tests/real/test_qemu_guest.py`)."""
    async with LibvirtSim() as sim:
        with sim.world.muted():
            domain = sim.world.add("d", config=config)
        async with telling(SimSite(sim)) as told:
            domain.start()
            act(domain)
            await told.until(len(plain(GUEST_ORDERS[story])))
            assert told.words == GUEST_ORDERS[story]


class TestLxc(OfSim):
    """The LXC driver."""

    profile = LXC
    orders = LXC_ORDERS


class TestTest(OfSim):
    """The test driver."""

    profile = TEST
    orders = TEST_ORDERS
