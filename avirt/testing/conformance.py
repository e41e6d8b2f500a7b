"""The conformance suite: what the engine relies on in every driver (the contract in `avirt/drivers/base.py`).

A driver's tests subclass it, give two fixtures and one method, and say what the driver can't do:

    class TestMine(DriverConformance):
        can_rename = False

        @pytest.fixture
        def driver(self) -> Driver:
            return MyDriver()

        @pytest.fixture
        def uri(self) -> str:
            return "mine:///x"

        def domain_xml(self, name: str, uuid: UUID) -> str:
            return f"<domain>…</domain>"

Every test runs on each loop that the fixture `anyio_backend` names. The hypervisor may have other domains, which are
left alone; those that the suite makes are called `avirt-conformance-…` and are removed again.

It is one long class, since that is what a driver's tests inherit.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar
from uuid import UUID, uuid4

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskStatus

from avirt.drivers.base import API, Definitions, Driver, Emit, Env, HostInfo, Power, Session, Stats, StatsGroup
from avirt.errors import AccessDenied, AvirtError, ConnectionLost, NotFound
from avirt.model.command import (
    Create,
    Define,
    Destroy,
    ManagedSave,
    Rename,
    Resume,
    SetAutostart,
    Start,
    Suspend,
    Undefine,
)
from avirt.model.observation import Gone, Item, Seen, Signal
from avirt.model.record import DomainRecord, Key, key_of
from avirt.model.state import REASONS, DomainState, ShutoffReason
from avirt.testing.checkpoints import cancelled_at_each_checkpoint
from avirt.testing.endurance import held, until_held
from avirt.testing.observer import Observer, observing
from avirt.uri import URI, parse_uri

__all__ = ["DriverConformance"]

T = TypeVar("T")

NOBODY = UUID("00000000-dead-4bad-8bad-00000000beef")

Work = Callable[[], Awaitable[object]]


class DriverConformance:
    """See the module.

    Attributes:
        can_power: domains can be started and destroyed.
        can_start_paused: a domain can be started without its CPUs running.
        can_suspend, can_define, can_create, can_rename, can_autostart, can_managed_save: what else can be done.
        can_read_only: a read-only session can be opened.
        shares_world: two sessions see the same hypervisor.
        patience: seconds to wait for an effect before a test fails.
    """

    pytestmark = pytest.mark.anyio

    can_power = True
    can_start_paused = True
    can_suspend = True
    can_define = True
    can_create = True
    can_rename = True
    can_autostart = True
    can_managed_save = True
    can_read_only = True
    shares_world = True
    patience = 30.0

    # ------------------------------------------------------------ given by the driver's tests

    @pytest.fixture
    def driver(self) -> Driver:
        """The driver."""
        raise NotImplementedError("a conformance test gives the fixture `driver`")

    @pytest.fixture
    def uri(self) -> str:
        """Where to connect."""
        raise NotImplementedError("a conformance test gives the fixture `uri`")

    def domain_xml(self, name: str, uuid: UUID) -> str:
        """The configuration of a domain that can be defined and started."""
        raise NotImplementedError("a conformance test gives the method `domain_xml`")

    def env(self, *, read_only: bool = False) -> Env:
        """What the driver gets besides the URI."""
        return Env(read_only=read_only)

    # ------------------------------------------------------------ opening and closing

    async def test_driver_says_what_it_is(self, driver: Driver, uri: str) -> None:
        """Name, schemes and the number of the contract."""
        assert driver.name
        assert parse_uri(uri).scheme in driver.schemes
        assert driver.api == API

    async def test_open_knows_the_facts(self, driver: Driver, uri: str) -> None:
        """The host's identity and what speaks to it, before anything else is asked."""
        async with self._open(driver, uri) as session:
            facts = session.facts
        assert facts.uuid.int != 0, "the host has no identity"
        assert facts.hostname
        assert facts.product
        assert facts.driver == driver.name
        assert facts.read_only is False

    async def test_open_finds_the_same_host_again(self, driver: Driver, uri: str) -> None:
        """The identity is the host's, not the connection's."""
        async with self._open(driver, uri) as session:
            one = session.facts.uuid
        async with self._open(driver, uri) as session:
            assert session.facts.uuid == one

    async def test_open_and_close_leave_nothing_behind(self, driver: Driver, uri: str) -> None:
        """No task, no descriptor."""
        async with self._open(driver, uri):
            pass
        before = await held()
        for _ in range(5):
            async with self._open(driver, uri) as session:
                await session.list()
        await until_held(before)

    async def test_open_cancelled_anywhere_leaves_nothing_behind(self, driver: Driver, uri: str) -> None:
        """Cancelled at each checkpoint, it neither hangs nor leaks, and the next one works."""
        async with self._open(driver, uri):
            pass
        before = await held()

        async def work() -> None:
            async with self._open(driver, uri):
                pass

        await cancelled_at_each_checkpoint(work, patience=self.patience)
        await until_held(before)
        await work()

    async def test_close_ends_calls_in_flight(self, driver: Driver, uri: str) -> None:
        """They are answered or lost, never left waiting."""
        ended = 0

        async def read(session: Session) -> None:
            nonlocal ended
            with suppress(ConnectionLost):
                await session.probe(key_of(NOBODY))
            ended += 1

        with anyio.fail_after(self.patience):
            async with anyio.create_task_group() as tg, self._open(driver, uri) as session:
                for _ in range(50):
                    tg.start_soon(read, session)
                await anyio.lowlevel.checkpoint()
        assert ended == 50

    async def test_capabilities_are_what_they_claim(self, driver: Driver, uri: str) -> None:
        """Each is None or has every method of its protocol."""
        async with self._open(driver, uri) as session:
            for kind in (Power, Definitions, HostInfo, Stats):
                found = session.capability(kind)
                assert found is None or isinstance(found, kind), f"{kind.__name__} is {found!r}"
            if self.can_power:
                assert session.capability(Power) is not None
            if self.can_define:
                assert session.capability(Definitions) is not None
            assert session.capability(_Unheard) is None

    # ------------------------------------------------------------ listing, reading, watching

    async def test_list_is_complete_and_well_formed(self, driver: Driver, uri: str) -> None:
        """Every domain once, with a name and facts that fit together."""
        async with self._open(driver, uri) as session:
            listing = await session.list()
        assert listing.complete
        keys = [item.key for item in listing.items]
        assert len(set(keys)) == len(keys)
        for item in listing.items:
            assert len(item.key) == 16
            assert item.name, "a listed domain has a name"
            assert item.signal is None, "a read is no event"
            if item.status is not None:
                assert isinstance(item.status.reason, REASONS.get(item.status.state, object))

    async def test_list_and_probe_agree(self, driver: Driver, uri: str) -> None:
        """Each listed domain can be read, and is the same."""
        async with self._domain_at(driver, uri) as (observer, record):
            listing = await observer.session.list()
            item = next(each for each in listing.items if each.key == record.key)
            seen = await observer.session.probe(record.key)
            assert isinstance(seen, Seen)
            one, other = item, seen.observation
            assert (one.name, one.status, one.active) == (other.name, other.status, other.active)

    async def test_probe_of_nobody_is_gone(self, driver: Driver, uri: str) -> None:
        """No such domain is an answer, not an error."""
        async with self._open(driver, uri) as session:
            answer = await session.probe(key_of(NOBODY))
        assert isinstance(answer, Gone)
        assert answer.key == key_of(NOBODY)

    async def test_watch_is_armed_when_it_says_so(self, driver: Driver, uri: str) -> None:
        """What happens right after started() is told, or polled."""
        self._need("can_define")
        send, receive = anyio.create_memory_object_stream[Item](1000)
        with send, receive:
            async with (
                self._open(driver, uri) as other,
                self._open(driver, uri) as session,
                anyio.create_task_group() as tg,
            ):
                await tg.start(_watch, session, _each(send.send_nowait))
                async with self._defined(other if self.shares_world else session) as key:
                    if session.poll is None:
                        with anyio.fail_after(self.patience):
                            while not _is_of(await receive.receive(), key):
                                continue
                    assert key in {item.key for item in (await session.list()).items}
                tg.cancel_scope.cancel()

    async def test_watch_can_be_left_and_entered_again(self, driver: Driver, uri: str) -> None:
        """A cancelled watch leaves the session usable, and as good as it was."""
        async with self._open(driver, uri) as session:
            polled: list[bool] = []
            for _ in range(2):
                async with observing(session) as observer:
                    assert isinstance(await observer.probe(key_of(NOBODY)), Gone)
                    polled.append(session.poll is not None)
            assert (await session.list()).complete
            assert polled[0] is polled[1]

    async def test_asked_orders_events_and_replies(self, driver: Driver, uri: str) -> None:
        """Events count up; a read asked after an event is not older than it."""
        async with self._domain_at(driver, uri) as (observer, record):
            before = await observer.session.list()
            events = observer.told(record.key)
            counts = [each.asked for each in events]
            assert counts == sorted(counts)
            seen = await observer.session.probe(record.key)
            assert isinstance(seen, Seen)
            assert seen.observation.asked >= max([*counts, before.asked])

    async def test_two_sessions_see_the_same(self, driver: Driver, uri: str) -> None:
        """What one does, the other is told."""
        self._need("shares_world", "can_define")
        async with self._open(driver, uri) as other, self._domain_at(driver, uri) as (observer, record):
            definitions = _has(other, Definitions)
            await definitions.undefine(record, Undefine())
            await observer.until(
                lambda: observer.record(record.key) is None, "undefined elsewhere", timeout=self.patience
            )

    # ------------------------------------------------------------ verbs

    async def test_define_and_undefine_are_observed(self, driver: Driver, uri: str) -> None:
        """From nothing to SHUTOFF and persistent, and back to nothing."""
        async with self._domain_at(driver, uri) as (observer, record):
            assert record.state is DomainState.SHUTOFF
            assert record.persistent is True
            assert (record.active, record.id) == (False, None)
            await _has(observer.session, Definitions).undefine(record, Undefine())
            await self._gone(observer, record.key)
            assert isinstance(await observer.session.probe(record.key), Gone)

    async def test_start_and_destroy_are_observed(self, driver: Driver, uri: str) -> None:
        """RUNNING, then SHUTOFF without an id, whatever the hypervisor still prints."""
        self._need("can_power")
        async with self._domain_at(driver, uri) as (observer, record):
            power = _has(observer.session, Power)
            await power.start(record, Start())
            up = await self._state(observer, record.key, DomainState.RUNNING)
            assert up.active
            await power.destroy(up, Destroy())
            down = await self._state(observer, record.key, DomainState.SHUTOFF)
            assert (down.active, down.id) == (False, None)
            if observer.session.poll is None:
                signals = [each.signal for each in observer.told(record.key)]
                assert Signal.STARTED in signals
                assert Signal.STOPPED in signals
                assert signals.index(Signal.STARTED) < signals.index(Signal.STOPPED)

    async def test_start_paused_is_paused(self, driver: Driver, uri: str) -> None:
        """And resumes."""
        self._need("can_power", "can_start_paused", "can_suspend")
        async with self._domain_at(driver, uri) as (observer, record):
            power = _has(observer.session, Power)
            await power.start(record, Start(paused=True))
            paused = await self._state(observer, record.key, DomainState.PAUSED)
            await power.resume(paused, Resume())
            await self._state(observer, record.key, DomainState.RUNNING)

    async def test_suspend_and_resume_are_observed(self, driver: Driver, uri: str) -> None:
        """PAUSED, then RUNNING, with the same id."""
        self._need("can_power", "can_suspend")
        async with self._domain_at(driver, uri) as (observer, record):
            power = _has(observer.session, Power)
            await power.start(record, Start())
            up = await self._state(observer, record.key, DomainState.RUNNING)
            await power.suspend(up, Suspend())
            paused = await self._state(observer, record.key, DomainState.PAUSED)
            await power.resume(paused, Resume())
            again = await self._state(observer, record.key, DomainState.RUNNING)
            assert again.id == up.id

    async def test_managed_save_is_observed_and_restored(self, driver: Driver, uri: str) -> None:
        """SHUTOFF for SAVED, then RUNNING again."""
        self._need("can_power", "can_managed_save")
        async with self._domain_at(driver, uri) as (observer, record):
            power = _has(observer.session, Power)
            await power.start(record, Start())
            up = await self._state(observer, record.key, DomainState.RUNNING)
            await power.managed_save(up, ManagedSave())
            saved = await self._state(observer, record.key, DomainState.SHUTOFF)
            assert saved.reason is ShutoffReason.SAVED
            await power.start(saved, Start())
            await self._state(observer, record.key, DomainState.RUNNING)

    async def test_create_is_transient_and_goes_with_destroy(self, driver: Driver, uri: str) -> None:
        """Active and not persistent; once stopped it is gone."""
        self._need("can_power", "can_create")
        async with self._open(driver, uri) as session, observing(session) as observer:
            power = _has(session, Power)
            name, uuid = _new()
            key = await power.create(Create(xml=self.domain_xml(name, uuid)))
            try:
                assert key == key_of(uuid)
                up = await self._state(observer, key, DomainState.RUNNING)
                assert up.persistent is False
            finally:
                with anyio.CancelScope(shield=True):
                    await self._remove(session, key)
            await self._gone(observer, key)

    async def test_undefine_while_running_makes_it_transient(self, driver: Driver, uri: str) -> None:
        """It stays until it stops."""
        self._need("can_power", "can_create")
        async with self._domain_at(driver, uri) as (observer, record):
            power = _has(observer.session, Power)
            await power.start(record, Start())
            up = await self._state(observer, record.key, DomainState.RUNNING)
            await _has(observer.session, Definitions).undefine(up, Undefine())
            await observer.until(
                lambda: (known := observer.record(record.key)) is not None and known.persistent is False,
                "transient",
                timeout=self.patience,
            )
            await power.destroy(up, Destroy())
            await self._gone(observer, record.key)

    async def test_rename_keeps_the_identity(self, driver: Driver, uri: str) -> None:
        """Same key, new name, no removal."""
        self._need("can_rename")
        async with self._domain_at(driver, uri) as (observer, record):
            new = f"{record.name}-new"
            await _has(observer.session, Definitions).rename(record, Rename(new=new))
            await observer.until(
                lambda: (known := observer.record(record.key)) is not None and known.name == new,
                "renamed",
                timeout=self.patience,
            )
            assert [change.kind for change in observer.changes].count("removed") == 0

    async def test_autostart_is_read_back(self, driver: Driver, uri: str) -> None:
        """A read after the call shows it."""
        self._need("can_autostart")
        async with self._domain_at(driver, uri) as (observer, record):
            definitions = _has(observer.session, Definitions)
            for enabled in (True, False):
                await definitions.set_autostart(record, SetAutostart(enabled=enabled))
                await observer.list()
                known = observer.record(record.key)
                assert known is not None
                assert known.autostart in (enabled, None)

    async def test_verb_in_the_wrong_state_is_refused_and_changes_nothing(self, driver: Driver, uri: str) -> None:
        """A typed error that says who raised it; the domain stays as it is."""
        self._need("can_power")
        async with self._domain_at(driver, uri) as (observer, record):
            power = _has(observer.session, Power)
            with pytest.raises(AvirtError):
                await power.destroy(record, Destroy())
            await power.start(record, Start())
            up = await self._state(observer, record.key, DomainState.RUNNING)
            with pytest.raises(AvirtError):
                await power.start(up, Start())
            await observer.probe(record.key)
            again = observer.record(record.key)
            assert again is not None
            assert (again.state, again.id) == (up.state, up.id)

    async def test_verb_on_nobody_is_not_found(self, driver: Driver, uri: str) -> None:
        """NotFound, and the session goes on."""
        self._need("can_power")
        record = DomainRecord(
            host="host",
            key=key_of(NOBODY),
            name="avirt-conformance-nobody",
            state=DomainState.SHUTOFF,
            reason=ShutoffReason.UNKNOWN,
        )
        async with self._open(driver, uri) as session:
            with pytest.raises(NotFound):
                await _has(session, Power).start(record, Start())
            assert (await session.list()).complete

    async def test_bad_xml_is_refused(self, driver: Driver, uri: str) -> None:
        """A typed error, and the session goes on."""
        self._need("can_define")
        async with self._open(driver, uri) as session:
            definitions = _has(session, Definitions)
            for xml in ("", "<domain", "<domain/>"):
                with pytest.raises(AvirtError):
                    await definitions.define(Define(xml=xml))
            assert (await session.list()).complete

    async def test_reads_of_a_domain_answer(self, driver: Driver, uri: str) -> None:
        """XML and info of an inactive and of an active one."""
        self._need("can_power")
        async with self._domain_at(driver, uri) as (observer, record):
            definitions = _has(observer.session, Definitions)
            assert record.name in await definitions.xml(record, inactive=True)
            assert (await definitions.info(record)).cpu_time_ns in (None, 0)
            await _has(observer.session, Power).start(record, Start())
            up = await self._state(observer, record.key, DomainState.RUNNING)
            assert str(record.uuid) in await definitions.xml(up)
            assert (await definitions.info(up)).vcpus != 0

    async def test_host_and_stats_answer(self, driver: Driver, uri: str) -> None:
        """Where the session has these capabilities."""
        async with self._domain_at(driver, uri) as (observer, record):
            info = observer.session.capability(HostInfo)
            if info is not None:
                assert await info.hostname()
                assert "://" in await info.uri()
                assert (await info.node_info()).cpus > 0
            stats = observer.session.capability(Stats)
            if stats is not None:
                rows = await stats.collect(groups=frozenset({StatsGroup.STATE}))
                assert record.key in {row.key for row in rows}
                rows = await stats.collect([record], groups=frozenset({StatsGroup.STATE}))
                assert [row.key for row in rows] == [record.key]

    # ------------------------------------------------------------ cancellation, read-only

    async def test_read_cancelled_anywhere_leaves_the_session_usable(self, driver: Driver, uri: str) -> None:
        """At each checkpoint."""
        async with self._domain_at(driver, uri) as (observer, record):
            session = observer.session
            definitions = _has(session, Definitions)
            works: list[Work] = [
                session.list,
                lambda: session.probe(record.key),
                lambda: definitions.info(record),
                lambda: definitions.xml(record),
            ]

            async def usable() -> None:
                assert isinstance(await session.probe(record.key), Seen)

            for work in works:
                await cancelled_at_each_checkpoint(work, after=usable, patience=self.patience)

    async def test_verb_cancelled_anywhere_leaves_the_session_usable(self, driver: Driver, uri: str) -> None:
        """It may have had its effect or not; the next read tells."""
        self._need("can_power")
        async with self._domain_at(driver, uri) as (observer, record):
            power = _has(observer.session, Power)

            async def down() -> None:
                # a call that was sent goes on at the hypervisor: it is over when a start is refused, or succeeds
                with suppress(AvirtError):
                    await power.start(record, Start())
                up = await self._state(observer, record.key, DomainState.RUNNING)
                await power.destroy(up, Destroy())
                await self._state(observer, record.key, DomainState.SHUTOFF)

            await cancelled_at_each_checkpoint(lambda: power.start(record, Start()), after=down, patience=self.patience)

    async def test_read_only_reads_and_refuses(self, driver: Driver, uri: str) -> None:
        """No capability, or AccessDenied; nothing changes."""
        self._need("can_read_only")
        async with (
            self._domain_at(driver, uri) as (observer, record),
            driver.open(_parsed(uri), self.env(read_only=True)) as session,
        ):
            assert session.facts.read_only
            if self.shares_world:
                assert isinstance(await session.probe(record.key), Seen)
            assert (await session.list()).complete
            power = session.capability(Power)
            if power is not None:
                with pytest.raises(AccessDenied):
                    await power.start(record, Start())
            definitions = session.capability(Definitions)
            if definitions is not None:
                with pytest.raises(AccessDenied):
                    await definitions.undefine(record, Undefine())
                with pytest.raises(AccessDenied):
                    await definitions.define(Define(xml=self.domain_xml(*_new())))
            assert isinstance(await observer.probe(record.key), Seen)

    # ------------------------------------------------------------ helpers

    def _need(self, *features: str) -> None:
        missing = [feature for feature in features if not getattr(self, feature)]
        if missing:
            pytest.skip(f"this driver says: not {', '.join(missing)}")

    @asynccontextmanager
    async def _open(self, driver: Driver, uri: str) -> AsyncGenerator[Session]:
        async with driver.open(_parsed(uri), self.env()) as session:
            yield session

    @asynccontextmanager
    async def _defined(self, session: Session) -> AsyncGenerator[Key]:
        """A domain of ours, removed at the end."""
        name, uuid = _new()
        key = await _has(session, Definitions).define(Define(xml=self.domain_xml(name, uuid)))
        try:
            assert key == key_of(uuid)
            yield key
        finally:
            with anyio.CancelScope(shield=True), anyio.fail_after(self.patience):
                await self._remove(session, key)

    @asynccontextmanager
    async def _domain_at(self, driver: Driver, uri: str) -> AsyncGenerator[tuple[Observer, DomainRecord]]:
        """An observed session, and the record of a domain of ours."""
        self._need("can_define")
        async with (
            self._open(driver, uri) as session,
            observing(session) as observer,
            self._defined(session) as key,
        ):
            await observer.until(lambda: observer.record(key) is not None, "defined", timeout=self.patience)
            record = observer.record(key)
            assert record is not None
            yield observer, record
            await observer.settle()

    async def _remove(self, session: Session, key: Key) -> None:
        """Destroy and undefine, as far as needed."""
        for _ in range(3):
            answer = await session.probe(key)
            if isinstance(answer, Gone):
                return
            record = DomainRecord(
                host="host",
                key=key,
                name=answer.observation.name or "",
                state=DomainState.NOSTATE,
                reason=REASONS[DomainState.NOSTATE](0),
                id=answer.observation.id,
            )
            power, definitions = session.capability(Power), session.capability(Definitions)
            try:
                if answer.observation.active and power is not None:
                    await power.destroy(record, Destroy())
                elif definitions is not None:
                    await definitions.undefine(record, Undefine(managed_save=self.can_managed_save))
            except NotFound:
                return

    async def _state(self, observer: Observer, key: Key, state: DomainState) -> DomainRecord:
        def holds() -> bool:
            known = observer.record(key)
            return known is not None and known.state is state

        await observer.until(holds, f"state {state.name}", timeout=self.patience)
        await observer.settle()
        record = observer.record(key)
        assert record is not None
        assert record.state is state, f"{record.state.name} once it was read, after {state.name}"
        assert record.id is None or record.active
        return record

    async def _gone(self, observer: Observer, key: Key) -> None:
        await observer.until(lambda: observer.record(key) is None, "removed", timeout=self.patience)


class _Unheard:
    """A capability nobody has."""


def _has(session: Session, kind: type[T]) -> T:
    found = session.capability(kind)
    assert found is not None, f"the session has no {kind.__name__}"
    return found


def _parsed(uri: str | URI) -> URI:
    return uri if isinstance(uri, URI) else parse_uri(uri)


def _each(give: Callable[[Item], None]) -> Emit:
    """Hand over one Item at a time."""

    def emit(items: Sequence[Item]) -> None:
        for item in items:
            give(item)

    return emit


async def _watch(session: Session, emit: Emit, *, task_status: TaskStatus[None]) -> None:
    await session.watch(emit, task_status=task_status)


def _is_of(item: Item, key: Key) -> bool:
    return isinstance(item, Seen) and item.observation.key == key


def _new() -> tuple[str, UUID]:
    uuid = uuid4()
    return f"avirt-conformance-{uuid.hex[:12]}", uuid
