"""All domains, or one, read with as few calls as the server's age and driver allow.

- **By statistics**: one call answers name, uuid, id, state and reason of all; beside it, in the same write, the lists
  of transient domains, of those that start with the host and of those with a saved image.
- **By lists**, where statistics are not supported (the LXC driver): the four lists filtered by state. They are not one
  moment: a domain in two of them or in none, and whatever "other" lumps together, is asked singly; on small hosts all
  are, for their reasons.
- **By ids and names**, where there are no such lists either (before 0.9.13).

What a connection turns out not to have is remembered for it. Reads go over the connection that carries the events, as
high-priority calls but for the statistics, and are as old as the first of their calls
(reference/libvirt-wire.md §3, §6, §15, §16; performance.md §3).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeGuard, TypeVar

import anyio.lowlevel
from msgspec.structs import replace

from avirt.drivers.libvirt.bulk import SLICE, DomainEntry, DomainListReader, StateEntry, StatesReader
from avirt.drivers.libvirt.errors import NO_DOMAIN
from avirt.drivers.libvirt.flags import ListDomains, Stats
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import RemoteDomain
from avirt.drivers.libvirt.observe import Known, listed, read
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.rpc import Call, Rpc
from avirt.drivers.libvirt.states import StateTable
from avirt.drivers.wire.pending import Priority
from avirt.errors import AvirtError, ConnectionLost, InvalidArgument, NotFound, RemoteProtocolError, Unsupported
from avirt.log import get_logger
from avirt.model.change import Origin
from avirt.model.observation import Gone, Listing, Observation, Scope, Seen
from avirt.model.record import Key
from avirt.model.state import DomainState

__all__ = ["Inventory"]

REASONS_UP_TO: Final = 64
"""Where only lists are there, as many domains are asked singly for their reasons: about 5 ms."""

R = TypeVar("R")

_log = get_logger("libvirt")


def _asked(calls: Iterable[Call[Any]]) -> int:
    return min((call.asked for call in calls if call.asked >= 0), default=0)


async def _outcome(call: Call[R]) -> R | AvirtError:
    """What a call answered, or its error; a lost connection is raised."""
    try:
        return await call.wait()
    except ConnectionLost:
        raise
    except RemoteProtocolError:
        raise
    except AvirtError as error:
        return error


async def _entries(payload: bytes) -> AsyncIterator[Sequence[DomainEntry]]:
    reader = DomainListReader(payload)
    while reader.left:
        yield reader.read()
        if reader.left:
            await anyio.lowlevel.checkpoint()


class Inventory:
    """Reads of one connection.

    Args:
        rpc: the connection that carries the events.
        table: the inner driver's states.
    """

    def __init__(self, rpc: Rpc, table: StateTable) -> None:
        self._rpc = rpc
        self._table = table
        self._missing: set[str] = set()

    @property
    def has_statistics(self) -> bool:
        """False once a listing has found that there are none."""
        return Proc.CONNECT_GET_ALL_DOMAIN_STATS.name not in self._missing

    # ------------------------------------------------------------ all domains

    async def read_all(self) -> Listing:
        """All domains.

        Raises:
            AvirtError: they could not be read.
        """
        ways: tuple[tuple[str, Callable[[], Awaitable[Listing]]], ...] = (
            (Proc.CONNECT_GET_ALL_DOMAIN_STATS.name, self._by_statistics),
            (Proc.CONNECT_LIST_ALL_DOMAINS.name, self._by_lists),
        )
        for name, way in ways:
            if name in self._missing:
                continue
            try:
                listing = await way()
            except Unsupported as error:
                self._missing.add(name)
                _log.debug("not supported, reading in another way", procedure=name, why=str(error))
            else:
                return listing
        return await self._by_ids()

    def _submit_list(self, flags: int) -> Call[bytes] | None:
        """A filtered list; None if this connection can't have it."""
        name = Proc.CONNECT_LIST_ALL_DOMAINS.name
        if name in self._missing or f"{name} {flags}" in self._missing:
            return None
        return self._rpc.submit(Proc.CONNECT_LIST_ALL_DOMAINS, 1, flags, raw=True)

    async def _keys(
        self, flags: int, call: Call[bytes] | None, failed: list[int] | None = None
    ) -> frozenset[bytes] | None:
        """The uuids of a filtered list; None if the server can't tell, noted in `failed` if it could another time."""
        if call is None:
            return None
        answer = await _outcome(call)
        if isinstance(answer, AvirtError):
            if isinstance(answer, Unsupported):
                self._missing.add(f"{Proc.CONNECT_LIST_ALL_DOMAINS.name} {flags}")
            elif failed is not None and not isinstance(answer, InvalidArgument):
                failed.append(flags)  # that would be the answer to flags that are newer than the server
            _log.debug("a filtered list is refused", flags=flags, why=str(answer))
            return None
        return frozenset([key async for part in _entries(answer) for _, key, _ in part])

    async def _by_statistics(self) -> Listing:
        rpc = self._rpc
        states = rpc.submit(Proc.CONNECT_GET_ALL_DOMAIN_STATS, (), Stats.STATE, 0, raw=True, priority=Priority.URGENT)
        lists = [
            (flags, self._submit_list(flags))
            for flags in (ListDomains.TRANSIENT, ListDomains.AUTOSTART, ListDomains.MANAGEDSAVE)
        ]
        payload = await states.wait()
        failed: list[int] = []
        transient, autostart, saved = [await self._keys(flags, call, failed) for flags, call in lists]
        known = Known(transient=transient, autostart=autostart, saved=saved or frozenset[bytes]())
        asked = _asked([states, *(call for _, call in lists if call is not None)])
        found: list[Observation] = []
        reader = StatesReader(payload)
        while reader.left:
            found += listed(self._table, reader.read(), known, asked)
            if reader.left:
                await anyio.lowlevel.checkpoint()
        return replace(await self._settled(found, known, asked), complete=not failed)

    async def _settled(self, found: list[Observation], known: Known, asked: int) -> Listing:
        """The listing, once domains whose state did not say enough were looked at again."""
        unclear = [item for item in found if item.active is None]
        if unclear:
            silent = {item.key: item for item in unclear if item.status is None and "state" not in item.native}
            states = await self._states([_domain_of(item) for item in silent.values()])
            active = await self._activity(unclear)
            again: dict[Key, Observation | None] = {}
            for item in unclear:
                state, reason = _numbers(item)
                if item.key in silent:
                    answer = states[item.key]
                    if _is_unknown(answer):
                        again[item.key] = None
                    if isinstance(answer, AvirtError):
                        continue  # listed without a state: that it is in no list of active ones says nothing
                    state, reason = answer
                entry: StateEntry = (item.name or "", item.key, -1 if item.id is None else item.id, state, reason)
                (again[item.key],) = listed(self._table, [entry], replace(known, active=active), asked)
            found = [seen for item in found if (seen := again.get(item.key, item)) is not None]
        return Listing(Scope.ALL, True, asked, found)

    async def _activity(self, unclear: Sequence[Observation]) -> Mapping[bytes, bool]:
        """Whether domains are active, by another source than their state."""
        flags = ListDomains.ACTIVE | ListDomains.OTHER
        up = await self._keys(flags, self._submit_list(flags))
        if up is not None:
            return {item.key: item.key in up for item in unclear}
        calls = {item.key: self._rpc.submit(Proc.DOMAIN_IS_ACTIVE, _domain_of(item)) for item in unclear}
        active: dict[bytes, bool] = {}
        for key, call in calls.items():
            answer = await _outcome(call)
            if not isinstance(answer, AvirtError):
                active[key] = bool(answer)
        return active

    async def _by_lists(self) -> Listing:
        flags = (
            ListDomains.RUNNING,
            ListDomains.PAUSED,
            ListDomains.SHUTOFF,
            ListDomains.OTHER,
            ListDomains.PERSISTENT,
            ListDomains.TRANSIENT,
            ListDomains.AUTOSTART,
            ListDomains.MANAGEDSAVE,
        )
        procedure = Proc.CONNECT_LIST_ALL_DOMAINS
        calls = [self._rpc.submit(procedure, 1, flag, raw=True) for flag in flags]
        first: list[bytes | AvirtError] = []
        for call in calls:
            answer = await _outcome(call)
            if isinstance(answer, AvirtError) and len(first) < 6:
                raise answer  # without the states, or without persistence, there is no listing
            first.append(answer)
        asked = _asked(calls)
        domains: dict[bytes, DomainEntry] = {}
        states: dict[bytes, list[int]] = {}
        keys: list[frozenset[bytes] | None] = []
        numbers = (DomainState.RUNNING, DomainState.PAUSED, DomainState.SHUTOFF, None)
        for index, answer in enumerate(first):
            if isinstance(answer, AvirtError):
                keys.append(None)
                continue
            some: list[bytes] = []
            async for part in _entries(answer):
                for entry in part:
                    some.append(entry[1])
                    domains[entry[1]] = entry
                    if index < len(numbers):
                        states.setdefault(entry[1], []).append(int(numbers[index] or DomainState.NOSTATE))
            keys.append(frozenset(some))
        known = Known(transient=keys[5], persistent=keys[4], autostart=keys[6], saved=keys[7] or frozenset[bytes]())
        return await self._merged(domains, states, known, asked)

    async def _merged(
        self,
        domains: Mapping[bytes, DomainEntry],
        states: Mapping[bytes, Sequence[int]],
        known: Known,
        asked: int,
    ) -> Listing:
        """A listing of what several lists said; asks singly where they disagree or don't say."""
        every = len(domains) <= REASONS_UP_TO
        singly = [
            entry
            for key, entry in domains.items()
            if every or len(states.get(key, ())) != 1 or states[key][0] == DomainState.NOSTATE
        ]
        answers = await self._states([RemoteDomain(*entry) for entry in singly])
        entries: list[StateEntry] = []
        for name, key, id in domains.values():
            answer = answers.get(key)
            if _is_unknown(answer):
                continue
            if isinstance(answer, tuple):
                entries.append((name, key, id, *answer))
            elif answer is None:
                entries.append((name, key, id, states[key][0], 0))
            else:
                entries.append((name, key, id, None, None))
        found: list[Observation] = []
        for start in range(0, len(entries), SLICE):
            found += listed(self._table, entries[start : start + SLICE], known, asked)
            await anyio.lowlevel.checkpoint()
        unclear = [item for item in found if item.active is None and "state" in item.native]
        if unclear:
            active = await self._activity(unclear)
            known = replace(known, active=active)
            for index, item in enumerate(found):
                if item.active is None and item.key in active:
                    state, reason = _numbers(item)
                    id = -1 if item.id is None else item.id
                    (found[index],) = listed(
                        self._table, [(item.name or "", item.key, id, state, reason)], known, asked
                    )
        return Listing(Scope.ALL, True, asked, found)

    async def _by_ids(self) -> Listing:
        """The way of servers before 0.9.13. A domain that starts or stops meanwhile may be missed: it tells itself."""
        rpc = self._rpc
        counts = rpc.submit(Proc.CONNECT_NUM_OF_DOMAINS), rpc.submit(Proc.CONNECT_NUM_OF_DEFINED_DOMAINS)
        up, down = [await call.wait() for call in counts]
        asked = _asked(counts)
        room = 16  # they may become more before the next call
        lists = (
            rpc.submit(Proc.CONNECT_LIST_DOMAINS, up + room),
            rpc.submit(Proc.CONNECT_LIST_DEFINED_DOMAINS, down + room),
        )
        ids, names = await lists[0].wait(), await lists[1].wait()
        calls = [rpc.submit(Proc.DOMAIN_LOOKUP_BY_ID, id) for id in ids]
        calls += [rpc.submit(Proc.DOMAIN_LOOKUP_BY_NAME, name) for name in names]
        domains: dict[bytes, RemoteDomain] = {}
        complete = True
        for call in calls:
            answer = await _outcome(call)
            if isinstance(answer, RemoteDomain):
                domains[answer.uuid] = answer
            elif not _is_unknown(answer):
                complete = False  # it is there, but who it is could not be read
                _log.debug("a domain could not be looked up", why=str(answer))
        found: list[Observation] = []
        for dom in domains.values():
            item = await self._read(Key(dom.uuid), Origin.LIST, dom, self._rpc)
            if isinstance(item, Seen):
                found.append(replace(item.observation, asked=asked))
        return Listing(Scope.ALL, complete, asked, found)

    # ------------------------------------------------------------ single domains

    async def _states(self, domains: Sequence[RemoteDomain]) -> dict[bytes, tuple[int, int] | AvirtError]:
        """State and reason of each, or why they could not be read; all asked at once."""
        calls = [(dom.uuid, self._submit_state(dom)) for dom in domains]
        answers: dict[bytes, tuple[int, int] | AvirtError] = {}
        for index, (key, call) in enumerate(calls):
            answers[key] = await self._state_of(call)
            if index % SLICE == SLICE - 1:
                await anyio.lowlevel.checkpoint()
        return answers

    def _submit_state(self, dom: RemoteDomain, rpc: Rpc | None = None) -> Call[Any]:
        """`domain_get_state` since 0.9.2, before it `domain_get_info`, that has no reason. One at a time a domain."""
        rpc = rpc or self._rpc
        if Proc.DOMAIN_GET_STATE.name in self._missing:
            return rpc.submit(Proc.DOMAIN_GET_INFO, dom, key=dom.uuid)
        return rpc.submit(Proc.DOMAIN_GET_STATE, dom, 0, key=dom.uuid)

    async def _state_of(self, call: Call[Any]) -> tuple[int, int] | AvirtError:
        answer = await _outcome(call)
        if isinstance(answer, AvirtError):
            return answer
        return int(answer.state), int(getattr(answer, "reason", 0))

    async def probe(self, key: Key, rpc: Rpc | None = None) -> Seen | Gone:
        """One domain, read freshly; over another connection of the same host, if one is given.

        Raises:
            AvirtError: it could not be read.
        """
        return await self._read(key, Origin.POLL, None, rpc or self._rpc)

    async def _read(self, key: Key, origin: Origin, found: RemoteDomain | None, rpc: Rpc) -> Seen | Gone:
        """The state alone first, the rest in one write: of a domain that hangs only one call is on its way (§3)."""
        dom = found or RemoteDomain("", key, -1)  # the server goes by the uuid (§6)
        before = self._rpc.inbound
        state = self._submit_state(dom, rpc)
        numbers = await self._state_of(state)
        if isinstance(numbers, Unsupported) and Proc.DOMAIN_GET_STATE.name not in self._missing:
            self._missing.add(Proc.DOMAIN_GET_STATE.name)
            return await self._read(key, origin, found, rpc)
        asked = state.asked if rpc is self._rpc else before  # events are counted where they come
        if _is_unknown(numbers):
            return Gone(key, asked, origin)
        if isinstance(numbers, AvirtError):
            if origin is Origin.POLL:
                raise numbers
            numbers = (-1, -1)  # listed without a state: a probe follows
        lookup = rpc.submit(Proc.DOMAIN_LOOKUP_BY_UUID, key) if found is None else None
        persistent = self._submit_optional(Proc.DOMAIN_IS_PERSISTENT, dom, rpc)
        autostart = self._submit_optional(Proc.DOMAIN_GET_AUTOSTART, dom, rpc)
        looked: RemoteDomain | AvirtError = dom
        if lookup is not None:
            looked = await _outcome(lookup)
        is_persistent = await self._optional(persistent, refusals=(Unsupported, InvalidArgument, NotFound))
        starts = await self._optional(autostart)
        if _is_unknown(looked):
            return Gone(key, asked, origin)
        if isinstance(looked, AvirtError):
            raise looked
        said, why = numbers
        row = self._table.read(said, why)
        active: bool | None = None
        if said >= 0 and row.active is None:
            active = await self._optional(self._submit_optional(Proc.DOMAIN_IS_ACTIVE, dom, rpc))
        saved = False
        if said == DomainState.SHUTOFF and why == 0:  # a restarted daemon forgets why (§16)
            saved = key in (await self._keys(ListDomains.MANAGEDSAVE, self._submit_list(ListDomains.MANAGEDSAVE)) or ())
        return Seen(
            read(
                self._table,
                key,
                name=looked.name,
                id=looked.id,
                state=said if said >= 0 else None,
                reason=why,
                active=active,
                persistent=is_persistent,
                autostart=starts,
                saved=saved,
                origin=origin,
                asked=asked,
            )
        )

    def _submit_optional(self, procedure: Procedure[int], dom: RemoteDomain, rpc: Rpc) -> Call[int] | None:
        return None if procedure.name in self._missing else rpc.submit(procedure, dom)

    async def _optional(
        self, call: Call[int] | None, refusals: tuple[type[AvirtError], ...] = (AvirtError,)
    ) -> bool | None:
        """What not every driver answers; None: not said. Any other error than a refusal is a read that failed."""
        if call is None:
            return None
        answer = await _outcome(call)
        if isinstance(answer, AvirtError):
            if isinstance(answer, Unsupported):
                self._missing.add(call.what.name)
            if not isinstance(answer, refusals):
                raise answer
            return None
        return bool(answer)


def _domain_of(item: Observation) -> RemoteDomain:
    return RemoteDomain(item.name or "", item.key, -1 if item.id is None else item.id)


def _numbers(item: Observation) -> tuple[int | None, int | None]:
    state, reason = item.native.get("state"), item.native.get("reason")
    return (state if isinstance(state, int) else None), (reason if isinstance(reason, int) else None)


def _is_unknown(answer: object) -> TypeGuard[NotFound]:
    """The server knows no such domain. Other things that are not found say nothing about the domain."""
    return isinstance(answer, NotFound) and answer.code == NO_DOMAIN
