"""What each domain of a simulated world was, one after the other; and the judge: no change goes back in time.

A view that is right at rest may have been wrong in between: an answer that came late, taken for news, is put right by
the next read, and its reader was told of a state that was over. So what the stream says a domain was must be what it
was, or was told to be, in that order. It may leave out; it may not come back to what is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from avirt.drivers.sim.domain import Config, SimDomain
from avirt.drivers.sim.moments import WorldEvent
from avirt.drivers.sim.observe import MOMENTS
from avirt.drivers.sim.world import World
from avirt.model.change import Change, DomainEvent, Origin, RecordChange
from avirt.model.record import Key
from avirt.model.state import DomainState
from avirt.testing.simulators.libvirt import QEMU, QUICK

__all__ = ["History", "Witness", "backwards"]

History = list[DomainState | None]
"""The states of one domain, None while it is not there."""


class Witness(World):
    """A world that remembers.

    Attributes:
        histories: by domain.
    """

    def __init__(self, *, clock: Callable[[], float], rng: Random) -> None:
        super().__init__(clock=clock, rng=rng, times=QUICK, habits=QEMU.habits, domain_type=QEMU.domain_type)
        self.histories: dict[Key, History] = {}

    def entered(self, domain: SimDomain) -> None:
        """It is in that state now."""
        self._note(domain.key, domain.state)

    def forget(self, domain: SimDomain) -> None:
        """It is gone."""
        super().forget(domain)
        self._note(domain.key, None)

    def tell(self, event: WorldEvent | DomainEvent) -> None:
        """Events may tell of more states than there were, as libvirt's do."""
        if isinstance(event, WorldEvent) and (status := MOMENTS[event.moment].status) is not None:
            self._note(event.key, status.state)
        super().tell(event)

    def places(self) -> dict[Key, int]:
        """How far each history has come."""
        return {key: len(history) - 1 for key, history in self.histories.items()}

    def _note(self, key: Key, state: DomainState | None) -> None:
        self.histories.setdefault(key, []).append(state)

    def _appear(self, key: Key, name: str, config: Config, *, persistent: bool) -> SimDomain:
        domain = super()._appear(key, name, config, persistent=persistent)
        self._note(key, domain.state)
        return domain


def backwards(changes: Iterable[Change], histories: dict[Key, History], start: dict[Key, int]) -> list[str]:
    """The changes that say of a domain what was over by what they said before; what avirt concluded is left out.

    Args:
        start: places of the histories at a rest, from where on the changes tell.
    """
    found: list[str] = []
    at = dict(start)
    for change in changes:
        if not isinstance(change, RecordChange) or change.origin is Origin.INFERRED:
            continue
        state = None if change.after is None else change.after.state
        history = histories.get(change.key, [])
        now = at.get(change.key, 0)
        try:
            at[change.key] = history.index(state, now)
        except ValueError:
            shown = "gone" if state is None else state.name
            found.append(f"change {change.seq}: {change.name} was {shown} no more by then: {history[now:]}")
    return found
