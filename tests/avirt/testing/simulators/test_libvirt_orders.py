"""The simulated daemon tells what real ones tell (`tests/real/test_event_orders.py`)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from avirt.testing import LibvirtSim, Profile
from avirt.testing.simulators.libvirt import LXC, QEMU, TEST
from tests.lab.orders import LXC_ORDERS, TEST_ORDERS, Orders
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


class TestLxc(OfSim):
    """The LXC driver."""

    profile = LXC
    orders = LXC_ORDERS


class TestTest(OfSim):
    """The test driver."""

    profile = TEST
    orders = TEST_ORDERS
