"""The contract between a driver and the engine.

A **driver** opens a **session** to one hypervisor endpoint. A session states what it saw and never what it means for a
subscriber; it keeps no view, retries nothing, publishes nothing. The engine owns the order of things:

1. `open()` connects and authenticates. It raises `CannotConnect`, `AuthError` or `InvalidURI`, never hangs beyond the
   deadline that its caller sets, and leaves nothing behind when it raises or is cancelled. `facts` are known then.
2. `watch(emit)` subscribes, calls `task_status.started()` once every source is armed, and stays until the link is lost:
   it returns, or raises `ConnectionLost`. From a frame to `emit` there is no await, and `emit` never blocks or raises.
   It takes what came together (in one read of a socket, in one poll), in order: in a storm that saves a third.
3. `list()` comes after that, so nothing between the two is missed. `complete=False` if filtered or partial: then it
   removes nothing. It raises when it could not be read: a vanished session is never an empty listing.
4. `probe()` reads one domain. A domain that does not exist is `Gone`; a read that failed raises. `ConnectionLost`, of a
   probe or a listing, means that `watch` ends too: where a session has other connections, their loss is another error.

**asked**: a session counts its inbound messages. An event carries the count at its arrival, a reply the count when the
bytes of its call were written (earlier is allowed, later is not). Reads that feed the lifecycle go over the connection
that carries the events. A session that only polls counts its own reads.

**Cancellation**: every call may be cancelled at every await, and leaves the session usable.

**Capabilities** are a matter of the connection (read-only socket, ACL, inner driver), not of the class: `capability()`
answers None for what this session can't do. A capability's methods are plain async calls with no deadline of their own;
they return when the hypervisor accepted or answered, raise typed errors, and are not retried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Final, Protocol, TypeVar, runtime_checkable

import msgspec
from anyio.abc import TaskStatus

from avirt.drivers.transport.base import Wire
from avirt.model.command import (
    Create,
    Define,
    Destroy,
    ManagedSave,
    ManagedSaveRemove,
    Reboot,
    Rename,
    Reset,
    Restore,
    Resume,
    Save,
    SetAutostart,
    Shutdown,
    Start,
    Suspend,
    Undefine,
)
from avirt.model.native_event import Param
from avirt.model.observation import Gone, Item, Listing, Scope, Seen
from avirt.model.record import DomainRecord, HostFacts, Key
from avirt.uri import URI

__all__ = [
    "API",
    "Credentials",
    "CredentialsProvider",
    "Definitions",
    "Diagnostics",
    "DomainInfo",
    "DomainStats",
    "Driver",
    "Emit",
    "Env",
    "Finding",
    "HostInfo",
    "NodeInfo",
    "PollPolicy",
    "Power",
    "Session",
    "Stats",
    "StatsGroup",
]

API: Final = 1
"""The number of this contract. A driver with another one is refused with a clear error."""

T = TypeVar("T")

Emit = Callable[[Sequence[Item]], None]


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider answers. Never logged."""

    username: str = ""
    password: str = ""


CredentialsProvider = Callable[[URI], Awaitable[Credentials | None]]
"""Called at each connect, so that secrets may rotate."""


