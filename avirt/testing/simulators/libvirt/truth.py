"""What a view of a host must say, by the simulated world; and the differences if it does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import msgspec

from avirt.drivers.sim.domain import SimDomain
from avirt.model.record import Certainty, DomainRecord, Key
from avirt.model.state import DomainState, Reason, ShutoffReason

__all__ = ["TrueDomain", "Truth"]


class TrueDomain(msgspec.Struct, frozen=True):
    """One domain as it is. `autostart` None: not compared, libvirt tells of no change of it."""

    name: str
    state: DomainState
    reason: Reason
    id: int | None
    persistent: bool
    autostart: bool | None = None

    def differs(self, record: DomainRecord) -> Iterator[str]:
        """In what a record of the view is wrong."""
        for field in ("name", "state", "reason", "id", "persistent", "autostart"):
            mine, theirs = getattr(self, field), getattr(record, field)
            if mine != theirs and not (field == "autostart" and mine is None):
                yield f"{self.name}: {field} is {_shown(mine)}, the view says {_shown(theirs)}"
        if record.active is not (self.id is not None):
            yield f"{self.name}: active is {self.id is not None}, the view says {record.active}"
        if record.certainty is not Certainty.LIVE:
            yield f"{self.name}: the view is {record.certainty}: {record.stale_why}"


class Truth(Mapping[Key, TrueDomain]):
    """All domains as they are: `assert host.view == sim.truth()`."""

    def __init__(self, domains: Iterable[SimDomain], *, autostart: bool = False) -> None:
        self._domains = {domain.key: _true(domain, autostart) for domain in domains}

    def __getitem__(self, key: Key) -> TrueDomain:
        return self._domains[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def __eq__(self, view: object) -> bool:
        if isinstance(view, Truth):
            return self._domains == view._domains
        return isinstance(view, Mapping) and not self.differences(cast("Mapping[Key, DomainRecord]", view))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Truth {', '.join(f'{d.name}={d.state.name.lower()}' for d in self._domains.values())}>"

    def differences(self, view: Mapping[Key, DomainRecord]) -> list[str]:
        """What is wrong with a view, in words; nothing if it is right."""
        found: list[str] = []
        for key, domain in self._domains.items():
            record = view.get(key)
            if record is None:
                found.append(f"{domain.name}: is there, the view does not know it")
            else:
                found += domain.differs(record)
        found += [f"{record.name}: is not there, the view has it" for key, record in view.items() if key not in self]
        return found


def _true(domain: SimDomain, autostart: bool) -> TrueDomain:
    reason = domain.reason
    if domain.image is not None and reason is ShutoffReason.UNKNOWN:
        reason = ShutoffReason.SAVED  # a daemon that was restarted forgets the reason, not the image
    return TrueDomain(
        domain.name, domain.state, reason, domain.id, domain.persistent, domain.autostart if autostart else None
    )


def _shown(value: object) -> object:
    return getattr(value, "name", value)
