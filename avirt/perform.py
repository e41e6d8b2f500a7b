"""One verb, from a fresh read to its observed effect.

"Already there" is decided on a fresh read, never by an error code, and never claimed while the opposite is under way.
A link lost in flight: a verb that waits goes on waiting through the reconnect to its deadline; nothing is retried.
Cancelling stops waiting, never undoes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from avirt.engine import Engine
from avirt.errors import (
    AccessDenied,
    AvirtError,
    Busy,
    ConnectionLost,
    DomainGone,
    InvalidOperation,
    NotFound,
    OperationTimeout,
    Outcomes,
    Phase,
)
from avirt.events.filters import Filter
from avirt.events.subscription import Subscription
from avirt.model.change import Change, DomainChange, HostResynced, RecordChange, Removed
from avirt.model.command import VERBS, Lane, Observed, Outcome, Verb, VerbSpec
from avirt.model.record import DomainKey, DomainRecord, Key
from avirt.model.state import Transition

__all__ = ["DEFAULT", "Default", "Perform", "refuse_read_only"]


class Default:
    """The verb's own deadline, from the registry."""

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = Default()

PATIENCE: Final = 3.0
"""Seconds that a verb which always goes through waits for its first read: far more than a healthy domain takes."""

GIVEN_UP: Final = 10.0
"""Seconds that a verb which was cancelled while it was sent still shows as under way; then the domain is read."""

Shows = Callable[[Change], bool]
"""Whether a Change shows that a verb has had its effect, where the record alone can't."""


def refuse_read_only(engine: Engine, verb: str) -> None:
    """Raise AccessDenied on a read-only connection, before anything is sent."""
    if engine.read_only:
        raise AccessDenied(
            f"{engine.name} is open read-only: {verb} is refused",
            hint="connect without readonly=True (CLI: without -r)",
            host=engine.name,
            verb=verb,
        )