class Env(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver gets from its caller besides the URI.

    Attributes:
        read_only: connect read-only where the protocol can; every verb is refused anyway.
        credentials: asked when the peer wants some.
        environ: environment variables; drivers read no others.
        uid: the user's number, for default socket paths.
        wire: drivers with connections of their own make them through it, for recording and replaying.
    """

    read_only: bool = False
    credentials: CredentialsProvider | None = None
    environ: Mapping[str, str] = {}
    uid: int = 0
    wire: Wire | None = None


class PollPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine polls a session that can't tell everything by itself. Seconds.

    Attributes:
        interval: between listings, with jitter of ±20 %.
        fast: the interval for `fast_for` after a verb of ours.
        slowest: the interval after failures, doubling up to here.
    """

    interval: float = 5.0
    fast: float = 1.0
    fast_for: float = 30.0
    slowest: float = 60.0


class Session(Protocol):
    """One connection to one endpoint."""

    @property
    def facts(self) -> HostFacts:
        """What the host says of itself."""
        ...

    @property
    def poll(self) -> PollPolicy | None:
        """How to poll, or None if events tell everything."""
        ...

    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        """All domains."""
        ...

    async def probe(self, key: Key) -> Seen | Gone:
        """One domain, read freshly."""
        ...

    async def watch(self, emit: Emit, *, task_status: TaskStatus[None]) -> None:
        """Emit Items until the link is lost. `started()` means armed."""
        ...

    def capability(self, kind: type[T]) -> T | None:
        """This session's implementation of a capability protocol, or None."""
        ...


class Driver(Protocol):
    """Opens sessions for its schemes. Stateless."""

    @property
    def name(self) -> str:
        """The driver's name, as errors and facts show it."""
        ...

    @property
    def schemes(self) -> frozenset[str]:
        """URI schemes, without "+transport"."""
        ...

    @property
    def api(self) -> int:
        """The contract's number it was written for."""
        ...

    def open(self, uri: URI, env: Env) -> AbstractAsyncContextManager[Session]:
        """Connect and authenticate; leaving closes."""
        ...


# ---------------------------------------------------------------- capabilities


@runtime_checkable
class Power(Protocol):
    """Verbs that change a domain's state. Each returns when the hypervisor accepted."""

    async def start(self, record: DomainRecord, options: Start) -> None: ...
    async def create(self, options: Create) -> Key: ...
    async def shutdown(self, record: DomainRecord, options: Shutdown) -> None: ...
    async def destroy(self, record: DomainRecord, options: Destroy) -> None: ...
    async def reboot(self, record: DomainRecord, options: Reboot) -> None: ...
    async def reset(self, record: DomainRecord, options: Reset) -> None: ...
    async def suspend(self, record: DomainRecord, options: Suspend) -> None: ...
    async def resume(self, record: DomainRecord, options: Resume) -> None: ...
    async def save(self, record: DomainRecord, options: Save) -> None: ...
    async def restore(self, options: Restore) -> Key | None:
        """The key of the restored domain where the hypervisor tells, else None."""
        ...

    async def managed_save(self, record: DomainRecord, options: ManagedSave) -> None: ...
    async def managed_save_remove(self, record: DomainRecord, options: ManagedSaveRemove) -> None: ...


class DomainInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What `dominfo` shows besides the record. None: the hypervisor does not say.

    Attributes:
        memory_kib, max_memory_kib: memory in use (inactive: configured), and its maximum.
        cpu_time_ns: CPU time used by this incarnation; None while inactive.
    """

    os_type: str | None = None
    vcpus: int | None = None
    cpu_time_ns: int | None = None
    memory_kib: int | None = None
    max_memory_kib: int | None = None
    managed_save: bool | None = None
    security_model: str | None = None
    security_doi: str | None = None
    security_label: str | None = None
    security_enforcing: bool | None = None


@runtime_checkable
class Definitions(Protocol):
    """Configurations, and what is read from them."""

    async def define(self, options: Define) -> Key: ...
    async def undefine(self, record: DomainRecord, options: Undefine) -> None: ...
    async def rename(self, record: DomainRecord, options: Rename) -> None: ...
    async def set_autostart(self, record: DomainRecord, options: SetAutostart) -> None: ...
    async def xml(
        self,
        record: DomainRecord,
        *,
        inactive: bool = False,
        secure: bool = False,
        update_cpu: bool = False,
        migratable: bool = False,
    ) -> str: ...
    async def info(self, record: DomainRecord) -> DomainInfo: ...


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The host's hardware. `mhz` 0 and `model` "": not said."""

    model: str
    memory_kib: int
    cpus: int
    mhz: int
    nodes: int
    sockets: int
    cores: int
    threads: int


@runtime_checkable
class HostInfo(Protocol):
    """Reads of the host itself."""

    async def hostname(self) -> str: ...
    async def uri(self) -> str:
        """The hypervisor's own (canonical) URI."""
        ...

    async def node_info(self) -> NodeInfo: ...


class StatsGroup(StrEnum):
    """Groups of statistics, virsh's words (`domstats --state --cpu-total …`)."""

    STATE = "state"
    CPU_TOTAL = "cpu-total"
    BALLOON = "balloon"
    VCPU = "vcpu"
    INTERFACE = "interface"
    BLOCK = "block"
    PERF = "perf"
    IOTHREAD = "iothread"
    MEMORY = "memory"
    DIRTYRATE = "dirtyrate"
    VM = "vm"


class DomainStats(msgspec.Struct, frozen=True):
    """One domain's statistics, by the hypervisor's own names, in its order."""

    key: Key
    name: str
    params: Mapping[str, Param]


@runtime_checkable
class Stats(Protocol):
    """Bulk statistics."""

    async def collect(
        self, records: Sequence[DomainRecord] = (), *, groups: frozenset[StatsGroup] = frozenset(), nowait: bool = False
    ) -> Sequence[DomainStats]:
        """Of these domains, or of all; these groups, or all the hypervisor knows."""
        ...


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What an examination of a connection found.

    Attributes:
        step: what was looked at, a word or two ("keepalive").
        ok: None if it is neither good nor bad.
        text: what was found.
        hint: what to do about it, or "".
    """

    step: str
    ok: bool | None
    text: str
    hint: str = ""


@runtime_checkable
class Diagnostics(Protocol):
    """Examines the open connection for people: keepalive, limits, how fast it answers."""

    async def diagnose(self) -> Sequence[Finding]: ...
