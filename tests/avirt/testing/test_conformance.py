"""The conformance suite finds what it is there for: each driver here breaks one rule of the contract.

On a virtual clock: what never comes about is found out at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

import anyio
import pytest
from anyio.abc import TaskStatus
from msgspec.structs import replace

from avirt.drivers.base import Driver, Emit, Env, PollPolicy, Power, Session
from avirt.drivers.sim.capabilities import SimPower
from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.session import SimSession
from avirt.drivers.sim.world import World
from avirt.errors import NotFound
from avirt.model.command import Start
from avirt.model.observation import Gone, Listing, Scope, Seen
from avirt.model.record import DomainRecord, HostFacts, Key
from avirt.testing import DriverConformance
from avirt.uri import URI

pytestmark = pytest.mark.trio

T = TypeVar("T")


class Suite(DriverConformance):
    def domain_xml(self, name: str, uuid: UUID) -> str:
        return f"<domain type='sim'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory></domain>"


class Wrapped:
    """A session that does as the one inside."""

    def __init__(self, inside: SimSession) -> None:
        self.inside = inside

    @property
    def facts(self) -> HostFacts:
        return self.inside.facts

    @property
    def poll(self) -> PollPolicy | None:
        return self.inside.poll

    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        return await self.inside.list(scope)

    async def probe(self, key: Key) -> Seen | Gone:
        return await self.inside.probe(key)

    async def watch(self, emit: Emit, *, task_status: TaskStatus[None]) -> None:
        await self.inside.watch(emit, task_status=task_status)

    def capability(self, kind: type[T]) -> T | None:
        return self.inside.capability(kind)


class Incomplete(Wrapped):
    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        return replace(await self.inside.list(scope), complete=False)


class Nameless(Wrapped):
    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        listing = await self.inside.list(scope)
        return replace(listing, items=[replace(item, name=None) for item in listing.items])


class RaisesForNobody(Wrapped):
    async def probe(self, key: Key) -> Seen | Gone:
        answer = await self.inside.probe(key)
        if isinstance(answer, Gone):
            raise NotFound("no such domain")
        return answer


class ArmedTooEarly(Wrapped):
    async def watch(self, emit: Emit, *, task_status: TaskStatus[None]) -> None:
        task_status.started()
        await anyio.sleep_forever()


class ForgetsToCount(Wrapped):
    async def probe(self, key: Key) -> Seen | Gone:
        answer = await self.inside.probe(key)
        return Seen(replace(answer.observation, asked=0)) if isinstance(answer, Seen) else answer


class NoIdentity(Wrapped):
    @property
    def facts(self) -> HostFacts:
        return replace(self.inside.facts, uuid=UUID(int=0))


class OtherIdentity(Wrapped):
    @property
    def facts(self) -> HostFacts:
        return replace(self.inside.facts, uuid=UUID(int=Random().getrandbits(128)))


class DeadAfterCancel(Wrapped):
    dead = False

    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        if self.dead:
            raise RuntimeError("the stream is torn")
        try:
            return await self.inside.list(scope)
        except BaseException:
            self.dead = True
            raise

    async def probe(self, key: Key) -> Seen | Gone:
        if self.dead:
            raise RuntimeError("the stream is torn")
        return await self.inside.probe(key)


class HalfCapable(Wrapped):
    def capability(self, kind: type[T]) -> T | None:
        return cast("T", object()) if kind is Power else self.inside.capability(kind)


class EagerPower(SimPower):
    """Reports success for whatever it is told."""

    async def start(self, record: DomainRecord, options: Start) -> None:
        await anyio.lowlevel.checkpoint()


class Liar(Wrapped):
    def capability(self, kind: type[T]) -> T | None:
        return cast("T", EagerPower(self.inside)) if kind is Power else self.inside.capability(kind)


class Broken:
    """SimDriver, its sessions wrapped."""

    name = "sim"
    schemes = frozenset({"sim"})
    api = 1

    def __init__(self, wrap: Callable[[SimSession], Session] = Wrapped, *, leak: bool = False) -> None:
        self._inside = SimDriver(World(clock=anyio.current_time, rng=Random(1), name="lab"))
        self._wrap = wrap
        self._leak = leak
        self.leaked: list[Any] = []

    def open(self, uri: URI, env: Env) -> AbstractAsyncContextManager[Session]:
        return self._open(uri, replace(env, read_only=False) if self._wrap is Wrapped else env)

    @asynccontextmanager
    async def _open(self, uri: URI, env: Env) -> AsyncGenerator[Session]:
        async with self._inside.open(uri, env) as session:
            assert isinstance(session, SimSession)
            if self._leak:
                self.leaked.append(await anyio.to_thread.run_sync(tempfile.TemporaryFile))
            yield self._wrap(session)


class Rule(Protocol):
    __name__: str

    def __call__(self, suite: Suite, driver: Driver, uri: str, /) -> Awaitable[None]: ...


CASES: list[tuple[type[Wrapped], Rule]] = [
    (Incomplete, Suite.test_list_is_complete_and_well_formed),
    (Nameless, Suite.test_list_and_probe_agree),
    (RaisesForNobody, Suite.test_probe_of_nobody_is_gone),
    (ArmedTooEarly, Suite.test_watch_is_armed_when_it_says_so),
    (ArmedTooEarly, Suite.test_define_and_undefine_are_observed),
    (ForgetsToCount, Suite.test_asked_orders_events_and_replies),
    (NoIdentity, Suite.test_open_knows_the_facts),
    (OtherIdentity, Suite.test_open_finds_the_same_host_again),
    (DeadAfterCancel, Suite.test_read_cancelled_anywhere_leaves_the_session_usable),
    (HalfCapable, Suite.test_capabilities_are_what_they_claim),
    (Liar, Suite.test_verb_on_nobody_is_not_found),
    (Liar, Suite.test_start_and_destroy_are_observed),
    (Wrapped, Suite.test_read_only_reads_and_refuses),  # it drops the wish to be read-only
]


@pytest.mark.parametrize(
    ("broken", "test"), CASES, ids=[f"{broken.__name__}-{test.__name__}" for broken, test in CASES]
)
async def test_broken_driver_is_found_out(autojump_clock: object, broken: type[Wrapped], test: Rule) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        await test(Suite(), Broken(broken), "sim://lab")
    for leaf in _leaves(caught.value):
        assert isinstance(leaf, AssertionError | pytest.fail.Exception | NotFound | RuntimeError | TimeoutError)


@pytest.mark.slow
async def test_leaking_driver_is_found_out(autojump_clock: object) -> None:
    driver = Broken(Wrapped, leak=True)
    try:
        with pytest.raises(AssertionError, match="left behind"):
            await Suite().test_open_and_close_leave_nothing_behind(driver, "sim://lab")
    finally:
        for file in driver.leaked:
            file.close()


RULES: list[Rule] = list(dict.fromkeys(test for _, test in CASES[:-1]))


@pytest.mark.parametrize("test", RULES, ids=[test.__name__ for test in RULES])
async def test_same_tests_pass_where_nothing_is_broken(autojump_clock: object, test: Rule) -> None:
    await test(Suite(), Broken(), "sim://lab")


async def test_suite_asks_for_what_it_needs() -> None:
    with pytest.raises(NotImplementedError, match="domain_xml"):
        DriverConformance().domain_xml("x", UUID(int=1))


async def test_feature_that_a_driver_denies_is_skipped() -> None:
    suite = Suite()
    suite.can_rename = False
    with pytest.raises(pytest.skip.Exception, match="not can_rename"):
        await suite.test_rename_keeps_the_identity(Broken(), "sim://lab")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
