"""Records: a host's records as a mapping, over the store's own bookkeeping. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView

from avirt.events.policies import Latest
from avirt.model.record import DomainRecord, Key

__all__ = ["Records"]


class Records(Mapping[Key, DomainRecord]):
    """Read-only, and live: it shows what the store holds now. In order of the last change."""

    __slots__ = ("_domains",)

    def __init__(self, domains: Mapping[Key, Latest[DomainRecord]]) -> None:
        self._domains = domains

    def __getitem__(self, key: Key) -> DomainRecord:
        return self._domains[key].what

    def __contains__(self, key: object) -> bool:
        return key in self._domains

    def __iter__(self) -> Iterator[Key]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def values(self) -> ValuesView[DomainRecord]:
        """The records."""
        return _Values(self)

    def _records(self) -> Iterator[DomainRecord]:
        return (latest.what for latest in self._domains.values())


class _Values(ValuesView[DomainRecord]):
    """Spares a look-up for each."""

    _mapping: Records

    def __iter__(self) -> Iterator[DomainRecord]:
        return self._mapping._records()
