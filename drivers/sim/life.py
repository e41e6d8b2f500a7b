"""A life for a simulated world: a script (steps as data), or a seeded one that goes on for ever.

Both speak the same words, `Act`. A life lives on the world's agenda, so it moves only while somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum, auto
from typing import Final

import msgspec

from avirt.drivers.sim.domain import Image, SimDomain
from avirt.drivers.sim.world import World
from avirt.errors import AvirtError
from avirt.model.state import DomainState

__all__ = ["NAMES", "Act", "Scripted", "Seeded", "Stage", "Step"]


class Act(StrEnum):
    """What can happen to a domain."""

    START = auto()
    START_PAUSED = auto()
    SHUTDOWN = auto()
    DESTROY = auto()
    REBOOT = auto()
    RESET = auto()
    SUSPEND = auto()
    RESUME = auto()
    MANAGED_SAVE = auto()
    CRASH = auto()
    KILL_EMULATOR = auto()
    IO_ERROR = auto()
    PM_SUSPEND = auto()
    PM_WAKEUP = auto()
    RENAME = auto()
    """`to`: the new name."""
    UNDEFINE = auto()
    APPEAR = auto()
    """A new domain, defined and off."""
    APPEAR_TRANSIENT = auto()
    """A new domain, running and not defined."""
    MIGRATE_AWAY = auto()
    MIGRATE_IN = auto()
    """One that left before comes back."""
    FAIL_MIGRATION = auto()
    AUTOSTART = auto()
    """Autostart on, or off where it was on."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a script.

    Attributes:
        after: seconds since the step before.
        domain: its name at that time.
        to: the new name of a rename.
    """

    after: float
    act: Act
    domain: str
    to: str = ""


_SIMPLE: Final[Mapping[Act, Callable[[SimDomain], object]]] = {
    Act.START: SimDomain.start,
    Act.START_PAUSED: lambda domain: domain.start(paused=True),
    Act.SHUTDOWN: SimDomain.shutdown,
    Act.DESTROY: SimDomain.destroy,
    Act.REBOOT: SimDomain.reboot,
    Act.RESET: SimDomain.reset,
    Act.SUSPEND: SimDomain.suspend,
    Act.RESUME: SimDomain.resume,
    Act.MANAGED_SAVE: SimDomain.managed_save,
    Act.CRASH: SimDomain.crash,
    Act.KILL_EMULATOR: SimDomain.kill_emulator,
    Act.IO_ERROR: SimDomain.io_error,
    Act.PM_SUSPEND: SimDomain.pm_suspend,
    Act.PM_WAKEUP: SimDomain.pm_wakeup,
    Act.UNDEFINE: lambda domain: domain.undefine(managed_save=True),
    Act.FAIL_MIGRATION: SimDomain.fail_migration,
    Act.AUTOSTART: lambda domain: domain.set_autostart(not domain.autostart),
}


class Stage:
    """A world, and those who left it: on it steps are performed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.away: dict[str, Image] = {}

    def perform(self, step: Step) -> None:
        """Do it. AvirtError if it can't be done in this state."""
        if step.act is Act.APPEAR:
            self.world.add(step.domain)
        elif step.act is Act.APPEAR_TRANSIENT:
            self.world.add(step.domain, persistent=False)
        elif step.act is Act.RENAME:
            self.world.domain(step.domain).rename(step.to)
        elif step.act is Act.MIGRATE_AWAY:
            self.away[step.domain] = self.world.domain(step.domain).migrate_away()
        elif step.act is Act.MIGRATE_IN:
            self.world.migrate_in(self.away.pop(step.domain))
        else:
            _SIMPLE[step.act](self.world.domain(step.domain))


class Scripted:
    """A script that is played once. A step that can't be done raises where the world's time is let pass."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)

    def begin(self, world: World) -> None:
        """Put it on the world's agenda."""
        stage = Stage(world)
        at = 0.0
        for step in self._steps:
            at += step.after
            world.after(at, lambda step=step: stage.perform(step))  # type: ignore[misc]


NAMES: Final = (
    "web-1",
    "web-2",
    "db-primary",
    "db-replica",
    "cache-1",
    "mail",
    "git",
    "ci-runner-1",
    "ci-runner-2",
    "monitoring",
    "vpn-gw",
    "dns-1",
    "win-dc1",
    "build-arm64",
    "queue",
    "registry",
    "wiki",
    "jump",
    "backup",
    "staging-web",
    "staging-db",
    "ldap",
    "proxy",
    "kiosk",
)
"""Names of the demo's domains; more of them are numbered."""

