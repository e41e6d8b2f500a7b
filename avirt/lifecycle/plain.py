"""The commonest event by a short way: a domain that runs is suspended, or one that is suspended runs on.

In a storm most events are of this kind, and nearly all that the rules ask for does not apply. What is shown is the same
as by the long way (`events.py`), at a third of its price; anything that is out of the ordinary takes the long way.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from avirt.lifecycle.ledger import Ledger
from avirt.lifecycle.rules import Entry
from avirt.model.change import Origin, StateChanged
from avirt.model.observation import Observation, Signal
from avirt.model.record import Certainty
from avirt.model.state import DomainState

__all__ = ["show_plainly"]

_STEPS: Final[dict[Signal, tuple[DomainState, DomainState]]] = {
    Signal.SUSPENDED: (DomainState.RUNNING, DomainState.PAUSED),
    Signal.RESUMED: (DomainState.PAUSED, DomainState.RUNNING),
}


def show_plainly(ledger: Ledger, entry: Entry, seen: Observation) -> bool:
    """Show it if it is that plain; else do nothing, and say so."""
    before, status, signal = entry.record, seen.status, seen.signal
    if before is None or status is None or signal is None:
        return False
    step = _STEPS.get(signal)
    id = before.id
    if (
        step is None
        or before.state is not step[0]
        or status.state is not step[1]
        or not before.active
        or seen.active is not True
        # the same incarnation, and nothing that is waited for
        or id is None
        or seen.id != id
        or seen.marker != before.marker
        or entry.held is not None
        or entry.ahead
        or entry.awaited is not None
        # nothing else that would change
        or before.transition is not status.transition
        or before.certainty is not Certainty.LIVE
        or before.idle is not status.idle
        or before.needs_answer is not status.needs_answer
        or seen.persistent is not None
        or seen.autostart is not None
        or not seen.native
    ):
        return False
    entry.told_id = id
    entry.ended_at = None
    entry.unsure = entry.started = False
    wall = ledger.now.wall
    revision = ledger.revision = ledger.revision + 1
    key = before.key
    after = replace(
        before,
        state=status.state,
        reason=status.reason,
        native=seen.native,
        observed_at=wall,
        since=wall,
        revision=revision,
    )
    entry.record = ledger.records[key] = after
    ledger.changes.append(
        StateChanged(
            host=ledger.host,
            origin=Origin.EVENT,
            observed_at=wall,
            revision=revision,
            key=key,
            name=before.name,
            before=before,
            after=after,
        )
    )
    ledger.probe(key)
    return True
