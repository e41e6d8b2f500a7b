"""Domain events of one connection: registered, routed, turned into Items.

Every event id is registered on its own, before the first listing: a server refuses those that it does not know yet. A
message is taken if its (procedure, callback id) was registered here, else ignored: callback ids come from counters of
the server, and events may still come for what is not registered any more (reference/libvirt-wire.md §9). What comes
in one read of the socket is emitted together; from a frame to `emit` there is no await.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from avirt.drivers.base import Emit
from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.bulk import lifecycle_event
from avirt.drivers.libvirt.facts import Host
from avirt.drivers.libvirt.generated.procedures import DOMAIN_EVENTS, Proc
from avirt.drivers.libvirt.notices import items_of
from avirt.drivers.libvirt.observe import lifecycle_item
from avirt.drivers.libvirt.procedure import DomainEventKind, Procedure
from avirt.drivers.libvirt.protocol import Message
from avirt.drivers.libvirt.rpc import Arrival, Call, Rpc, Sick
from avirt.drivers.wire.breaker import Breaker
from avirt.errors import AvirtError, ConnectionLost, RemoteProtocolError
from avirt.log import get_logger
from avirt.model.observation import Item, Overrun, Seen

__all__ = ["Events"]

T = TypeVar("T")

LIFECYCLE: Final = 0
_LIFECYCLE_MESSAGE: Final = Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE.number

SUPERSEDED: Final = {4: 6, 8: 16}
"""Events that tell the same: io-error by io-error-reason, block-job (by path) by block-job-2 (by target). The older one
is registered too, and dropped where the newer one is there: each would show twice."""

_CLOSE_REASONS: Final = ("an error", "its end", "no answer to keepalive", "its client")
"""virConnectCloseReason."""

_log = get_logger("libvirt")


class _Route:
    """Where the messages of one procedure go."""

    __slots__ = ("callbacks", "procedure")

    def __init__(self, procedure: Procedure[Any], callbacks: frozenset[int] | None) -> None:
        self.procedure = procedure
        self.callbacks = callbacks
        """None: messages of the older registration, which have no callback id."""


class Events:
    """What one connection was told to send. `receive` is the connection's `on_events`."""

    def __init__(self) -> None:
        self._routes: dict[tuple[int, int], _Route] = {}
        self._lifecycle: frozenset[int] = frozenset()
        self._emit: Emit | None = None
        self._rpc: Rpc | None = None
        self._is_told: bool | None = None
        self.breaker: Breaker[Sick] | None = None
        """Told of domains that something happens to: they do not hang."""
        self.closed = ""
        """Why the server lost its hypervisor, if it did."""

    # ------------------------------------------------------------ registering

    async def register(self, rpc: Rpc, host: Host, emit: Emit) -> bool:
        """Register all there are, written together. False if lifecycle events can't be had: then poll.

        Once for a connection: a server refuses what is registered already.

        Raises:
            ConnectionLost: the connection is over.
        """
        self._rpc, self._emit = rpc, emit
        if self._is_told is None:
            self._is_told = await self._register_all(rpc, host)
        return self._is_told

    async def _register_all(self, rpc: Rpc, host: Host) -> bool:
        closing = rpc.submit(Proc.CONNECT_REGISTER_CLOSE_CALLBACK) if host.has_close_callback else None
        if host.has_event_callbacks:
            told = await self._register_each(rpc)
        else:
            told = await self._register_legacy(rpc)
        if closing is not None:
            answer = await _answer(closing)
            if not isinstance(answer, AvirtError):
                self._route(Proc.CONNECT_EVENT_CONNECTION_CLOSED, None)
        return told

    async def _register_each(self, rpc: Rpc) -> bool:
        calls = [
            (kind, rpc.submit(Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, kind.id, None)) for kind in DOMAIN_EVENTS
        ]
        callbacks: dict[int, int] = {}
        for kind, call in calls:
            answer = await _answer(call)
            if isinstance(answer, AvirtError):
                _log.debug("the server does not tell of it", kind=kind.name, why=str(answer))
            else:
                callbacks[kind.id] = answer
        for kind, _ in calls:
            if kind.id in callbacks and SUPERSEDED.get(kind.id) not in callbacks:
                self._route(kind.message, frozenset({callbacks[kind.id]}))
        self._lifecycle = frozenset({callbacks[LIFECYCLE]}) if LIFECYCLE in callbacks else frozenset()
        return LIFECYCLE in callbacks

    async def _register_legacy(self, rpc: Rpc) -> bool:
        """The way of servers without callback ids: lifecycle by a call of its own, the others by id."""
        kinds = [kind for kind in DOMAIN_EVENTS if kind.legacy is not None]
        first = rpc.submit(Proc.CONNECT_DOMAIN_EVENT_REGISTER)
        calls: list[tuple[DomainEventKind, Call[Any]]] = [
            (kind, first if kind.id == LIFECYCLE else rpc.submit(Proc.CONNECT_DOMAIN_EVENT_REGISTER_ANY, kind.id))
            for kind in kinds
        ]
        known: set[int] = set()
        for kind, call in calls:
            if isinstance(await _answer(call), AvirtError):
                _log.debug("the server does not tell of it", kind=kind.name)
            else:
                known.add(kind.id)
        for kind in kinds:
            if kind.legacy is not None and kind.id in known and SUPERSEDED.get(kind.id) not in known:
                self._route(kind.legacy, None)
        return LIFECYCLE in known

    def _route(self, procedure: Procedure[Any], callbacks: frozenset[int] | None) -> None:
        self._routes[procedure.program, procedure.number] = _Route(procedure, callbacks)

    # ------------------------------------------------------------ receiving

    def receive(self, arrivals: Sequence[Arrival]) -> None:
        """The events of one read, in order."""
        emit = self._emit
        if emit is None:
            return  # not registered yet: a listing comes after that
        items: list[Item] = []
        lifecycle = self._lifecycle
        for message, count in arrivals:
            told = lifecycle_event(message.payload) if message.procedure == _LIFECYCLE_MESSAGE else None
            if told is None:
                self._receive_other(message, count, items)
            else:
                callback, name, key, id, event, detail = told
                if callback in lifecycle:
                    items.append(lifecycle_item(name, key, id, event, detail, count))
        if items:
            if self.breaker:
                self._stir(self.breaker, items)
            emit(items)

    @staticmethod
    def _stir(breaker: Breaker[Sick], items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, Seen):
                breaker.answered((item.observation.key, False))
                breaker.answered((item.observation.key, True))

    def _receive_other(self, message: Message, count: int, items: list[Item]) -> None:
        """Any event but the commonest."""
        route = self._routes.get((message.program, message.procedure))
        if route is None:
            _log.debug("an event that nobody asked for", program=message.program, procedure=message.procedure)
            return
        try:
            told_of = codec.unpack_event(route.procedure, message.payload)
        except RemoteProtocolError as error:
            _log.warning("an event can't be decoded", procedure=route.procedure.name, why=str(error))
            items.append(Overrun(f"an event ({route.procedure.name}) could not be decoded"))
            return
        if route.procedure is Proc.CONNECT_EVENT_CONNECTION_CLOSED:
            self._hypervisor_lost(told_of.reason)
        elif route.callbacks is not None and told_of.callback_id not in route.callbacks:
            _log.debug("an event for an unknown callback", procedure=route.procedure.name)
        else:
            items += items_of(told_of, count)

    def _hypervisor_lost(self, reason: int) -> None:
        why = _CLOSE_REASONS[reason] if 0 <= reason < len(_CLOSE_REASONS) else f"reason {reason}"
        assert self._rpc is not None
        self._rpc.close(ConnectionLost(f"the daemon lost its hypervisor by {why}", hint="see the daemon's log"))


async def _answer(call: Call[T]) -> T | AvirtError:
    """What a registration answered, or why it was refused."""
    try:
        return await call.wait()
    except ConnectionLost:
        raise
    except AvirtError as error:
        return error
