"""The simulated daemon passes the suite that the real one passes (`tests/real/test_libvirt_conformance.py`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from avirt.drivers.base import Driver
from avirt.drivers.libvirt.driver import LibvirtDriver
from avirt.testing import DriverConformance, LibvirtSim
from avirt.testing.simulators.libvirt import LXC, QEMU, TEST, XEN


class OfSim(DriverConformance):
    """One simulated daemon for all sessions of a test, which may not do anything wrong."""

    memory = False
    profile = QEMU

    @pytest.fixture
    async def sim(self, anyio_backend: object) -> AsyncIterator[LibvirtSim]:
        async with LibvirtSim(domains=2, running=1, memory=self.memory, profile=self.profile) as sim:
            yield sim
            assert sim.complaints == []

    @pytest.fixture
    def driver(self, sim: LibvirtSim) -> Driver:
        return sim.driver

    @pytest.fixture
    def uri(self, sim: LibvirtSim) -> str:
        return sim.uri

    def domain_xml(self, name: str, uuid: UUID) -> str:
        type = self.profile.domain_type
        return f"<domain type='{type}'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory></domain>"


@pytest.mark.slow
class TestOnUnixSocket(OfSim):
    """The driver as it is finds it by its path."""

    @pytest.fixture
    def driver(self) -> Driver:
        return LibvirtDriver()


class TestInMemory(OfSim):
    """Without any path."""

    memory = True


@pytest.mark.slow
class TestAsTestDriver(OfSim):
    """As libvirt's test driver, but for its worlds, which are one."""

    memory = True
    profile = TEST
    can_start_paused = False


@pytest.mark.slow
class TestAsLxc(OfSim):
    """As libvirt's LXC driver: no statistics, so the lists are read another way."""

    memory = True
    profile = LXC
    can_start_paused = False
    can_rename = False
    can_managed_save = False


@pytest.mark.slow
class TestAsXen(OfSim):
    """As libxl."""

    memory = True
    profile = XEN
