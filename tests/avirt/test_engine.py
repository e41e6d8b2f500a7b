"""One task a host: probes, listings, polling, loss and back-off. The lifecycle's own rules are tested with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import anyio
import pytest
from anyio.abc import TaskStatus

from avirt.drivers.base import API, Driver, Emit, Env, PollPolicy, Session, T
from avirt.engine import FAILED_READ_PAUSE, TAP_SIZE, Engine
from avirt.errors import AuthError, ConnectionLost, InternalError, NativeError, OperationTimeout
from avirt.events.store import Store
from avirt.host import Host, connect
from avirt.model.change import HostLost, StateChanged, Updated
from avirt.model.observation import Gone, LinkLost, Listing, Observation, Overrun, Scope, Seen, Signal
from avirt.model.record import Certainty, HostFacts, HostState, Key
from avirt.model.state import DomainState, NormalState, RunningReason, ShutoffReason
from avirt.uri import URI, parse_uri

RUNNING = NormalState(DomainState.RUNNING, RunningReason.BOOTED)
SHUTOFF = NormalState(DomainState.SHUTOFF, ShutoffReason.SHUTDOWN)
A = Key(b"a" * 16)


def key(number: int) -> Key:
    return Key(number.to_bytes(16))


class Script:
    """A driver whose every answer the test decides; it is its own session."""

    name = "script"
    schemes = frozenset({"script"})
    api = API

    def __init__(self, *keys: Key, poll: PollPolicy | None = None) -> None:
        self.states: dict[Key, NormalState] = dict.fromkeys(keys, SHUTOFF)
        self.poll = poll
        self.uuid = UUID(int=1)
        self.count = 0
        self.probed: list[Key] = []
        self.listed = 0
        self.opened = 0
        self.refuse: Exception | None = None
        self.fail_probe: Exception | None = None
        self.fail_list: Exception | None = None
        self.hang = False
        self.emit: Emit | None = None
        self.lost = anyio.Event()
        self.returns = False

    @property
    def facts(self) -> HostFacts:
        return HostFacts(uuid=self.uuid, hostname="h", product="SCRIPT", driver="script")

    @asynccontextmanager
    async def open(self, uri: URI, env: Env) -> AsyncGenerator[Session]:
        self.opened += 1
        if self.refuse is not None:
            raise self.refuse
        self.lost = anyio.Event()
        self.count = 0
        yield self

    def observe(self, key: Key) -> Observation:
        state = self.states[key]
        return Observation(
            key=key, name=key.hex()[-4:], status=state, active=state is RUNNING, persistent=True, asked=self.count
        )

    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        self.listed += 1
        await anyio.lowlevel.checkpoint()
        if self.fail_list is not None:
            raise self.fail_list
        return Listing(scope, True, self.count, [self.observe(key) for key in self.states])

    async def probe(self, key: Key) -> Seen | Gone:
        self.probed.append(key)
        await anyio.lowlevel.checkpoint()
        if self.hang:
            await anyio.sleep_forever()
        if self.fail_probe is not None:
            raise self.fail_probe
        return Seen(self.observe(key)) if key in self.states else Gone(key, self.count)

    async def watch(self, emit: Emit, *, task_status: TaskStatus[None]) -> None:
        self.emit = emit
        task_status.started()
        await self.lost.wait()
        if not self.returns:
            raise ConnectionLost("cut")

    def capability(self, kind: type[T]) -> T | None:
        return None

    def tell(self, key: Key, state: NormalState, signal: Signal) -> None:
        """An event, after which reads agree with it."""
        self.count += 1
        self.states[key] = state
        assert self.emit is not None
        seen = Observation(
            key=key, name=key.hex()[-4:], status=state, active=state is RUNNING, signal=signal, asked=self.count
        )
        self.emit((Seen(seen),))


@asynccontextmanager
async def running(script: Script) -> AsyncGenerator[Host]:
    driver: Driver = script
    async with connect("script://x", driver=driver) as host:
        yield host


@pytest.mark.trio
async def test_engine_a_burst_of_events_costs_one_probe(autojump_clock: object) -> None:
    script = Script(A)
    async with running(script) as host:
        for _ in range(10):
            script.tell(A, RUNNING, Signal.RESUMED)
            script.tell(A, SHUTOFF, Signal.STOPPED)
        assert host.view[A].state is DomainState.SHUTOFF
        await anyio.sleep(1)
        assert script.probed == [A]


@pytest.mark.trio
async def test_engine_a_storm_over_many_domains_costs_one_listing(autojump_clock: object) -> None:
    script = Script(*(key(number) for number in range(200)))
    async with running(script) as host:
        for each in script.states:
            script.tell(each, RUNNING, Signal.STARTED)
        await anyio.sleep(1)
        assert script.probed == []
        assert script.listed == 2
        assert {record.state for record in host.view.values()} == {DomainState.RUNNING}


@pytest.mark.trio
async def test_engine_refreshes_at_once_share_listings(autojump_clock: object) -> None:
    script = Script(A)
    async with running(script) as host, anyio.create_task_group() as tg:
        for _ in range(50):
            tg.start_soon(host.refresh)
        await anyio.sleep(1)
        assert script.listed == 2


@pytest.mark.trio
async def test_engine_an_overrun_lists_again(autojump_clock: object) -> None:
    script = Script(A)
    async with running(script) as host:
        script.states[A] = RUNNING
        assert script.emit is not None
        script.emit((Overrun("lost some"),))
        await anyio.sleep(1)
        assert host.view[A].state is DomainState.RUNNING


@pytest.mark.trio
async def test_engine_a_failed_read_makes_the_record_stale_and_is_tried_again(autojump_clock: object) -> None:
    script = Script(A)
    async with running(script) as host:
        with host.watch(kinds={Updated}) as changes:
            script.fail_probe = NativeError("internal error")
            script.tell(A, RUNNING, Signal.STARTED)
            await anyio.sleep(1)
            record = host.view[A]
            assert (record.state, record.certainty) == (DomainState.RUNNING, Certainty.STALE)
            assert record.stale_why == "internal error"
            script.fail_probe = None
            await anyio.sleep(FAILED_READ_PAUSE + 1)
            assert host.view[A].certainty is Certainty.LIVE
            assert [
                change.after.certainty
                for change in changes.read_nowait()
                if isinstance(change, Updated) and change.after is not None
            ] == [
                Certainty.STALE,
                Certainty.LIVE,
            ]


@pytest.mark.trio
async def test_engine_a_read_that_was_lost_while_the_link_holds_is_made_again(autojump_clock: object) -> None:
    """The watch should have ended, too; where it does not, no listing follows."""
    script = Script(A)
    async with running(script) as host:
        script.fail_probe = ConnectionLost("a part of it")
        script.tell(A, RUNNING, Signal.STARTED)
        await anyio.sleep(1)
        script.fail_probe = None
        script.states[A] = SHUTOFF
        await anyio.sleep(FAILED_READ_PAUSE + 1)
        assert host.status.state is HostState.LIVE
        assert host.view[A].state is DomainState.SHUTOFF


@pytest.mark.trio
async def test_engine_a_read_that_hangs_ages_its_domain_only(autojump_clock: object) -> None:
    other = key(2)
    script = Script(A, other)
    async with running(script) as host:
        script.hang = True
        script.tell(A, RUNNING, Signal.STARTED)
        await anyio.sleep(1)
        script.hang = False
        script.tell(other, RUNNING, Signal.STARTED)
        await anyio.sleep(40)
        assert host.status.state is HostState.LIVE
        assert host.view[other].certainty is Certainty.LIVE
        assert script.probed.count(other) == 1


@pytest.mark.trio
async def test_engine_fresh_read_that_hangs_is_a_timeout(autojump_clock: object) -> None:
    script = Script(A)
    async with running(script) as host:
        script.hang = True
        with pytest.raises(OperationTimeout, match="did not answer"):
            await host.engine.fresh(A)
        assert host.view[A].certainty is Certainty.STALE


@pytest.mark.trio
async def test_engine_a_fresh_read_that_failed_is_made_again_by_the_engine(autojump_clock: object) -> None:
    """Or the record would be stale for ever on a host where nothing happens."""
    script = Script(A)
    async with running(script) as host:
        script.fail_probe = NativeError("internal error")
        with pytest.raises(NativeError):
            await host.engine.fresh(A)
        assert host.view[A].certainty is Certainty.STALE
        script.fail_probe = None
        await anyio.sleep(FAILED_READ_PAUSE + 1)
        assert host.view[A].certainty is Certainty.LIVE


@pytest.mark.trio
async def test_engine_a_failed_listing_is_said_to_who_waits_and_tried_again(autojump_clock: object) -> None:
    script = Script(A)
    async with running(script) as host:
        script.fail_list = NativeError("internal error")
        with pytest.raises(NativeError):
            await host.refresh()
        assert len(host.view) == 1
        script.fail_list = None
        script.states[A] = RUNNING
        await anyio.sleep(FAILED_READ_PAUSE + 1)
        assert host.view[A].state is DomainState.RUNNING


@pytest.mark.trio
async def test_engine_refresh_under_way_when_the_link_is_lost_is_connection_lost(autojump_clock: object) -> None:
    script = Script(A)
    async with running(script) as host, anyio.create_task_group() as tg:

        async def refresh() -> None:
            with pytest.raises(ConnectionLost):
                await host.refresh()

        tg.start_soon(refresh)
        await anyio.lowlevel.checkpoint()
        script.refuse = ConnectionLost("still down")
        script.lost.set()


@pytest.mark.trio
async def test_engine_polls_faster_after_a_verb_and_slower_after_failures(autojump_clock: object) -> None:
    script = Script(A, poll=PollPolicy(interval=10.0, fast=1.0, fast_for=20.0, slowest=60.0))
    async with running(script) as host:
        await anyio.sleep(65)
        assert 4 <= script.listed <= 9
        script.listed = 0
        host.engine.accepted(A, None, None)
        await anyio.sleep(20)
        assert script.listed >= 15
        await anyio.sleep(20)
        script.fail_list = NativeError("internal error")
        script.listed = 0
        await anyio.sleep(200)
        assert script.listed <= 200 / FAILED_READ_PAUSE


@pytest.mark.trio
async def test_engine_polling_finds_what_no_event_told(autojump_clock: object) -> None:
    script = Script(A, poll=PollPolicy(interval=2.0))
    async with running(script) as host:
        script.states[A] = RUNNING
        await anyio.sleep(3)
        assert host.view[A].state is DomainState.RUNNING
        del script.states[A]
        await anyio.sleep(3)
        assert not host.view


@pytest.mark.trio
async def test_engine_lost_links_are_retried_with_growing_pauses(autojump_clock: object) -> None:
    script = Script(A)
    async with running(script) as host:
        script.refuse = ConnectionLost("down")
        script.lost.set()
        await anyio.sleep(600)
        assert 20 <= script.opened <= 120
        assert host.status.state is not HostState.LIVE
        assert host.status.why == "down"
        script.refuse = None
        await anyio.sleep(31)
        assert host.status.synced


@pytest.mark.trio
async def test_engine_refused_credentials_are_not_tried_fast(autojump_clock: object) -> None:
    script = Script(A)
    async with running(script) as host:
        script.refuse = AuthError("wrong password")
        script.lost.set()
        await anyio.sleep(300)
        assert script.opened <= 7
        assert host.status.state is HostState.REFUSED


@pytest.mark.anyio
async def test_engine_a_watch_that_returns_is_a_lost_link() -> None:
    script = Script(A)
    script.returns = True
    async with running(script) as host, host.watch(kinds={HostLost}) as changes:
        script.lost.set()
        with anyio.fail_after(5):
            change = await anext(changes)
        assert isinstance(change, HostLost)
        assert "closed the connection" in change.why


@pytest.mark.anyio
async def test_engine_a_first_listing_that_fails_is_raised() -> None:
    script = Script(A)
    script.fail_list = NativeError("no permission to list")
    with pytest.raises(NativeError, match="no permission") as caught:
        async with running(script):
            pass
    assert caught.value.host == "script://x"


@pytest.mark.anyio
async def test_engine_a_bug_in_a_driver_is_one_internal_error() -> None:
    script = Script(A)
    script.fail_list = ZeroDivisionError()
    with pytest.raises(InternalError, match="ZeroDivisionError") as caught:
        async with running(script):
            pass
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.anyio
async def test_engine_a_reader_of_native_items_that_is_slow_is_told_what_it_missed() -> None:
    script = Script(A)
    async with running(script) as host, host.native_items() as items:
        for number in range(TAP_SIZE + 5):
            script.tell(A, RUNNING, Signal.RESUMED)
            if number % 100 == 0:
                await anyio.lowlevel.checkpoint()
        for _ in range(TAP_SIZE):
            assert isinstance(await anext(items), Seen)
        script.tell(A, SHUTOFF, Signal.STOPPED)
        missed = await anext(items)
        assert isinstance(missed, Overrun)
        assert int(missed.why.split()[0]) >= 5  # and a probe, if one came in between


@pytest.mark.anyio
async def test_engine_listing_of_many_domains_lets_the_loop_run() -> None:
    script = Script(*(key(number) for number in range(2000)))
    async with running(script) as host:
        assert len(host.view) == 2000


@pytest.mark.anyio
async def test_engine_without_a_session_reads_nothing() -> None:
    store = Store()
    engine = Engine(name="h", uri=parse_uri("script://x"), driver=Script(A), env=Env(), store=store, wall=lambda: 5.0)
    assert engine.status.state is HostState.CONNECTING
    with pytest.raises(ConnectionLost, match="not connected yet"):
        await engine.fresh(A)
    engine.feed(LinkLost("never was"))
    assert not engine.read_only
    assert engine.revision == 0


@pytest.mark.anyio
async def test_engine_an_event_is_shown_at_once() -> None:
    script = Script(A)
    async with running(script) as host, host.watch(kinds={StateChanged}) as changes:
        script.tell(A, RUNNING, Signal.STARTED)
        assert host.view[A].state is DomainState.RUNNING
        change = await anext(changes)
        assert change.revision == host.status.revision  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_engine_a_fresh_read_that_an_event_overtakes_is_made_again() -> None:
    class Overtaken(Script):
        async def probe(self, key: Key) -> Seen | Gone:
            seen = await super().probe(key)
            if len(self.probed) < 3:
                self.tell(key, RUNNING if len(self.probed) % 2 else SHUTOFF, Signal.STARTED)
            return seen

    script = Overtaken(A)
    async with running(script) as host:
        record = await host.engine.fresh(A)
        assert script.probed == [A, A, A]
        assert record is not None
        assert record.state is script.states[A].state
