"""The simulated hypervisor passes the suite that real ones pass."""

from __future__ import annotations

from random import Random
from uuid import UUID

import anyio
import pytest

from avirt.drivers.base import Driver
from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.world import World
from avirt.testing import DriverConformance


class TestSim(DriverConformance):
    """One world for all sessions of a test."""

    @pytest.fixture
    def driver(self) -> Driver:
        return SimDriver(World(clock=anyio.current_time, rng=Random(1), name="lab"))

    @pytest.fixture
    def uri(self) -> str:
        return "sim://lab"

    def domain_xml(self, name: str, uuid: UUID) -> str:
        return f"<domain type='sim'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory></domain>"


class TestSimSlow(TestSim):
    """Replies that events overtake change nothing."""

    @pytest.fixture
    def uri(self) -> str:
        return "sim://lab?latency=2"