class Perform:
    """One call of one verb on one domain.

    Args:
        shows: for verbs whose effect is a Change (Rebooted, Renamed).
        observed: what a record shows, if not what the registry says.
        escalate: after so many seconds without effect, do this once.
        timeout: seconds; None for no deadline.
    """

    def __init__(
        self,
        engine: Engine,
        verb: Verb,
        key: Key,
        *,
        wait: bool,
        timeout: float | Default | None,
        shows: Shows | None = None,
        observed: Observed | None = None,
        escalate: tuple[float, Callable[[DomainRecord], Awaitable[None]]] | None = None,
    ) -> None:
        self._engine = engine
        self._spec: VerbSpec = VERBS[verb]
        self._key = key
        self._wait = wait
        self._timeout = self._spec.timeout if isinstance(timeout, Default) else timeout
        self._shows = shows
        self._observed = observed or self._spec.observed
        self._escalate = escalate
        self._phase = Phase.QUEUED

    async def run(self, send: Callable[[DomainRecord], Awaitable[None]]) -> Outcome:
        """Send, and wait as asked.

        Raises:
            NotFound: no such domain. DomainGone: it vanished, and that is not what was asked for.
            InvalidOperation: refused in this state; names the transition under way.
            OperationTimeout: `phase` says how far it came.
            ConnectionLost: not waiting, and the link was lost: `outcome`.
        """
        try:
            with anyio.move_on_after(self._timeout):
                return await self._run(send)
        except AvirtError as error:
            record = self._engine.record(self._key)
            error.locate(host=self._engine.name, domain=record.name if record else "", verb=self._spec.verb)
            raise
        self._end(self._spec.transition)
        raise self._timed_out()

    async def _run(self, send: Callable[[DomainRecord], Awaitable[None]]) -> Outcome:
        before, is_fresh = await self._read_first()
        if before is None:
            raise NotFound(f"no domain with uuid {DomainKey(self._engine.name, self._key).uuid}")
        if is_fresh and self._is_observed(before) and before.transition is None:
            return self._outcome(changed=False, observed=True)
        domain = DomainKey(self._engine.name, self._key)
        watched = Filter(domains=frozenset({domain}), hosts=frozenset({self._engine.name}))
        with self._engine.store.subscribe(filter=watched) as changes:
            changed = await self._send(send, before)
            if changed is not None:
                return changed
            if not self._wait:
                return self._outcome(changed=True, observed=self._is_observed(self._engine.record(self._key)))
            if self._escalate is None:
                return await self._observe(changes)
            seconds, force = self._escalate
            with anyio.move_on_after(seconds):
                return await self._observe(changes)
            record = self._engine.record(self._key)
            if record is not None and not self._is_observed(record):
                await force(record)
            return await self._observe(changes)

    async def _read_first(self) -> tuple[DomainRecord | None, bool]:
        """The domain, and whether it was read: what must always go through does not wait for one that hangs."""
        if self._spec.lane is not Lane.CONTROL:
            return await self._engine.fresh(self._key), True
        with anyio.move_on_after(PATIENCE):
            try:
                return await self._engine.fresh(self._key), True
            except Busy:
                pass
        return self._engine.record(self._key), False

    async def _send(self, send: Callable[[DomainRecord], Awaitable[None]], before: DomainRecord) -> Outcome | None:
        self._phase = Phase.SENT
        # shown as under way from here on: some calls last until it is done, and events may come before the reply
        own = self._spec.transition if before.transition is None else None
        if own is not None:
            self._engine.accepted(self._key, own, self._timeout)
        try:
            await send(before)
        except ConnectionLost as error:
            if error.outcome is Outcomes.NOT_SENT or not self._wait:
                self._end(own)
                raise
            return None  # whether it was done shows after the reconnect
        except AvirtError as error:
            self._end(own)
            return await self._refused(error)
        except BaseException:
            # it may go on or never have been sent; who asked does not wait to know
            if own is not None:
                self._engine.accepted(self._key, own, GIVEN_UP)
            raise
        self._phase = Phase.ACCEPTED
        return None

    async def _refused(self, error: AvirtError) -> Outcome:
        """Someone else may have done it between the read and the call: the state decides, not the code."""
        now = await self._engine.fresh(self._key)
        if self._is_observed(now) and (now is None or now.transition is None):
            return self._outcome(changed=False, observed=True)
        under_way = now.transition if now is not None else None
        if under_way is not None and isinstance(error, InvalidOperation):
            raise InvalidOperation(
                f"{error.message} (the domain is {under_way})",
                hint=f"wait until it is no longer {under_way}, or destroy it",
                code=error.code,
                native=error.native,
            ) from error
        raise error

    def _end(self, own: Transition | None) -> None:
        """Nobody waits any more for what is shown as under way."""
        if own is not None:
            self._engine.accepted(self._key, None, None)

    async def _observe(self, changes: Subscription) -> Outcome:
        if self._observed is not None or self._shows is None:
            await self._read_again()
            if self._is_observed(self._engine.record(self._key)):
                return self._outcome(changed=True, observed=True)
        async for change in changes:
            if self._shows is not None and isinstance(change, DomainChange) and self._shows(change):
                return self._outcome(changed=True, observed=True)
            if isinstance(change, RecordChange) and self._is_observed(change.after):
                return self._outcome(changed=True, observed=True)
            if isinstance(change, HostResynced) and self._is_observed(self._engine.record(self._key)):
                return self._outcome(changed=True, observed=True)
            if isinstance(change, Removed):
                raise DomainGone(f"{change.name} is gone")
        raise ConnectionLost(f"{self._engine.name} is closed")

    async def _read_again(self) -> None:
        """Not every hypervisor tells of everything: look once right after acceptance."""
        try:
            await self._engine.fresh(self._key)
        except AvirtError:
            return  # the stream goes on by itself, through a reconnect too

    def _is_observed(self, record: DomainRecord | None) -> bool:
        """The record shows the effect, and no longer that it is under way (a domain is PAUSED while it starts)."""
        if self._observed is None or not self._observed(record):
            return False
        return record is None or record.transition is None or record.transition is not self._spec.transition

    def _outcome(self, *, changed: bool, observed: bool) -> Outcome:
        return Outcome(
            changed=changed,
            observed=observed,
            record=self._engine.record(self._key),
            revision=self._engine.revision,
        )

    def _timed_out(self) -> OperationTimeout:
        last = self._engine.record(self._key)
        name = last.name if last is not None else "the domain"
        done = {
            Phase.QUEUED: "nothing was sent",
            Phase.SENT: "it may or may not have begun",
            Phase.ACCEPTED: "the hypervisor accepted, the effect was not observed",
        }[self._phase]
        return OperationTimeout(
            f"{self._spec.verb} of {name}: time is up after {self._timeout:g} s; {done}",
            phase=self._phase,
            last=last,
            hint="a longer --timeout, or destroy" if self._phase is Phase.ACCEPTED else "",
            host=self._engine.name,
            domain=name,
            verb=self._spec.verb,
        )
