"""The simulated daemon passes the scenarios that real QEMU passes (`tests/real/test_qemu_lifecycle.py`)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from avirt.testing import LibvirtSim
from tests.lab.lifecycle import Lifecycle
from tests.lab.place import Place
from tests.lab.sim_site import SimSite


@pytest.mark.slow
class TestSim(Lifecycle):
    """Its world is the oracle."""

    @pytest.fixture
    async def site(self, anyio_backend: object) -> AsyncIterator[Place]:
        async with LibvirtSim() as sim:
            yield SimSite(sim)
            assert sim.complaints == []
