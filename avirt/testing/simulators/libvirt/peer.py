"""One client, as the simulated daemon sees it: messages in, replies and events out.

It reads no further than the daemon's request limit: a message is looked at only when one of those before it was
answered, keepalive included (reference/libvirt-wire.md §3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, cast

import anyio
import msgspec

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.flags import Xml
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, AuthType, Proc
from avirt.drivers.libvirt.generated.types import RemoteDomain, RemoteError
from avirt.drivers.libvirt.keepalive import PING_MESSAGE, PONG_MESSAGE, Keepalive, Verdict
from avirt.drivers.libvirt.procedure import Procedure, ReadOnly
from avirt.drivers.libvirt.protocol import (
    KEEPALIVE_PROGRAM,
    PING,
    Connection,
    Message,
    MessageStatus,
    MessageType,
    Role,
)
from avirt.drivers.sim.domain import SimDomain
from avirt.errors import AvirtError, InvalidOperation, RemoteProtocolError
from avirt.model.record import Key
from avirt.testing.rules import FailCall, Hang, LateReply, LoseEvent, RefuseAuth, Reorder, RepeatEvent
from avirt.testing.simulators.libvirt.answers import Answer, Later, Refusal
from avirt.testing.simulators.libvirt.errors import (
    INTERNAL_ERROR,
    NO_SUPPORT,
    OPERATION_DENIED,
    OPERATION_TIMEOUT,
    RPC,
    as_remote,
    remote_error,
)
from avirt.testing.simulators.libvirt.events import Registrations, Told, messages_of
from avirt.testing.simulators.libvirt.procedures import BEFORE_AUTH, BEFORE_OPEN, BULK, HANDLERS, STATE
from avirt.testing.stream import FaultyStream

if TYPE_CHECKING:
    from avirt.testing.simulators.libvirt.daemon import Daemon

__all__ = ["HungCall", "Peer"]

_CALLS = (MessageType.CALL, MessageType.CALL_WITH_FDS)
_PROGRAMS = frozenset(program for program, _ in PROCEDURES)


class HungCall(msgspec.Struct, eq=False):
    """A call that hangs. `again`: look whether it still does."""

    domain: str
    again: Callable[[], None]


class Peer:
    """See the module.

    Attributes:
        number: of the connection, in order of acceptance.
        is_read_only: it came by the read-only socket, or asked for it.
        unanswered: calls that were looked at and are not answered.
    """

    def __init__(self, daemon: Daemon, stream: FaultyStream, *, by_read_only_socket: bool) -> None:
        self.daemon: Daemon = daemon
        self.stream = stream
        self.number = stream.number
        self.is_read_only = by_read_only_socket
        self.by_read_only_socket = by_read_only_socket
        self.is_open = False
        self.is_closed = False
        self.said_goodbye = False
        self.wants_close_event = False
        self.registered = Registrations()
        self.unanswered = 0
        self.is_authenticated = self.offered() is AuthType.NONE
        self._core = Connection(Role.SERVER)
        self._backlog: deque[Message] = deque()
        self._inbound = 0
        self._keepalive: Keepalive | None = None
        self._held: list[tuple[Message, bytes]] = []
        self._autodestroy: list[tuple[Key, int]] = []
        self._has_overdone = False
        self._is_working = False

    def __repr__(self) -> str:
        return f"<Peer {self.number} unanswered={self.unanswered} backlog={len(self._backlog)}>"

    # ------------------------------------------------------------ the connection

    async def run(self) -> None:
        """Read and answer until the connection is over."""
        try:
            while True:
                data = await self.stream.receive(inf if self._keepalive is None else self._keepalive.due)
                if data is None:
                    if not self._check_alive():
                        break
                    continue
                if not data or not self._receive(data):
                    break
        finally:
            self._close()

    def _receive(self, data: bytes) -> bool:
        """Take bytes; False if they end the connection."""
        try:
            messages = self._core.receive_data(data)
        except RemoteProtocolError as error:
            self.complain(str(error))
            return False
        self._core.data_to_send()  # pongs are given in their turn, not ahead of it
        self._backlog += messages
        sent = self.unanswered + sum(message.type in _CALLS for message in self._backlog)
        if sent > self.daemon.max_requests and not self._has_overdone:
            self._has_overdone = True
            self.complain(f"{sent} calls at once, above the limit of {self.daemon.max_requests}")
        self._work_off()
        return True

    def _work_off(self) -> None:
        """Look at messages up to the limit of requests. What is answered meanwhile makes room for the next."""
        if self._is_working:
            return
        self._is_working = True
        try:
            while self._backlog and self.unanswered < self.daemon.max_requests and not self.is_closed:
                self._look_at(self._backlog.popleft())
        finally:
            self._is_working = False
        self.stream.pause(self.unanswered >= self.daemon.max_requests)

    def _look_at(self, message: Message) -> None:
        self._inbound += 1
        if message.program == KEEPALIVE_PROGRAM:
            if message.procedure == PING:
                self._send(PONG_MESSAGE)
        elif message.type in _CALLS:
            self.daemon.calls += 1
            self.unanswered += 1
            self._begin(message)

    def _check_alive(self) -> bool:
        if self._keepalive is None:
            return True
        # at the limit of requests it reads no pong, and drops the client all the same (seen on 9.0.0, after 30 s)
        verdict = self._keepalive.check(anyio.current_time(), self._inbound)
        if verdict is Verdict.PING:
            self._send(PING_MESSAGE)
        return verdict is not Verdict.DEAD

    def start_keepalive(self) -> None:
        """The client asked for it: it is pinged from now on."""
        if self._keepalive is None:
            interval, count = self.daemon.keepalive
            self._keepalive = Keepalive(interval=interval, count=count)
            self._keepalive.check(anyio.current_time(), self._inbound)

    def cut(self) -> None:
        """End it: a fault, or the daemon's own end."""
        self.stream.cut()
        self._close()

    def _close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if not self.said_goodbye and not self.stream.was_cut:
            self.daemon.hung_up += 1
        self.stream.close()
        if self in self.daemon.peers:
            self.daemon.peers.remove(self)
        for key, incarnation in self._autodestroy:
            domain = self.daemon.world.domains.get(key)
            if domain is not None and domain.active and domain.incarnation == incarnation:
                domain.destroy()

    # ------------------------------------------------------------ calls

    def _begin(self, call: Message) -> None:
        """Check a call as a daemon does, and give it to a worker."""
        procedure = PROCEDURES.get((call.program, call.procedure))
        if procedure is None or procedure.is_event:
            text = f"unknown procedure: {call.procedure}"
            if call.program not in _PROGRAMS:
                text = f"Cannot find program {call.program} version 1"
            self._answer(call, remote_error(RPC, text))
            return
        try:
            args = codec.unpack_args(procedure, call.payload)
        except RemoteProtocolError as error:
            self.complain(f"{procedure.name}: {error}")
            self._answer(call, remote_error(RPC, "Unable to decode message payload"))
            return
        refused = self._refused(procedure, args)
        if refused is not None:
            self._answer(call, refused)
            return
        work = partial(self._work, call, procedure, args)
        self.daemon.workers.run(work, high=procedure.high)

    def _refused(self, procedure: Procedure[Any], args: tuple[Any, ...]) -> RemoteError | None:
        """Why the call may not be made now, whatever it would answer."""
        keepalive = procedure is Proc.CONNECT_SUPPORTS_FEATURE
        if not self.is_authenticated and procedure not in BEFORE_AUTH and not keepalive:
            return remote_error(RPC, "authentication required")
        if not self.is_open and procedure not in BEFORE_OPEN:
            return remote_error(INTERNAL_ERROR, "hypervisor connection not open")
        if procedure.name in self.daemon.profile.missing or procedure not in HANDLERS:
            text = f"this function is not supported by the connection driver: {procedure.api or procedure.name}"
            return remote_error(NO_SUPPORT, text, domain=self.daemon.profile.error_domain)
        if self.is_read_only and (procedure.read_only is ReadOnly.REFUSED or _asks_for_secrets(procedure, args)):
            return remote_error(OPERATION_DENIED, f"operation forbidden: read only access prevents {procedure.api}")
        return None

    def _work(
        self,
        call: Message,
        procedure: Procedure[Any],
        args: tuple[Any, ...],
        end: Callable[[], None],
        *,
        again: int = 0,
    ) -> None:
        """A worker's: do it, unless it hangs; end() when the worker is free."""
        domain = self._name_of(args)
        faults = self.daemon.faults

        def hangs(rule: Hang) -> bool:
            if domain:
                return rule.domain == domain and not (rule.spares_state and procedure in STATE)
            return rule.bulk and procedure in BULK

        if faults.holds(Hang):
            look = faults.find if again else faults.strike
            rule = look(Hang, self.number, self.stream.is_events, hangs)
            if rule is not None:
                hung = HungCall(domain, partial(self._work, call, procedure, args, end, again=again + 1))
                is_first = all(other.domain != domain for other in self.daemon.hung)
                self.daemon.hung.append(hung)
                if rule.busy_after is not None and not is_first:
                    give_up = partial(self._give_up, hung, partial(self._do, call, procedure, domain, end, _busy))
                    self.daemon.at(anyio.current_time() + rule.busy_after, give_up)
                return
        self.daemon.world.run_due()
        self._do(call, procedure, domain, end, partial(self._handle, procedure, domain, args))

    def _give_up(self, hung: HungCall, refuse: Callable[[], None]) -> None:
        """A call has waited for the domain's job for too long."""
        if hung in self.daemon.hung:
            self.daemon.hung.remove(hung)
            refuse()

    def _do(
        self, call: Message, procedure: Procedure[Any], domain: str, end: Callable[[], None], act: Callable[[], Answer]
    ) -> None:
        if self.is_closed:
            end()
            return
        try:
            answer = act()
        except Refusal as refusal:
            answer = refusal.error
        except AvirtError as error:
            profile = self.daemon.profile
            code = profile.refusals.get(procedure.name) if isinstance(error, InvalidOperation) else None
            answer = as_remote(error, profile.error_domain, code=code)
        if isinstance(answer, Later):
            self.daemon.at(answer.due, partial(self._do, call, procedure, domain, end, answer.finish))
            return
        end()
        late = self.daemon.faults.strike(
            LateReply,
            self.number,
            self.stream.is_events,
            lambda rule: rule.procedure in ("", procedure.name) and rule.domain in ("", domain),
        )
        if late is None:
            self._answer(call, answer)
        else:
            self.daemon.at(anyio.current_time() + late.seconds, partial(self._answer, call, answer))

    def _handle(self, procedure: Procedure[Any], domain: str, args: tuple[Any, ...]) -> Answer:
        failure = self.daemon.faults.strike(
            FailCall,
            self.number,
            self.stream.is_events,
            lambda rule: rule.procedure in ("", procedure.name) and rule.domain in ("", domain),
        )
        if failure is not None:
            raise Refusal(remote_error(failure.code, failure.text, domain=self.daemon.profile.error_domain))
        return HANDLERS[procedure](self, *args)

    def _name_of(self, args: tuple[Any, ...]) -> str:
        """The name of the domain that a call is about, or ""."""
        first: object = args[0] if args else None
        domains = cast("tuple[object, ...]", first) if isinstance(first, tuple) else (first,)
        dom = domains[0] if len(domains) == 1 else None
        if not isinstance(dom, RemoteDomain):
            return ""
        known = self.daemon.world.domains.get(Key(dom.uuid))
        return dom.name if known is None else known.name

    # ------------------------------------------------------------ sending

    def _answer(self, call: Message, answer: Answer) -> None:
        """Send the reply to a call, and go on reading."""
        if self.is_closed:
            return
        status, payload = MessageStatus.OK, b""
        if isinstance(answer, RemoteError):
            status, payload = MessageStatus.ERROR, codec.pack_error(answer)
        else:
            payload = codec.pack_reply(PROCEDURES[call.program, call.procedure], answer)
        reply = Message(call.program, call.procedure, MessageType.REPLY, call.serial, status, payload)
        rule = self.daemon.faults.find(Reorder, self.number, self.stream.is_events)
        self._held.append((reply, self._core.send(reply)))
        if rule is None:
            self._release()
        elif len(self._held) >= min(rule.depth, self.daemon.max_requests):
            self.daemon.faults.strike(Reorder, self.number, self.stream.is_events)
            self._held.reverse()
            self._release()
        elif len(self._held) == 1:
            self.daemon.at(anyio.current_time() + rule.within, self._release)

    def _release(self) -> None:
        held, self._held = self._held, []
        for reply, frame in held:
            self.unanswered -= 1
            self.stream.send(frame)
            if (reply.program, reply.procedure) == _CLOSE:
                self.stream.finish()
        if held:
            self._work_off()

    def _send(self, message: Message) -> None:
        self.stream.send(self._core.send(message))

    def tell(self, told: Told) -> None:
        """An event, if it asked for it."""
        messages = messages_of(told, self.registered) if self.registered.is_any else ()
        if not messages:
            return
        faults = self.daemon.faults

        def fits(rule: LoseEvent | RepeatEvent) -> bool:
            return rule.event in (None, told.event) and rule.domain in ("", told.domain.name)

        if faults.strike(LoseEvent, self.number, True, fits) is not None:
            return
        repeat = faults.strike(RepeatEvent, self.number, True, fits)
        for _ in range(1 if repeat is None else 1 + repeat.copies):
            for message in messages:
                self.daemon.told += 1
                self._send(message)

    def say_closed(self, reason: int) -> None:
        """Tell it that the daemon lost its hypervisor, if it asked for that."""
        if self.wants_close_event:
            event = Proc.CONNECT_EVENT_CONNECTION_CLOSED
            payload = codec.pack(event, reason) if event.args else reason.to_bytes(4, "big", signed=True)
            self._send(Message(event.program, event.number, MessageType.MESSAGE, 1, payload=payload))

    # ------------------------------------------------------------ for handlers

    def complain(self, what: str) -> None:
        """The client did something wrong."""
        self.daemon.complaints.append(f"connection {self.number}: {what}")

    def listens(self) -> None:
        """What it is told of has changed."""
        self.stream.is_events = self.registered.is_any

    def offered(self) -> AuthType:
        """How it may authenticate. The read-only socket asks for nothing, as by default."""
        if self.daemon.faults.find(RefuseAuth, self.number, False) is not None:
            return AuthType.POLKIT
        if self.by_read_only_socket or self.daemon.auth == "none":
            return AuthType.NONE
        return AuthType.SASL if self.daemon.auth == "sasl" else AuthType.POLKIT

    def is_refused(self) -> bool:
        """Whether polkit says no."""
        if self.daemon.faults.strike(RefuseAuth, self.number, False) is not None:
            return True
        return self.daemon.auth == "polkit-refused"

    def destroy_on_close(self, domain: SimDomain) -> None:
        """This incarnation ends with the connection."""
        self._autodestroy.append((domain.key, domain.incarnation))


def _busy() -> Answer:
    text = "Timed out during operation: cannot acquire state change lock"
    raise Refusal(remote_error(OPERATION_TIMEOUT, text, domain=10))


_CLOSE = (Proc.CONNECT_CLOSE.program, Proc.CONNECT_CLOSE.number)


def _asks_for_secrets(procedure: Procedure[Any], args: tuple[Any, ...]) -> bool:
    """What a read-only client may not ask for although it may call the procedure."""
    return procedure is Proc.DOMAIN_GET_XML_DESC and bool(args[1] & Xml.SECURE)
