"""The conformance suite against real daemons, by each inner driver that runs here."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from avirt.drivers.base import Driver
from avirt.drivers.libvirt.driver import LibvirtDriver
from avirt.testing.conformance import DriverConformance
from tests.lab.guests import container, firmware, test_domain
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.slow]


class TestQemu(DriverConformance):
    """Guests that consist of firmware only."""

    @pytest.fixture
    def driver(self) -> Driver:
        return LibvirtDriver()

    @pytest.fixture
    def uri(self, qemu: Site) -> str:
        return qemu.uri

    def domain_xml(self, name: str, uuid: UUID) -> str:
        return firmware(name, uuid=uuid)


class TestTest(DriverConformance):
    """libvirt's test driver: each connection has a hypervisor of its own that ends with it."""

    shares_world = False
    can_start_paused = False

    @pytest.fixture
    def driver(self) -> Driver:
        return LibvirtDriver()

    @pytest.fixture
    def uri(self, testing: Site) -> str:
        return testing.uri

    def domain_xml(self, name: str, uuid: UUID) -> str:
        return test_domain(name).replace("</name>", f"</name><uuid>{uuid}</uuid>")


class TestLxc(DriverConformance):
    """Containers: no managed save, no renaming, no statistics."""

    can_start_paused = False
    can_rename = False
    can_managed_save = False

    @pytest.fixture
    def driver(self) -> Driver:
        return LibvirtDriver()

    @pytest.fixture
    def uri(self, lxc: Site, container_root: Path) -> str:
        self.root = container_root
        return lxc.uri

    def domain_xml(self, name: str, uuid: UUID) -> str:
        return container(name, self.root).replace("</name>", f"</name><uuid>{uuid}</uuid>")
