"""Host: what a user holds of one hypervisor; `connect()` and `run_host()` make one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import anyio
from anyio.abc import TaskGroup, TaskStatus

from avirt.audit import AuditStatistics
from avirt.discovery import default_uri
from avirt.domain import Domain, domain_filter
from avirt.drivers.base import (
    CredentialsProvider,
    Definitions,
    Diagnostics,
    DomainStats,
    Driver,
    Env,
    Finding,
    HostInfo,
    NodeInfo,
    Power,
    Stats,
    StatsGroup,
)
from avirt.drivers.registry import load_driver
from avirt.drivers.transport.loop import current_loop
from avirt.engine import Engine
from avirt.errors import (
    AvirtError,
    ConnectionLost,
    InvalidArgument,
    NotFound,
    OperationTimeout,
    Phase,
    Unsupported,
)
from avirt.events.filters import Filter
from avirt.events.policies import Retention, Slow, TooOld
from avirt.events.store import Store
from avirt.events.subscription import Subscription
from avirt.groups import foremost, holds_cancellation
from avirt.model.change import Change
from avirt.model.command import READ_TIMEOUT, VERBS, Create, Define, Outcome, Restore, Verb
from avirt.model.observation import Item
from avirt.model.record import DomainKey, DomainRecord, HostFacts, HostState, HostStatus, Key, key_of
from avirt.perform import DEFAULT, Default, refuse_read_only
from avirt.uri import parse_uri

if TYPE_CHECKING:
    from avirt.events.journal import JournalStatistics
    from avirt.recording.recorder import Recorder

__all__ = ["Host", "connect", "run_host"]

T = TypeVar("T")


class Host:
    """One hypervisor endpoint. Attributes read the local view; what is awaited asks the hypervisor."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.status.state}>"

    # ------------------------------------------------------------ the local view, no await

    @property
    def name(self) -> str:
        """Its name in this process, as Changes carry it."""
        return self.engine.name

    @property
    def uri(self) -> str:
        """Where it is, without secrets."""
        return str(self.engine.uri)

    @property
    def status(self) -> HostStatus:
        """Where the connection stands."""
        return self.engine.status

    @property
    def facts(self) -> HostFacts:
        """What it says of itself: uuid, name, product, versions; of the last connection."""
        facts = self.status.facts
        if facts is None:
            raise ConnectionLost(f"{self.name} was never connected", host=self.name)
        return facts

    @property
    def view(self) -> Mapping[Key, DomainRecord]:
        """Every domain's record, with the certainty it has now."""
        records = self.engine.store.view(filter=Filter(hosts=frozenset({self.name})))
        return {record.key: record for record in records}

    @property
    def audit(self) -> AuditStatistics:
        """What the audits have found (`connect(audit=seconds)`): `mismatches` stays 0 where no event is lost."""
        return self.engine.audit

    def record(self, key: Key) -> DomainRecord | None:
        """One record of the view, or None."""
        return self.engine.store.view_of(self.name, key)

    def domains(self) -> list[Domain]:
        """All domains, by name."""
        records = sorted(self.view.values(), key=lambda record: (record.name, record.key))
        return [Domain(self, record.key, record) for record in records]

    def domain(self, domain: DomainKey | UUID | Key) -> Domain:
        """The handle of a domain in the view.

        Raises:
            NotFound: it is not there.
        """
        key = domain.key if isinstance(domain, DomainKey) else key_of(domain)
        record = self.record(key)
        if record is None:
            raise NotFound(f"no domain with uuid {UUID(bytes=key)}", host=self.name)
        return Domain(self, key, record)

    def watch(
        self,
        *,
        domains: Collection[Domain | DomainKey] | None = None,
        kinds: Collection[type[Change]] | None = None,
        slow: Slow = Slow.COALESCE,
        since: str | None = None,
        too_old: TooOld = TooOld.RAISE,
        settle: float | None = None,
        durable: bool = False,
    ) -> Subscription:
        """A snapshot, and every Change after it.

        Args:
            domains, kinds: only these; None for all. Changes of the host itself pass a filter of domains.
            slow: what a reader gets that falls behind the ring.
            since: a token; gives exactly what was missed since, and no snapshot.
            too_old: what to do if that is no longer there.
            settle: hold each domain's Changes back until it has been quiet for so many seconds, at most ten times as
                long, and give them as one: a stop and a start as `Rebooted`. `kinds` are of what is given then.
            durable: give a Change only once it is in the journal, so that its token outlives a crash of this process.

        Raises:
            RevisionTooOld: the token can't be resumed from.
            InvalidArgument: it is no token; `settle` is not above 0; `durable` without a journal or with `settle`.
            ResourceError: `durable`, and the journal is lost.
        """
        return self.engine.store.subscribe(
            filter=domain_filter(self.name, domains, kinds),
            slow=slow,
            since=since,
            too_old=too_old,
            settle=settle,
            durable=durable,
        )

    @property
    def journal(self) -> JournalStatistics | None:
        """How the journal does, and whether it is lost; None without one."""
        journal = self.engine.store.journal
        return None if journal is None else journal.statistics

    def native_items(self) -> AbstractAsyncContextManager[AsyncIterator[Item]]:
        """What the driver hands to the engine, as it comes, across reconnects: for people who want the raw events."""
        return self.engine.tap()

    # ------------------------------------------------------------ looking up

    async def lookup(self, *, name: str | None = None, uuid: UUID | str | None = None, id: int | None = None) -> Domain:
        """Find one domain by name, uuid or runtime id: in the view, else after a fresh listing.

        Raises:
            NotFound: there is none.
            InvalidArgument: not exactly one was given, or the uuid is none.
        """
        if sum(given is not None for given in (name, uuid, id)) != 1:
            raise InvalidArgument("give exactly one of name, uuid and id")
        try:
            key = None if uuid is None else key_of(uuid)
        except ValueError as error:
            raise InvalidArgument(f"not a uuid: {uuid}") from error
        for fresh in (False, True):
            if fresh:
                await self.refresh()
            for record in self.view.values():
                if (
                    record.key == key
                    or (name is not None and record.name == name)
                    or (id is not None and record.id == id)
                ):
                    return Domain(self, record.key, record)
        what = f"named '{name}'" if name is not None else f"with uuid {uuid}" if uuid is not None else f"with id {id}"
        raise NotFound(f"no domain {what} on {self.name}", host=self.name, hint="avirt list --all shows what there is")

    async def refresh(self) -> None:
        """List all domains now; the view is at least that new on return."""
        await self.engine.refresh()

    # ------------------------------------------------------------ verbs of the host

    async def define(self, xml: str, *, validate: bool = False, timeout: float | Default | None = DEFAULT) -> Domain:
        """Make or change a persistent domain from XML; returns when it was seen."""
        definitions = self.require(Definitions, Verb.DEFINE)
        options = Define(xml=xml, validate=validate)
        return await self._make(Verb.DEFINE, lambda: definitions.define(options), timeout)

    async def create(
        self,
        xml: str,
        *,
        paused: bool = False,
        autodestroy: bool = False,
        validate: bool = False,
        reset_nvram: bool = False,
        timeout: float | Default | None = DEFAULT,
    ) -> Domain:
        """Start a transient domain from XML; returns when it was seen."""
        power = self.require(Power, Verb.CREATE)
        options = Create(xml=xml, paused=paused, autodestroy=autodestroy, validate=validate, reset_nvram=reset_nvram)
        return await self._make(Verb.CREATE, lambda: power.create(options), timeout)

    async def _make(self, verb: Verb, send: Callable[[], Awaitable[Key]], timeout: float | Default | None) -> Domain:
        limit = VERBS[verb].timeout if isinstance(timeout, Default) else timeout
        key = await self.read(verb, send, timeout=limit)
        record = await self.engine.fresh(key)
        if record is None:
            raise NotFound(f"{verb}: the hypervisor accepted, and the domain is gone again", host=self.name, verb=verb)
        return Domain(self, key, record)

    async def restore(
        self,
        path: str,
        *,
        bypass_cache: bool = False,
        xml: str | None = None,
        running: bool = False,
        paused: bool = False,
        reset_nvram: bool = False,
        timeout: float | Default | None = DEFAULT,
    ) -> Outcome:
        """Start a domain from a file that `save` wrote; returns when the hypervisor has restored it."""
        power = self.require(Power, Verb.RESTORE)
        options = Restore(
            path=path, bypass_cache=bypass_cache, xml=xml, running=running, paused=paused, reset_nvram=reset_nvram
        )
        limit = VERBS[Verb.RESTORE].timeout if isinstance(timeout, Default) else timeout
        key = await self.read(Verb.RESTORE, lambda: power.restore(options), timeout=limit)
        record = None
        if key is None:
            await self.refresh()
        else:
            record = await self.engine.fresh(key)
        return Outcome(changed=True, observed=record is not None, record=record, revision=self.engine.revision)

    # ------------------------------------------------------------ reads of the host

    async def hostname(self) -> str:
        """Its own name."""
        info = self.require(HostInfo, "hostname")
        return await self.read("hostname", info.hostname)

    async def native_uri(self) -> str:
        """The URI by which the hypervisor knows itself."""
        info = self.require(HostInfo, "uri")
        return await self.read("uri", info.uri)

    async def node_info(self) -> NodeInfo:
        """Its hardware."""
        info = self.require(HostInfo, "nodeinfo")
        return await self.read("nodeinfo", info.node_info)

    async def diagnose(self) -> Sequence[Finding]:
        """What an examination of the connection finds: keepalive, limits; nothing where the driver has none."""
        diagnostics = self.engine.session.capability(Diagnostics)
        return () if diagnostics is None else await self.read("diagnose", diagnostics.diagnose)

    async def stats_once(
        self, *, domains: Collection[Domain] = (), groups: Collection[StatsGroup] = (), nowait: bool = False
    ) -> Sequence[DomainStats]:
        """Statistics of these domains, or of all; these groups, or all.

        Args:
            nowait: leave out what a busy domain can't answer at once, instead of waiting for it.
        """
        stats = self.require(Stats, "domstats")
        records = [domain.record for domain in domains]
        return await self.read("domstats", lambda: stats.collect(records, groups=frozenset(groups), nowait=nowait))

    # ------------------------------------------------------------ for Domain

    def require(self, kind: type[T], verb: str) -> T:
        """This connection's implementation of a capability.

        Raises:
            AccessDenied: the connection is read-only and this is a verb: before anything is sent.
            ConnectionLost: there is no connection now.
            Unsupported: this connection can't do that.
        """
        if isinstance(verb, Verb):
            refuse_read_only(self.engine, verb)
        found = self.engine.session.capability(kind)
        if found is None:
            driver = self.facts.driver
            raise Unsupported(
                f"{verb} is not supported by {driver} on {self.facts.product}",
                driver=driver,
                host=self.name,
                verb=verb,
            )
        return found

    async def read(
        self,
        verb: str,
        call: Callable[[], Awaitable[T]],
        *,
        timeout: float | None = READ_TIMEOUT,
        domain: str = "",
    ) -> T:
        """One call with a deadline, its errors located."""
        try:
            with anyio.move_on_after(timeout):
                return await call()
        except AvirtError as error:
            error.locate(driver=self.facts.driver, host=self.name, domain=domain, verb=verb)
            raise
        raise OperationTimeout(
            f"{verb}: {self.name} did not answer within {timeout:g} s",
            phase=Phase.SENT,
            host=self.name,
            domain=domain,
            verb=verb,
        )


