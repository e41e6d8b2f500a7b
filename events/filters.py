"""Filter: which changes a reader wants; a predicate compiled once. Pure.

What is about a host as a whole (`HostLost`, …) belongs to each of its domains: the certainty of their records follows
from it. So it passes a filter by domain or state, and is kept out by `kinds` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from avirt.model.change import (
    Added,
    Change,
    DomainChange,
    RecordChange,
    Removed,
    StateChanged,
    Updated,
)
from avirt.model.record import DomainKey, DomainRecord, Key
from avirt.model.state import DomainState

__all__ = ["EVERYTHING", "MERGED_KINDS", "Filter", "Predicate"]

Predicate = Callable[[Change], bool]

MERGED_KINDS: Final[frozenset[type[Change]]] = frozenset({Added, Removed, StateChanged, Updated, RecordChange})
"""What merging keeps: a reader that wants only these loses no kind by it."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes to give. None: no restriction; several restrictions all hold.

    Attributes:
        hosts: names of hosts.
        domains: single domains of single hosts.
        keys: domains by their uuid alone, on whatever host.
        kinds: classes of changes; a base class (`RecordChange`, `DomainEvent`, `HostChange`) stands for all its kinds.
        states: changes of a record into, within or out of these states. Other kinds are not restricted by it.
    """

    hosts: frozenset[str] | None = None
    domains: frozenset[DomainKey] | None = None
    keys: frozenset[Key] | None = None
    kinds: frozenset[type[Change]] | None = None
    states: frozenset[DomainState] | None = None

    def compile(self) -> Predicate | None:
        """The predicate, or None if everything passes."""
        tests = [
            test
            for wanted, test in (
                (self._head(), self._head_test()),
                (self.domains, self._domain_test()),
                (self.keys, self._key_test()),
                (self.states, self._state_test()),
            )
            if wanted is not None
        ]
        if not tests:
            return None
        if len(tests) == 1:
            return tests[0]
        every = tuple(tests)

        def predicate(change: Change) -> bool:
            for test in every:  # noqa: SIM110  (all() and its generator cost three times as much)
                if not test(change):
                    return False
            return True

        return predicate

    def wants_record(self, record: DomainRecord) -> bool:
        """Whether a record belongs into the snapshot."""
        hosts, domains, keys, states = self.hosts, self.domains, self.keys, self.states
        return (
            (hosts is None or record.host in hosts)
            and (keys is None or record.key in keys)
            and (states is None or record.state in states)
            and (domains is None or record.domain in domains)
        )

    def select(self, records: Iterable[DomainRecord]) -> Iterator[DomainRecord]:
        """Those that belong into the snapshot."""
        return filter(self.wants_record, records)

    def wants_host(self, host: str) -> bool:
        """Whether anything of this host can pass."""
        names = self._host_names()
        return names is None or host in names

    @property
    def restricts_records(self) -> bool:
        """Whether any record can be refused."""
        return not (self.hosts is None and self.domains is None and self.keys is None and self.states is None)

    @property
    def wants_steps(self) -> bool:
        """It asks for kinds that merging takes away (a reboot, a rename)."""
        kinds = self.kinds
        return kinds is not None and any(issubclass(kind, RecordChange) and kind not in MERGED_KINDS for kind in kinds)

    @property
    def wants_others(self) -> bool:
        """It lets pass what can't be merged: native events, changes of hosts."""
        return self.kinds is None or not all(issubclass(kind, RecordChange) for kind in self.kinds)

    @property
    def before_settling(self) -> Filter:
        """What has to be read for this filter to be applied to what has settled: all of the domains' records."""
        return replace(self, kinds=None if self.kinds is None else self.kinds | {RecordChange}, states=None)

    def _host_names(self) -> frozenset[str] | None:
        if self.domains is None:
            return self.hosts
        named = frozenset(domain.host for domain in self.domains)
        return named if self.hosts is None else named & self.hosts

    def _head(self) -> object:
        return self.kinds if self.kinds is not None else self._host_names()

    def _head_test(self) -> Predicate:
        """Kinds and hosts in one: the commonest filter is both. What is of the store as a whole is of every host."""
        bases, names = self.kinds, self._host_names()
        if names is not None:
            names |= {""}
        if bases is None:
            wanted = names or frozenset()
            return lambda change: change.host in wanted
        kinds = tuple(bases)
        known: dict[type[Change], bool] = {}

        def test(change: Change) -> bool:
            kind = type(change)
            passes = known.get(kind)
            if passes is None:
                passes = known[kind] = issubclass(kind, kinds)
            return passes and (names is None or change.host in names)

        return test

    def _domain_test(self) -> Predicate:
        wanted = frozenset((domain.host, domain.key) for domain in self.domains or ())
        return lambda change: not isinstance(change, DomainChange) or (change.host, change.key) in wanted

    def _key_test(self) -> Predicate:
        wanted = self.keys or frozenset()
        return lambda change: not isinstance(change, DomainChange) or change.key in wanted

    def _state_test(self) -> Predicate:
        wanted = self.states or frozenset()

        def test(change: Change) -> bool:
            if not isinstance(change, RecordChange):
                return True
            before, after = change.before, change.after
            if after is not None and after.state in wanted:
                return True
            if before is not None:
                return before.state in wanted
            # where the steps before were merged away, the domain may have left one of these states
            return not isinstance(change, Added)

        return test


EVERYTHING: Final = Filter()
"""No restriction."""
