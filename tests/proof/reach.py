"""What the faults reached: how often each kind struck in which phase of a connection's life."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum, auto
from typing import Final

from avirt.engine import Engine
from avirt.model.record import HostState
from avirt.testing import LibvirtSim
from avirt.testing.rules import RULES
from avirt.testing.simulators.libvirt.events import KINDS

__all__ = ["FAULTS", "MUST", "Phase", "Reach", "missed", "phase_of", "table"]


class Phase(StrEnum):
    """What the host's connection is at."""

    AWAY = auto()
    """There is none."""
    OPENING = auto()
    REGISTERING = auto()
    """Its events."""
    LISTING = auto()
    """For the first time."""
    RESYNCING = auto()
    """Listing after a loss."""
    IDLE = auto()
    PROBING = auto()
    IN_VERB = auto()


FAULTS: Final = (*(rule.name() for rule in RULES), "stop")

Reach = Counter[tuple[str, Phase]]


def phase_of(sim: LibvirtSim, engine: Engine | None, verbs: int, was_synced: bool) -> Phase:
    """Now."""
    if engine is None or engine.status.state is not HostState.LIVE:
        return Phase.OPENING if sim.daemon.peers else Phase.AWAY
    if not engine.status.synced:
        if all(len(peer.registered.callbacks) < len(KINDS) for peer in sim.daemon.peers):
            return Phase.REGISTERING
        return Phase.RESYNCING if was_synced else Phase.LISTING
    if verbs:
        return Phase.IN_VERB
    return Phase.PROBING if engine._schedule._in_flight else Phase.IDLE


_SETTING_UP: Final = (Phase.OPENING, Phase.REGISTERING)
_LISTS: Final = (Phase.LISTING, Phase.RESYNCING)
_LIVE: Final = (Phase.IDLE, Phase.PROBING, Phase.IN_VERB)
_ANY: Final = (*_SETTING_UP, *_LISTS, *_LIVE)

MUST: Final[Mapping[str, Iterable[Phase]]] = {
    "cut": _ANY,
    "delay": _ANY,
    "fail_call": (Phase.OPENING, *_LISTS, *_LIVE),
    "fragment": (*_SETTING_UP, *_LIVE),
    "hang": (*_LISTS, *_LIVE),
    "late_reply": _ANY,
    "lose_event": _LIVE,
    "refuse_auth": (Phase.OPENING, Phase.IN_VERB),
    "refuse_connection": (Phase.AWAY, Phase.IN_VERB),
    "reorder": _ANY,
    "repeat_event": _LIVE,
    "silence": (*_SETTING_UP, *_LIVE),
    "slow_accept": (Phase.OPENING, Phase.IN_VERB),
    "storm": (Phase.AWAY, *_LIVE),
    "stop": (Phase.AWAY, Phase.OPENING, *_LIVE),
    "restart": (Phase.AWAY, *_LIVE),
    "replace_host": (Phase.AWAY, *_LIVE),
}
"""Where each kind of fault has to strike, or the proof proves less than it says."""


def missed(reach: Reach) -> list[str]:
    """Where faults should have struck, and did not."""
    return [
        f"{fault} never struck while {phase}" for fault in FAULTS for phase in MUST[fault] if not reach[fault, phase]
    ]


def table(reach: Reach) -> Iterable[str]:
    """Lines to print."""
    yield f"{'fault':18}" + "".join(f"{phase:>12}" for phase in Phase)
    for fault in FAULTS:
        yield f"{fault:18}" + "".join(f"{reach[fault, phase] or '·':>12}" for phase in Phase)
