"""Listings: cut into slices that hold the loop for no longer than a reducer may, and what is absent from them."""

from __future__ import annotations

from collections.abc import Iterator

from avirt.lifecycle.ledger import Ledger
from avirt.lifecycle.reads import gone, read
from avirt.model.change import Origin
from avirt.model.observation import Listing, ListingSlice

__all__ = ["apply", "slices"]

SLICE = 512
"""What a reducer takes at once (design, promise 1)."""


def slices(listing: Listing, size: int = SLICE) -> Iterator[ListingSlice]:
    """Cut a listing up. The keys of a complete one come with the first slice and with the last."""
    items = listing.items
    keys = frozenset(item.key for item in items) if listing.complete else None
    start = 0
    while True:
        last = start + size >= len(items)
        yield ListingSlice(
            scope=listing.scope,
            asked=listing.asked,
            items=items[start : start + size],
            origin=listing.origin,
            last=last,
            keys=keys if start == 0 or last else None,
        )
        if last:
            return
        start += size


def apply(ledger: Ledger, part: ListingSlice, origin: Origin) -> None:
    """Apply one slice: what is gone first, so that a new domain under an old one's name comes after its removal."""
    if part.keys is not None:
        for key in [key for key in ledger.records if key not in part.keys]:
            gone(ledger, ledger.entries[key], key, part.asked, origin)
    for seen in part.items:
        read(ledger, ledger.entry(seen.key), seen, part.asked, origin)
