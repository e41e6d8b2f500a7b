"""Audit: list now and then, and compare with what the events have told. Opt-in: `connect(audit=seconds)`.

A mismatch is confirmed by two listings some seconds apart that both say otherwise than the record, with no event of
that domain in between: what an event under way explains is none. Each confirmed one is taken in, with the origin
`audit`, and counted. Where all works it stays at 0; what it finds is an event that was lost.

A hypervisor that is polled is compared by each poll anyway: there is nothing to audit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import msgspec
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from avirt.errors import AvirtError, ConnectionLost, InvalidArgument
from avirt.lifecycle import Differs, HostLifecycle, Now
from avirt.log import get_logger
from avirt.model.change import Origin
from avirt.model.observation import Gone, Item, Listing, Seen
from avirt.model.record import Key

__all__ = ["GRACE", "AuditStatistics", "Auditor"]

GRACE = 3.0
"""Seconds between the two listings: an event that is under way has come by then, and what it asks for is read."""
SLICE = 512
"""Domains compared between two turns of the loop."""

log = get_logger("audit")

Suspects = dict[Key, tuple[int, Differs]]


class AuditStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What the audits of one host have found.

    Attributes:
        every: seconds between two; None: there is none.
        runs: how many were made.
        mismatches: domains that were not as events had told: each one an event that was lost.
        untold: domains that differed only in what the hypervisor changes without an event (autostart).
        failed: audits whose listing failed or was incomplete.
        last: wall clock of the last one.
        last_mismatch: wall clock of the last one that found something.
    """

    every: float | None = None
    runs: int = 0
    mismatches: int = 0
    untold: int = 0
    failed: int = 0
    last: float | None = None
    last_mismatch: float | None = None


class Auditor:
    """Audits one host.

    Args:
        host: its name, for the log.
        every: seconds, with jitter of ±20 %.
        lifecycle: what is compared with.
        take: what is confirmed goes there.
        is_due: whether a read of this domain is due or under way: then no event was lost, its answer will tell.
        uniform: the random source.
        wall: the wall clock.

    Raises:
        InvalidArgument: `every` is not above 0.

    Attributes:
        statistics: what was found so far.
    """

    def __init__(
        self,
        *,
        host: str,
        every: float,
        lifecycle: HostLifecycle,
        take: Callable[[Sequence[Item]], None],
        is_due: Callable[[Key], bool],
        uniform: Callable[[float, float], float],
        wall: Callable[[], float],
    ) -> None:
        if not 0 < every < float("inf"):
            raise InvalidArgument(f"an audit every {every} s can't work", hint="give seconds above 0, or nothing")
        self._host = host
        self._lifecycle = lifecycle
        self._take = take
        self._is_due = is_due
        self._uniform = uniform
        self._wall = wall
        self.statistics = AuditStatistics(every=every)

    async def run(self, read: Callable[[], Awaitable[Listing]]) -> None:
        """Audit by these listings until cancelled, or until the link is lost."""
        every = self.statistics.every or 0.0
        while True:
            await anyio.sleep(every * self._uniform(0.8, 1.2))
            try:
                await self._audit(read)
            except ConnectionLost:
                return
            except AvirtError as error:
                log.warning("audit failed", host=self._host, why=str(error))
                self._count(failed=1)

    async def _audit(self, read: Callable[[], Awaitable[Listing]]) -> None:
        if self._lifecycle.owes_listing:
            return  # what differs now, the listing that is owed will tell
        listing = await read()
        suspects = await self._compare(listing)
        if suspects:
            await anyio.sleep(GRACE)
            listing = await read()
            again = await self._compare(listing)
            confirmed = {key: how for key, (count, how) in again.items() if suspects.get(key) == (count, how)}
            self._conclude(listing, confirmed)
        self._count(runs=1, failed=int(not listing.complete))

    async def _compare(self, listing: Listing) -> Suspects:
        found: Suspects = {}
        for start in range(0, len(listing.items) or 1, SLICE):
            now = Now(anyio.current_time(), self._wall())
            for key, count, how in self._lifecycle.differing(listing, now, start=start, stop=start + SLICE):
                found[key] = count, how
            await checkpoint()
        return found

    def _conclude(self, listing: Listing, confirmed: dict[Key, Differs]) -> None:
        """Take in what differs, unless an event came while it was compared: the rule of time sees to that."""
        present = {item.key: item for item in listing.items if item.key in confirmed}
        for key, how in confirmed.items():
            seen, record, is_due = present.get(key), self._lifecycle.records.get(key), self._is_due(key)
            if seen is None:
                self._take((Gone(key, listing.asked, Origin.AUDIT),))
            else:
                self._take((Seen(replace(seen, origin=Origin.AUDIT, asked=listing.asked)),))
            if how is Differs.TOLD and not is_due:
                name = record.name if record is not None else key.hex()
                log.warning("a domain is not as events told", host=self._host, domain=name)
                self._count(mismatches=1)
            else:
                self._count(untold=1)

    def _count(self, *, runs: int = 0, mismatches: int = 0, untold: int = 0, failed: int = 0) -> None:
        now, before = self._wall(), self.statistics
        self.statistics = replace(
            before,
            runs=before.runs + runs,
            mismatches=before.mismatches + mismatches,
            untold=before.untold + untold,
            failed=before.failed + failed,
            last=now if runs or failed else before.last,
            last_mismatch=now if mismatches else before.last_mismatch,
        )
