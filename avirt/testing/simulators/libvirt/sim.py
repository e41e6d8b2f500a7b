"""`LibvirtSim`: a simulated libvirt daemon with its sockets, for the body of an `async with`.

    async with LibvirtSim(domains=100) as sim, avirt.connect(sim.uri) as host:
        sim.domain("vm7").crash()
        sim.faults.cut(after_bytes=1234)
        await sim.settled(host)
        assert host.view == sim.truth()

One task accepts, one serves each client, and one keeps time while something is due; in memory nothing has to accept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from random import Random
from socket import AF_UNIX, SOCK_STREAM, socket, socketpair
from types import TracebackType
from typing import Final
from uuid import UUID

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from avirt.drivers.libvirt.driver import LibvirtDriver
from avirt.drivers.libvirt.sockets import Target
from avirt.drivers.sim.domain import SimDomain
from avirt.drivers.sim.life import Scripted, Seeded, Stage, Step
from avirt.drivers.sim.migration import migrate
from avirt.drivers.sim.world import Times, World
from avirt.errors import AvirtError, CannotConnect
from avirt.groups import foremost, holds_cancellation
from avirt.host import Host
from avirt.model.record import HostState, Key
from avirt.model.state import DomainState, ShutoffReason
from avirt.testing.faults import WireFaults
from avirt.testing.rules import RefuseConnection, ReplaceHost, Restart, SlowAccept
from avirt.testing.simulators.libvirt.daemon import Auth, Daemon
from avirt.testing.simulators.libvirt.doors import READ_ONLY, READ_WRITE, Doors
from avirt.testing.simulators.libvirt.events import KINDS, Told, default_fields
from avirt.testing.simulators.libvirt.peer import Peer
from avirt.testing.simulators.libvirt.profile import QEMU, Profile
from avirt.testing.simulators.libvirt.reading import remote_of
from avirt.testing.simulators.libvirt.truth import Truth
from avirt.testing.stream import FaultyStream

__all__ = ["QUICK", "LibvirtSim"]

QUICK: Final = Times(shutdown=0.02, stopping=0.005, reboot=0.02, save=0.0, migration=0.01, death=0.05)
"""How long things take by default: as little as tests can do with."""

SETTLE_TIMEOUT: Final = 20.0
"""Seconds until `settled` gives up: more than the lifecycle's slowest timer and the engine's longest pause."""


class LibvirtSim:
    """A simulated libvirt daemon. Enter it in the task that leaves it.

    Args:
        domains: how many there are at first, "vm0", "vm1", …
        running: how many of them run; all by default.
        name, uuid: the host's.
        profile: which inner driver it stands for.
        memory: no socket in the file system: connect with `driver=sim.driver`.
        auth: how clients of the read-write socket authenticate.
        seed: of everything that is left to chance.
        life: what happens by itself; it begins when this is entered.
        times: how long things take.
        world: serve this one, as it is, instead of a new one.
        max_requests: max_client_requests of libvirtd.conf.
        keepalive: keepalive_interval and keepalive_count of libvirtd.conf.

    Attributes:
        faults: what goes wrong.
        world: the domains. What is done to them is told as libvirt tells it.
        daemon: what is behind the sockets.
    """

    def __init__(
        self,
        *,
        domains: int = 0,
        running: int | None = None,
        name: str = "sim",
        uuid: UUID | None = None,
        profile: Profile = QEMU,
        memory: bool = False,
        auth: Auth = Auth.NONE,
        seed: int = 0,
        life: Seeded | Scripted | None = None,
        times: Times = QUICK,
        world: World | None = None,
        max_requests: int = 5,
        keepalive: tuple[float, int] = (5.0, 5),
    ) -> None:
        self.faults = WireFaults()
        self.world = world or World(
            clock=anyio.current_time,
            rng=Random(seed),
            name=name,
            uuid=uuid,
            times=times,
            habits=profile.habits,
            domain_type=profile.domain_type,
        )
        self.profile = profile
        self.is_memory = memory
        self._domains = domains
        self._running = domains if running is None else running
        self._life = life
        self.daemon = Daemon(
            self.world,
            profile,
            self.faults,
            auth=auth,
            max_requests=max_requests,
            keepalive=keepalive,
            wake=self._wake,
            again=self._again,
        )
        self._stage = Stage(self.world)
        self._doors: Doors | None = None
        self._tasks: TaskGroup | None = None
        self._accepted = 0
        self._is_up = False
        self._keeps_time = False
        self._kick = anyio.Event()

    def __repr__(self) -> str:
        return f"<LibvirtSim {self.world.name} domains={len(self.world.domains)} clients={self.clients}>"

    # ------------------------------------------------------------ entering and leaving

    async def __aenter__(self) -> LibvirtSim:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        try:
            await self._begin()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def _begin(self) -> None:
        if not self.is_memory:
            assert self._tasks is not None
            self._doors = Doors(self._accept, self._tasks)
            await self._doors.make()
        with self.world.muted():
            for index in range(self._domains):
                self.world.add(f"vm{index}", running=index < self._running)
            if isinstance(self._life, Seeded) and not self.world.domains:
                self._life.populate(self.world)
        if self._life is not None:
            self._life.begin(self.world)
        self._is_up = True
        if self._doors is not None:
            await self._doors.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        assert self._tasks is not None
        self._stop()
        self._tasks.cancel_scope.cancel()
        try:
            if error is None or holds_cancellation(error):
                return bool(await self._tasks.__aexit__(kind, error, traceback))
            # the body's own exception never enters the group: it comes out as itself
            with contextlib.suppress(BaseExceptionGroup):
                await self._tasks.__aexit__(None, None, None)
            return False
        except BaseExceptionGroup as group:
            raise foremost(group) from None
        finally:
            self._tasks = None
            if self._doors is not None:
                await self._doors.remove()

    # ------------------------------------------------------------ for clients

    @property
    def uri(self) -> str:
        """Where to connect: `avirt.connect(sim.uri)`; in memory with `driver=sim.driver`."""
        return self._uri(READ_WRITE)

    @property
    def read_only_uri(self) -> str:
        """The same by the read-only socket."""
        return self._uri(READ_ONLY)

    def _uri(self, name: str) -> str:
        path = f"@avirt-sim-{id(self):x}-{name}" if self._doors is None else self._doors.path(name)
        return f"{self.profile.scheme}+unix://{self.profile.path}?socket={path}"

    @property
    def driver(self) -> LibvirtDriver:
        """The libvirt driver, whose sockets are connected to this daemon without any path."""
        return LibvirtDriver(connect=self.open_socket)

    async def open_socket(self, target: Target) -> socket:
        """A connected socket, as the driver asks for one."""
        await anyio.lowlevel.checkpoint()
        if not self._is_up or self._tasks is None:
            raise CannotConnect(
                "nobody listens: the simulated daemon is down", driver="libvirt", code="ECONNREFUSED", retryable=True
            )
        ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        theirs.setblocking(False)
        self._accept(ours, target.path.endswith(READ_ONLY))
        return theirs

    # ------------------------------------------------------------ what it is at

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self.daemon.peers)

    @property
    def accepted(self) -> int:
        """How many connections there were so far."""
        return self._accepted

    @property
    def calls(self) -> int:
        """How many calls came so far."""
        return self.daemon.calls

    @property
    def told(self) -> int:
        """How many events went out so far."""
        return self.daemon.told

    @property
    def hung_up(self) -> int:
        """How many clients went without saying so, by connect_close."""
        return self.daemon.hung_up

    @property
    def complaints(self) -> list[str]:
        """What clients did wrong: more calls at once than are admitted, a registration twice, a wrong layout."""
        return self.daemon.complaints

    def domain(self, which: str | UUID | Key) -> SimDomain:
        """A domain, to do something to it: `sim.domain("vm7").crash()`."""
        return self.world.domain(which)

    def truth(self, *, autostart: bool = False) -> Truth:
        """What a view must say at rest.

        Args:
            autostart: compare that, too, though libvirt tells of no change of it.
        """
        return Truth(self.world.domains.values(), autostart=autostart)

    async def settled(self, host: Host, *, timeout: float = SETTLE_TIMEOUT, quiet: float = 0.05) -> None:
        """Return when nothing is under way any more and the host's view is the truth.

        Args:
            quiet: seconds without a message that count as rest: more than the 20 ms after which events are followed
                by a read.

        Raises:
            AssertionError: it did not come to that; says the differences.
        """
        with anyio.move_on_after(timeout):
            while True:
                before = self._traffic
                await anyio.sleep(quiet)
                status = host.status
                if (
                    self._traffic == before
                    and self._is_at_rest
                    and status.state is HostState.LIVE
                    and status.synced
                    and self.truth() == host.view
                ):
                    return
        raise AssertionError("\n".join(self._unsettled(host)))

    @property
    def _traffic(self) -> tuple[int, int, int]:
        return self.daemon.calls, self.daemon.told, self._accepted

    @property
    def _is_at_rest(self) -> bool:
        """Nothing is due, or on its way to a client; and somebody is told of events, if anybody ever was: who was cut
        off may not have noticed yet."""
        peers = self.daemon.peers
        if self.daemon.next_due is not None or not all(peer.stream.is_idle for peer in peers):
            return False
        return not self.daemon.told or any(peer.stream.is_events for peer in peers)

    def _unsettled(self, host: Host) -> list[str]:
        status = host.status
        found = [f"{self!r} and {host!r} did not settle"]
        if status.state is not HostState.LIVE or not status.synced:
            found.append(f"the host is {status.state}, synced: {status.synced}: {status.why}")
        if not self._is_at_rest:
            found.append("the daemon is not at rest, or no connection is told of events")
        if self.faults.rules:
            found.append(f"faults in force: {self.faults!r}")
        return found + self.truth().differences(host.view)

    # ------------------------------------------------------------ what can be done to it

    def send(self, event: int, domain: str | UUID | Key, *fields: object, reason: int = 0) -> None:
        """Send a native event, be it true or not.

        Args:
            event: virDomainEventID.
            fields: of its message, behind the domain; harmless ones by default.
            reason: of the PM events.
        """
        known = remote_of(self.domain(domain))
        self.daemon.tell(Told(event, known, fields or default_fields(KINDS[event]), reason))

    def migrate(
        self,
        which: str | UUID | Key,
        target: LibvirtSim,
        *,
        persistent: bool = False,
        undefine: bool = False,
        fail: bool = False,
    ) -> None:
        """Move a domain to another daemon; takes `times.migration`. See `avirt.drivers.sim.migration.migrate`."""
        migrate(self.domain(which), target.world, persistent=persistent, undefine=undefine, fail=fail)

    def stop(self) -> None:
        """The daemon ends; domains live on. New connections are refused until `start`."""
        self.faults.note("stop")
        self._stop()

    def _stop(self) -> None:
        self._is_up = False
        if self._doors is not None:
            self._doors.close()
        self.daemon.end_clients()

    def start(self) -> None:
        """The daemon is there again. Of domains that are off it has forgotten why."""
        self._is_up = True
        for domain in self.world.domains.values():
            if domain.state is DomainState.SHUTOFF:
                domain.reason = ShutoffReason.UNKNOWN
        if self._doors is not None and self._tasks is not None:
            self._tasks.start_soon(self._doors.open)
        self._wake()

    @contextmanager
    def restart(self) -> Generator[World]:
        """The daemon is restarted; what is done in here nobody sees happen."""
        self.faults.note(Restart.name())
        self._stop()
        with self.world.muted() as world:
            yield world
        self.start()

    def replace_host(self, uuid: UUID | None = None, *, name: str = "") -> None:
        """Another, empty host answers from now on."""
        self.faults.note(ReplaceHost.name())
        self._replace(uuid, name)

    def _replace(self, uuid: UUID | None, name: str) -> None:
        self._stop()
        self.world.clear()
        self.world.uuid = uuid or UUID(int=self.world.rng.getrandbits(128), version=4)
        self.world.name = name or self.world.name
        self.start()

    def _again(self, rule: Restart | ReplaceHost) -> None:
        """The same, by a rule."""
        if isinstance(rule, ReplaceHost):
            self._replace(None, rule.hostname)
            return
        self._stop()
        with self.world.muted():
            for step in rule.steps:
                with contextlib.suppress(AvirtError):
                    self.perform(step)
        if rule.down > 0:
            self.world.after(rule.down, self._start_if_down)
        else:
            self.start()

    def _start_if_down(self) -> None:
        if not self._is_up:
            self.start()

    def perform(self, step: Step) -> None:
        """One step of a script, now; `after` does not count.

        Raises:
            AvirtError: it can't be done in this state.
        """
        self._stage.perform(step)

    def lose_hypervisor(self, reason: int = 1) -> None:
        """The daemon lost its hypervisor, and says so to who asked for that. `reason`: virConnectCloseReason."""
        for peer in tuple(self.daemon.peers):
            peer.say_closed(reason)

    # ------------------------------------------------------------ sockets

    def _accept(self, sock: socket, by_read_only_socket: bool) -> None:
        number, self._accepted = self._accepted, self._accepted + 1
        assert self._tasks is not None
        if not self._is_up or self.faults.strike(RefuseConnection, number, False) is not None:
            sock.close()
            return
        sock.setblocking(False)
        self._tasks.start_soon(self._serve, sock, number, by_read_only_socket)

    async def _serve(self, sock: socket, number: int, by_read_only_socket: bool) -> None:
        assert self._tasks is not None
        stream = FaultyStream(sock, self.faults, number, self._tasks)
        peer = Peer(self.daemon, stream, by_read_only_socket=by_read_only_socket)
        self.daemon.peers.append(peer)
        try:
            slow = self.faults.strike(SlowAccept, number, False)
            if slow is not None:
                await anyio.sleep(slow.seconds)
            await peer.run()
        finally:
            peer.cut()

    # ------------------------------------------------------------ time

    def _wake(self) -> None:
        """Something may be due sooner than was thought."""
        if self._keeps_time:
            self._kick.set()
        elif self._tasks is not None and self.daemon.next_due is not None:
            self._keeps_time = True
            self._tasks.start_soon(self._keep_time)

    async def _keep_time(self) -> None:
        try:
            while (due := self.daemon.next_due) is not None:
                self._kick = anyio.Event()
                with anyio.CancelScope(deadline=due):
                    await self._kick.wait()
                self.daemon.run_due()
        finally:
            self._keeps_time = False
