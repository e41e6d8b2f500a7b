"""Real daemons tell what the tables of `tests/lab/orders.py` say, which the simulated one is tested by, too."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tests.lab.guests import container, firmware, test_domain
from tests.lab.orders import LXC_ORDERS, TEST_ORDERS, Orders
from tests.lab.place import Place
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.anyio]

ONE_LOOP = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"])
"""What a daemon tells does not depend on who listens."""

ID = UUID("5f2b64f8-94c3-4a6c-a0b5-0b0d0a3f6d11")


@ONE_LOOP
class TestQemu(Orders):
    """The QEMU driver."""

    @pytest.fixture
    def site(self, qemu: Site) -> Place:
        return qemu

    def definition(self) -> str:
        return firmware("d", uuid=ID)


@ONE_LOOP
class TestLxc(Orders):
    """The LXC driver."""

    orders = LXC_ORDERS

    @pytest.fixture
    def site(self, lxc: Site, container_root: Path) -> Place:
        self.root = container_root
        return lxc

    def definition(self) -> str:
        return container("d", self.root).replace("</name>", f"</name><uuid>{ID}</uuid>")


@ONE_LOOP
class TestTest(Orders):
    """The test driver, whose hypervisor is shared by who is connected to it."""

    orders = TEST_ORDERS

    @pytest.fixture
    def site(self, testing: Site) -> Place:
        return testing

    def definition(self) -> str:
        return test_domain("d").replace("</name>", f"</name><uuid>{ID}</uuid>")