_OLD: Final = "-old"

_CHOICES: Final[Mapping[DomainState, Mapping[Act, float]]] = {
    DomainState.RUNNING: {
        Act.SUSPEND: 3.0,
        Act.REBOOT: 3.0,
        Act.SHUTDOWN: 2.5,
        Act.MIGRATE_AWAY: 1.5,
        Act.MANAGED_SAVE: 1.2,
        Act.CRASH: 1.0,
        Act.DESTROY: 0.8,
        Act.KILL_EMULATOR: 0.6,
        Act.PM_SUSPEND: 0.6,
        Act.IO_ERROR: 0.4,
        Act.FAIL_MIGRATION: 0.3,
    },
    DomainState.PAUSED: {Act.RESUME: 8.0, Act.DESTROY: 1.0},
    DomainState.PMSUSPENDED: {Act.PM_WAKEUP: 6.0, Act.DESTROY: 1.0},
    DomainState.CRASHED: {Act.DESTROY: 1.0},
    DomainState.SHUTOFF: {
        Act.START: 8.0,
        Act.START_PAUSED: 1.0,
        Act.RENAME: 1.2,
        Act.UNDEFINE: 0.8,
        Act.AUTOSTART: 0.4,
    },
}
"""How likely each act is in each state. States on their way somewhere have none."""


class Seeded:
    """Chance drawn from the world's random source: the same seed gives the same life, if time passes alike.

    Args:
        domains: about how many there are.
        rate: 1 gives a change every 0.7 s or so.
        lasts: seconds after which it ends; None for never.
    """

    def __init__(self, *, domains: int = 12, rate: float = 1.0, lasts: float | None = None) -> None:
        self._domains = domains
        self._rate = rate
        self._lasts = lasts

    def populate(self, world: World) -> None:
        """The domains it begins with, two in three of them running."""
        for index in range(self._domains):
            name = _name(index)
            world.add(name, running=index % 3 != 2, autostart=index % 4 == 0)

    def begin(self, world: World) -> None:
        """Put its first step on the world's agenda; each step puts the next."""
        stage = Stage(world)
        end = None if self._lasts is None else world.now() + self._lasts

        def live() -> None:
            if end is not None and world.now() >= end:
                return
            for _ in range(8):  # a choice that turns out impossible is made again, but not for ever
                try:
                    stage.perform(self._choose(stage))
                    break
                except AvirtError:
                    continue
            world.after(world.rng.uniform(0.3, 0.9) / self._rate, live)

        world.after(world.rng.uniform(0.3, 0.9) / self._rate, live)

    def _choose(self, stage: Stage) -> Step:
        world, rng = stage.world, stage.world.rng
        count = len(world.domains)
        if stage.away and rng.random() < 0.25:
            return Step(after=0, act=Act.MIGRATE_IN, domain=rng.choice(sorted(stage.away)))
        if count == 0 or (count < self._domains and rng.random() < 0.15):
            act = Act.APPEAR_TRANSIENT if rng.random() < 0.4 else Act.APPEAR
            return Step(after=0, act=act, domain=self._new_name(stage))
        domains = list(world.domains.values())
        idle = [domain for domain in domains if domain.state is not DomainState.RUNNING]
        domain = rng.choice(idle if len(idle) * 3 > count and rng.random() < 0.8 else domains)
        choices = _CHOICES.get(domain.state, {})
        acts = list(choices)
        if not acts:
            raise AvirtError("on its way somewhere")
        act = rng.choices(acts, list(choices.values()))[0]
        name = domain.name
        return Step(after=0, act=act, domain=name, to=name.removesuffix(_OLD) if name.endswith(_OLD) else name + _OLD)

    def _new_name(self, stage: Stage) -> str:
        taken = {domain.name.removesuffix(_OLD) for domain in stage.world.domains.values()}
        taken.update(name.removesuffix(_OLD) for name in stage.away)
        index = 0
        while _name(index) in taken:
            index += 1
        return _name(index)


def _name(index: int) -> str:
    row, place = divmod(index, len(NAMES))
    return f"{NAMES[place]}-{row + 1:02d}" if row else NAMES[place]
