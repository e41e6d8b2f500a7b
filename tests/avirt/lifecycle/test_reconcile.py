"""Listings in slices, and what is absent from them."""

from __future__ import annotations

from uuid import UUID

import pytest

from avirt.lifecycle import slices
from avirt.lifecycle.ledger import Ledger
from avirt.lifecycle.reconcile import apply
from avirt.model.change import Origin
from avirt.model.observation import Listing, Observation, Scope
from avirt.model.record import key_of
from tests.avirt.lifecycle.lab import OFF, kinds

ITEMS = [Observation(key=key_of(UUID(int=n)), name=f"d{n}", status=OFF, active=False, asked=1) for n in range(1, 6)]
KEYS = frozenset(item.key for item in ITEMS)


def listing(items: list[Observation], *, complete: bool = True, asked: int = 1) -> Listing:
    return Listing(Scope.ALL, complete, asked, items)


@pytest.mark.parametrize(("size", "lengths"), [(2, [2, 2, 1]), (5, [5]), (512, [5]), (1, [1] * 5)])
def test_slices_are_no_larger_than_asked_and_hold_everything_in_order(size: int, lengths: list[int]) -> None:
    parts = list(slices(listing(ITEMS), size))
    assert [len(part.items) for part in parts] == lengths
    assert [item for part in parts for item in part.items] == ITEMS
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]


def test_keys_of_a_complete_listing_come_with_its_first_and_last_slice() -> None:
    assert [part.keys for part in slices(listing(ITEMS), 2)] == [KEYS, None, KEYS]
    assert [part.keys for part in slices(listing(ITEMS, complete=False), 2)] == [None] * 3


def test_empty_listing_is_one_last_slice() -> None:
    (part,) = slices(listing([]))
    assert (part.last, part.keys, list(part.items)) == (True, frozenset(), [])


def test_what_is_absent_from_a_complete_listing_is_removed_before_the_rest_is_added() -> None:
    ledger = Ledger("h")
    for part in slices(listing(ITEMS[:2])):
        apply(ledger, part, Origin.LIST)
    for part in slices(listing(ITEMS[1:3], asked=2), 1):
        apply(ledger, part, Origin.RESYNC)
    assert kinds(ledger.changes) == ["added", "added", "removed", "added"]
    assert ledger.changes[-1].origin is Origin.RESYNC
    assert set(ledger.records) == {ITEMS[1].key, ITEMS[2].key}


def test_partial_listing_removes_nothing() -> None:
    ledger = Ledger("h")
    for part in slices(listing(ITEMS)):
        apply(ledger, part, Origin.LIST)
    for part in slices(listing(ITEMS[:1], complete=False, asked=2)):
        apply(ledger, part, Origin.LIST)
    assert set(ledger.records) == KEYS
