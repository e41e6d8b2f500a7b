"""Tables: which steps between states an event may tell, what is missing where it may not, when a transition ends.

A *step* is what an event says about a domain whose state is known. Most pairs of states are possible. Where a start or
a stop must have happened in between, it is filled in; where nothing explains the step, it is taken as told and marked.
Reads show two points in time and no step: any pair is possible there, and the Change's origin says that it was read.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from avirt.model.state import DomainState, Transition

__all__ = ["COMPLETE", "PASSING", "STEPS", "Legality", "legality"]

S = DomainState


class Legality(Enum):
    """What the table says of a step."""

    LEGAL = auto()
    STARTED_MISSING = auto()
    """It must have been started in between: a step to RUNNING is filled in, marked inferred."""
    STOPPED_MISSING = auto()
    """It must have been stopped in between: a step to SHUTOFF is filled in, marked inferred."""
    ILLEGAL = auto()
    """Nothing explains it: taken as told, marked inferred."""


_LEGAL: Final[dict[DomainState, frozenset[DomainState]]] = {
    # from a state that names nothing, and to it, every step is possible
    S.NOSTATE: frozenset(S),
    # a running guest may do anything
    S.RUNNING: frozenset(S),
    S.BLOCKED: frozenset(S),
    # held: it goes on, or is ended; it can't fall asleep by itself
    S.PAUSED: frozenset(S) - {S.PMSUSPENDED},
    # on its way down: held (the emulator waits with "guest shutdown"), crashed or off
    S.SHUTDOWN: frozenset({S.NOSTATE, S.SHUTDOWN, S.PAUSED, S.SHUTOFF, S.CRASHED}),
    # off: started, or started paused; SUSPENDED and RESUMED may come before STARTED
    S.SHUTOFF: frozenset({S.NOSTATE, S.SHUTOFF, S.RUNNING, S.BLOCKED, S.PAUSED}),
    # crashed with a process left: reset, dumped, ended
    S.CRASHED: frozenset(S) - {S.PMSUSPENDED},
    # asleep: woken, held for a dump or a migration, ended
    S.PMSUSPENDED: frozenset(S),
}

_MISSING: Final[dict[tuple[DomainState, DomainState], Legality]] = {
    (S.SHUTOFF, S.SHUTDOWN): Legality.STARTED_MISSING,
    (S.SHUTOFF, S.CRASHED): Legality.STARTED_MISSING,
    (S.SHUTOFF, S.PMSUSPENDED): Legality.STARTED_MISSING,
    (S.SHUTDOWN, S.RUNNING): Legality.STOPPED_MISSING,
    (S.SHUTDOWN, S.BLOCKED): Legality.STOPPED_MISSING,
}

STEPS: Final[dict[tuple[DomainState, DomainState], Legality]] = {
    (before, after): Legality.LEGAL if after in _LEGAL[before] else _MISSING.get((before, after), Legality.ILLEGAL)
    for before in S
    for after in S
}
"""Total over the known states. CRASHED stands for crashed and active; crashed and inactive is as SHUTOFF."""


def legality(before: DomainState, after: DomainState) -> Legality:
    """What the table says; with states of the future every step is possible."""
    return STEPS.get((before, after), Legality.LEGAL)


_ACTIVE: Final = frozenset({S.RUNNING, S.BLOCKED, S.PAUSED, S.SHUTDOWN, S.PMSUSPENDED})

PASSING: Final[dict[Transition, frozenset[DomainState]]] = {
    # states that a domain may be seen in while the transition goes on; any other ends it
    Transition.STARTING: frozenset(),
    Transition.STOPPING: frozenset({S.SHUTDOWN}),
    Transition.PAUSING: frozenset(),
    Transition.RESUMING: frozenset(),
    Transition.SAVING: frozenset({S.PAUSED}),  # libvirt tells SUSPENDED in the midst of a save
    Transition.RESTORING: frozenset({S.PAUSED}),
    Transition.SNAPSHOTTING: frozenset({S.PAUSED, S.RUNNING}),  # paused for it, then goes on
    Transition.MIGRATING: frozenset({S.PAUSED}),
    Transition.REBOOTING: frozenset({S.SHUTDOWN, S.SHUTOFF}),  # Xen, bhyve, LXC stop and start
    Transition.DELETING: frozenset({S.SHUTDOWN, S.SHUTOFF}),
}

COMPLETE: Final[dict[Transition, frozenset[DomainState]]] = {
    # states in which there is nothing left to do: the events were faster than the verb's reply
    Transition.STARTING: _ACTIVE,
    Transition.STOPPING: frozenset({S.SHUTOFF}),
    Transition.PAUSING: frozenset({S.PAUSED}),
    Transition.RESUMING: frozenset({S.RUNNING}),
    Transition.SAVING: frozenset({S.SHUTOFF}),
    Transition.RESTORING: _ACTIVE,
    Transition.SNAPSHOTTING: frozenset(),
    Transition.MIGRATING: frozenset({S.SHUTOFF}),
    Transition.REBOOTING: frozenset(),
    Transition.DELETING: frozenset(),
}