class connect:  # noqa: N801 - it reads as a verb: `async with avirt.connect(uri) as host`
    """Connect to one hypervisor, and look after it until the block is left.

    `async with` gives the Host once its first listing is complete. From then on a lost connection is made again by
    itself, and the stream says so.

    Args:
        uri: None for the default: AVIRT_URI, LIBVIRT_DEFAULT_URI, then what is found on this machine.
        name: the host's name in this process; the URI without secrets by default.
        readonly: every verb raises before anything is sent.
        credentials: asked at each connect, if the peer wants some.
        timeout: seconds for the first connection and listing; None leaves it to each step's own deadline (a polkit
            prompt may take as long as a human needs).
        store: share one store, so one stream, among several hosts. A host that was left and is connected again under
            its name goes on there: what has changed meanwhile is told.
        audit: list every so many seconds and compare with what events told (`Host.audit`); None: never.
        journal: a file to keep the stream in, so that a token outlives this process; `open_store` for a shared store.
            What is wrong with it is said in the stream (`JournalLost`), and stops nothing.
        retention: how much the journal keeps.
        driver: use this driver instead of the scheme's.
        recorder: records what happens on this connection, for a bug report.

    Raises:
        InvalidArgument: `audit` is not above 0.
        InvalidURI, CannotConnect, AuthError, Unsupported: the first connection failed.
        OperationTimeout: it took longer than `timeout`.
        InternalError: a bug of ours; the body is cancelled then.

    An exception raised in the body comes out as itself.
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        name: str | None = None,
        readonly: bool = False,
        credentials: CredentialsProvider | None = None,
        timeout: float | None = None,
        store: Store | None = None,
        audit: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        retention: Retention | None = None,
        driver: Driver | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._uri = uri
        self._name = name
        self._readonly = readonly
        self._credentials = credentials
        self._timeout = timeout
        self._store = store
        self._audit = audit
        self._recorder = recorder
        self._driver = driver
        self._journal = journal
        self._retention = retention
        self._journaled: AbstractAsyncContextManager[Store] | None = None
        self._own_store: Store | None = None
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Host:
        if self._tasks is not None:
            raise RuntimeError("a connect() is entered once; make another one")
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        try:
            return await self._open(self._tasks)
        except BaseException as error:
            self._tasks.cancel_scope.cancel()
            await self._leave(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if self._tasks is None:
            raise RuntimeError("connect() was not entered")
        self._tasks.cancel_scope.cancel()
        return await self._leave(kind, error, traceback)

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """End the task group; what comes out of it comes out as one exception, the body's own before ours."""
        assert self._tasks is not None
        try:
            return await self._end_tasks(kind, error, traceback)
        finally:
            if self._journaled is not None:
                await self._journaled.__aexit__(None, None, None)
            elif self._own_store is not None:
                self._own_store.close()  # subscriptions end after what is left

    async def _end_tasks(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        assert self._tasks is not None
        if error is None or holds_cancellation(error):
            try:
                return bool(await self._tasks.__aexit__(kind, error, traceback))
            except BaseExceptionGroup as group:
                foreign = foremost(group)
                raise foreign from foreign.__cause__
        # the body's own exception never enters the group: it comes out as itself, whatever else went wrong
        with suppress(BaseExceptionGroup):
            await self._tasks.__aexit__(None, None, None)
        return False

    async def _open(self, tasks: TaskGroup) -> Host:
        environ = dict(os.environ)
        uid = os.getuid() if hasattr(os, "getuid") else 0
        uri = parse_uri(self._uri) if self._uri is not None else default_uri(environ, uid)
        name = self._name or str(uri)
        if self._store is None:
            store = self._own_store = await self._make_store()
            store.notifier.waiter = current_loop().waiter
            tasks.start_soon(store.notifier.run)
        elif self._journal is not None:
            raise InvalidArgument(
                "a shared store has its own journal", hint="open_store(journal) makes a store with one"
            )
        else:
            store = self._store
            status = store.status(name)
            if status is not None and status.state is not HostState.CLOSED:
                raise InvalidArgument(f"the store has a host '{name}' already", hint="give this one another name")
        driver = self._driver or await load_driver(uri.scheme)
        recorder = self._recorder
        if recorder is not None:
            recorder.begin(host=name, uri=uri, driver=driver, read_only=self._readonly)
            driver = recorder.driver(driver)
        engine = Engine(
            name=name,
            uri=uri,
            driver=driver,
            env=Env(read_only=self._readonly, credentials=self._credentials, environ=environ, uid=uid),
            store=store,
            audit=self._audit,
            lifecycle=None if recorder is None else recorder.lifecycle(name),
        )
        with anyio.move_on_after(self._timeout):
            await tasks.start(engine.run)
            return Host(engine)
        raise OperationTimeout(
            f"{uri} did not answer within {self._timeout:g} s",
            phase=Phase.SENT,
            hint=f"avirt doctor {uri} says how far it comes",
            host=engine.name,
            verb="connect",
        )

    async def _make_store(self) -> Store:
        if self._journal is None:
            return Store()
        # a driver without a journal does not load SQLite
        from avirt.events.journal import open_store

        journaled = open_store(self._journal, retention=self._retention)
        store = await journaled.__aenter__()
        self._journaled = journaled
        return store


async def run_host(
    uri: str | None = None,
    *,
    name: str | None = None,
    readonly: bool = False,
    credentials: CredentialsProvider | None = None,
    timeout: float | None = None,
    store: Store | None = None,
    audit: float | None = None,
    journal: str | os.PathLike[str] | None = None,
    retention: Retention | None = None,
    task_status: TaskStatus[Host] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """`connect` as a task: `host = await tg.start(avirt.run_host, uri)`. Runs until cancelled; raises as it does."""
    async with connect(
        uri,
        name=name,
        readonly=readonly,
        credentials=credentials,
        timeout=timeout,
        store=store,
        audit=audit,
        journal=journal,
        retention=retention,
    ) as host:
        task_status.started(host)
        await anyio.sleep_forever()
