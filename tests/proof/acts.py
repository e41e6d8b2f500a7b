"""What can happen to the domains of a simulated world, whatever state they are in: chosen by number, so that any
sequence of numbers is a life, also one of which parts were taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from avirt.drivers.sim.domain import Config, Image, SimDomain
from avirt.drivers.sim.world import World
from avirt.errors import AvirtError
from avirt.model.state import DomainState

__all__ = ["NAMES", "TOLD_AT_ONCE", "Stage"]

Act = Callable[["Stage", SimDomain], object]

NAMES: Final = ("web", "db", "mail", "git", "dns")
"""Few, so that names come back with other uuids."""


class Stage:
    """A world, and who left it.

    Attributes:
        away: those that migrated to another host.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.away: list[Image] = []

    def domain(self, which: int) -> SimDomain | None:
        """One of those that are there."""
        domains = list(self.world.domains.values())
        return domains[which % len(domains)] if domains else None

    def act(self, which: int, pick: int, *, surely_told: bool = False) -> str:
        """Let something happen to a domain that may happen in its state. What it was; what can't be done is not.

        Args:
            surely_told: no event is lost now.
        """
        domain = self.domain(which)
        if domain is None:
            return self.appear(pick)
        acts = [*ALWAYS.items(), *POSSIBLE.get(domain.state, {}).items()]
        name, act = acts[pick % len(acts)]
        if name == TOLD_AT_ONCE and not surely_told:
            name, act = "destroy", _UP["destroy"]  # else reads would lie for a while, and no event would ever tell
        shown = f"{domain.name}: {name}"
        with suppress(AvirtError):
            act(self, domain)
        return shown

    def appear(self, pick: int) -> str:
        """One more domain: new, transient, or back from another host."""
        name = NAMES[pick % len(NAMES)]
        with suppress(AvirtError):
            if self.away and pick % 2:
                return f"{self.world.migrate_in(self.away.pop(), persistent=pick % 4 == 1).name}: is back"
            self.world.add(name, persistent=pick % 3 != 0, running=pick % 2 == 0, config=Config(preserve=pick % 4 == 0))
            return f"{name}: appears"
        return f"{name}: is there already"


def _leave(stage: Stage, domain: SimDomain) -> None:
    stage.away.append(domain.migrate_away(undefine=domain.key[0] % 2 == 0))


def _swap(stage: Stage, domain: SimDomain) -> None:
    """Two names are exchanged, by a third."""
    other = next(each for each in [*stage.world.domains.values(), domain] if not each.active or each is domain)
    if other is not domain:
        mine, theirs = domain.name, other.name
        domain.rename("between")
        other.rename(mine)
        domain.rename(theirs)


def _twin(stage: Stage, domain: SimDomain) -> None:
    """The same name, another uuid."""
    if domain.active:
        domain.destroy()
    if domain.key in stage.world.domains:
        domain.undefine(managed_save=True)
    stage.world.add(domain.name, running=True)


def _remade(stage: Stage, domain: SimDomain) -> None:
    """The same name and uuid after it was gone."""
    if domain.active:
        domain.destroy()
    if domain.key in stage.world.domains:
        domain.undefine(managed_save=True)
    stage.world.add(domain.name, uuid=domain.uuid, persistent=False)


ALWAYS: Final[Mapping[str, Act]] = {
    "another appears": lambda stage, domain: stage.appear(domain.key[0]),
    "undefine": lambda _, domain: domain.undefine(managed_save=True),
    "autostart": lambda _, domain: domain.set_autostart(not domain.autostart),
}

TOLD_AT_ONCE: Final = "emulator killed, told at once"

_UP: Final[Mapping[str, Act]] = {
    "destroy": lambda _, domain: domain.destroy(),
    "crash": lambda _, domain: domain.crash(),
    "emulator killed": lambda _, domain: domain.kill_emulator(),
    TOLD_AT_ONCE: lambda _, domain: domain.kill_emulator(told_first=True),
    "saved": lambda _, domain: domain.managed_save(),
    "reset": lambda _, domain: domain.reset(),
    "migrates away": _leave,
}

POSSIBLE: Final[Mapping[DomainState, Mapping[str, Act]]] = {
    DomainState.RUNNING: {
        **_UP,
        "suspend": lambda _, domain: domain.suspend(),
        "shutdown": lambda _, domain: domain.shutdown(),
        "reboot": lambda _, domain: domain.reboot(),
        "reboots by itself": lambda _, domain: domain.guest_reboot(),
        "powers off": lambda _, domain: domain.guest_shutdown(),
        "sleeps": lambda _, domain: domain.pm_suspend(),
        "disk full": lambda _, domain: domain.io_error(),
        "does not migrate after all": lambda _, domain: domain.fail_migration(),
        "twin": _twin,
        "remade": _remade,
    },
    DomainState.PAUSED: {**_UP, "resume": lambda _, domain: domain.resume()},
    DomainState.PMSUSPENDED: {"destroy": _UP["destroy"], "wakes": lambda _, domain: domain.pm_wakeup()},
    DomainState.CRASHED: {"destroy": _UP["destroy"], "reset": _UP["reset"]},
    DomainState.SHUTOFF: {
        "start": lambda _, domain: domain.start(),
        "start again": lambda _, domain: domain.start(),
        "start paused": lambda _, domain: domain.start(paused=True),
        "rename": lambda _, domain: domain.rename(f"{domain.name[:3]}-{domain.incarnation}"),
        "swap": _swap,
        "twin": _twin,
        "remade": _remade,
    },
}
