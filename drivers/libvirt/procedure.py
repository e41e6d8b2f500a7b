"""What a procedure of libvirt's RPC programs is. The table of all of them is generated: `generated/procedures.py`."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

__all__ = ["DomainEventKind", "Fds", "ObjectEventKind", "Procedure", "ReadOnly", "StreamKind"]

R_co = TypeVar("R_co", covariant=True)


class ReadOnly(StrEnum):
    """Whether a read-only connection may call it."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    DEPENDS = "depends"
    """On the flags, for instance on those that ask for secrets."""


class StreamKind(StrEnum):
    """The stream that a call opens; as the client sees it."""

    NONE = ""
    READ = "read"
    WRITE = "write"
    BOTH = "both"


class Fds(StrEnum):
    """Descriptors that travel with a call (in), its reply (out), or both."""

    NONE = ""
    IN = "in"
    OUT = "out"
    BOTH = "both"


class Procedure(msgspec.Struct, Generic[R_co], frozen=True, eq=False, gc=False):
    """One procedure: a call, or an event. `R_co` is what the call answers, or the event's message.

    Compared and hashed by identity: there is one object a procedure.

    Attributes:
        name: as in the table, `domain_get_state`.
        program, number: what the header says.
        args, ret: layouts of a call, or None for nothing.
        msg: layout of an event, None for a call.
        high: the server's priority workers run it, even while all others are stuck (libvirt-wire.md §3).
        api: the public C function, or "".
        since: the release it appeared in, or "".
        acl: permissions that a server with fine-grained access asks for.
    """

    name: str
    program: int
    number: int
    args: str | None = None
    ret: str | None = None
    msg: str | None = None
    high: bool = False
    read_only: ReadOnly = ReadOnly.ALLOWED
    stream: StreamKind = StreamKind.NONE
    fds: Fds = Fds.NONE
    sparse_flag: int = 0
    api: str = ""
    since: str = ""
    acl: tuple[str, ...] = ()

    @property
    def is_event(self) -> bool:
        """A message of the server, not a call."""
        return self.msg is not None


class DomainEventKind(msgspec.Struct, frozen=True, gc=False):
    """A domain event that can be registered for.

    Attributes:
        id: virDomainEventID.
        name: the id's name, "LIFECYCLE".
        since: the release it appeared in.
        message: what `connect_domain_event_callback_register_any` makes the server send.
        legacy: what the older registration makes it send, or None.
    """

    id: int
    name: str
    since: str
    message: Procedure[object]
    legacy: Procedure[object] | None


class ObjectEventKind(msgspec.Struct, frozen=True, gc=False):
    """An event of networks, storage pools, node devices or secrets.

    Attributes:
        kind: "network", "storage_pool", "node_device" or "secret".
        register, deregister: the calls for it; callback ids are counted per object kind.
    """

    kind: str
    id: int
    name: str
    since: str
    message: Procedure[object]
    register: Procedure[object]
    deregister: Procedure[object]
