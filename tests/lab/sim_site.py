"""A simulated daemon as scenarios use it: virsh's verbs done to its world, its world as the oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import avirt
from avirt.drivers.sim.domain import SimDomain
from avirt.errors import AvirtError
from avirt.model.state import ShutoffReason
from avirt.testing import LibvirtSim
from tests.lab.site import rows_of
from tests.lab.virsh import Row, VirshError, differences

__all__ = ["SimSite"]

_VERBS: Final[Mapping[str, Callable[[SimDomain], object]]] = {
    "start": SimDomain.start,
    "suspend": SimDomain.suspend,
    "resume": SimDomain.resume,
    "destroy": SimDomain.destroy,
    "reset": SimDomain.reset,
    "reboot": SimDomain.reboot,
    "shutdown": SimDomain.shutdown,
    "undefine": SimDomain.undefine,
    "managedsave": SimDomain.managed_save,
    "managedsave-remove": SimDomain.managed_save_remove,
    "autostart": lambda domain: domain.set_autostart(True),
}


class SimSite:
    """See `Place`."""

    def __init__(self, sim: LibvirtSim) -> None:
        self.sim = sim
        self.uri = sim.uri

    async def virsh(self, *args: str) -> str:
        verb, name, *rest = args
        world = self.sim.world
        try:
            if verb == "domrename":
                world.domain(name).rename(rest[0])
            elif verb == "restore":
                world.restore(name)
            elif verb == "save":
                world.domain(name).save(rest[0])
            elif verb == "start" and rest == ["--paused"]:
                world.domain(name).start(paused=True)
            else:
                assert not rest, f"a simulated virsh does not know {args}"
                _VERBS[verb](world.domain(name))
        except AvirtError as error:
            raise VirshError(str(error)) from error
        return ""

    async def define(self, xml: str) -> None:
        self.sim.world.define(xml)

    async def create(self, xml: str, *flags: str) -> None:
        self.sim.world.create(xml, paused="--paused" in flags)

    async def signal_guest(self, name: str, signal: str = "KILL") -> None:
        assert signal == "KILL"
        self.sim.domain(name).kill_emulator()

    async def truth(self) -> dict[str, Row]:
        return {str(domain.uuid): _row_of(domain) for domain in self.sim.world.domains.values()}

    async def agree(self) -> dict[str, Row]:
        async with avirt.connect(self.uri) as host:
            await self.sim.settled(host)
            rows = rows_of(host.view)
        truth = await self.truth()
        assert differences(rows, truth) == []
        return truth


def _row_of(domain: SimDomain) -> Row:
    saved = domain.image is not None and domain.reason is ShutoffReason.UNKNOWN
    return {
        "name": domain.name,
        "uuid": str(domain.uuid),
        "id": domain.id,
        "state": domain.state.name.lower(),
        "reason": "saved" if saved else domain.reason.name.lower(),
        "persistent": domain.persistent,
        "autostart": domain.autostart,
    }
