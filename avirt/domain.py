"""Domain: what a user holds of one domain. Attributes read the local view; what is awaited asks the hypervisor."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
from msgspec.structs import replace

from avirt.drivers.base import Definitions, DomainInfo, DomainStats, Power, StatsGroup
from avirt.errors import ConnectionLost, DomainGone, NotFound, OperationTimeout, Phase
from avirt.events.filters import Filter
from avirt.events.policies import Slow
from avirt.events.subscription import Subscription
from avirt.model.change import Change, Rebooted, RecordChange, Removed, Renamed
from avirt.model.command import (
    Destroy,
    ManagedSave,
    ManagedSaveRemove,
    Outcome,
    Reboot,
    Rename,
    Reset,
    Resume,
    Save,
    SetAutostart,
    Shutdown,
    ShutdownMode,
    Start,
    Suspend,
    Undefine,
    Verb,
)
from avirt.model.record import Certainty, DomainKey, DomainRecord, Key
from avirt.model.state import DomainState
from avirt.perform import DEFAULT, Default, Perform, refuse_read_only

if TYPE_CHECKING:
    from avirt.host import Host

__all__ = ["Domain"]


class Domain:
    """A handle on one domain of a host. Cheap; two handles of one domain are equal.

    Every verb takes `wait` (False: return when the hypervisor accepted) and `timeout` (seconds; None: no deadline; left
    out: the verb's own, see `avirt.model.command.VERBS`), and returns an Outcome once its effect was observed.

    Raises (every verb):
        AccessDenied: the connection is read-only, or the hypervisor's rules say no.
        NotFound, DomainGone: the domain does not exist, or vanished meanwhile.
        InvalidOperation: not possible in its state; names the transition under way.
        OperationTimeout: time is up; `phase` says how far it came.
        ConnectionLost: `outcome` says what is known.
        Unsupported, Busy, NativeError and the other errors of `avirt.errors`: what the hypervisor answered.

    Cancellation (every verb): stops waiting, never undoes; the connection stays usable.
    """

    __slots__ = ("_host", "_last", "key")

    def __init__(self, host: Host, key: Key, last: DomainRecord) -> None:
        self._host = host
        self._last = last
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Domain) and other.key == self.key and other._host is self._host

    def __hash__(self) -> int:
        return hash((id(self._host), self.key))

    def __repr__(self) -> str:
        record = self.record
        return f"<Domain {self._host.name}/{record.name} {record.state.name.lower()} {record.certainty}>"

    # ------------------------------------------------------------ the local view, no await

    @property
    def host(self) -> Host:
        """Its host."""
        return self._host

    @property
    def uuid(self) -> UUID:
        """Its uuid, which is its identity on this host."""
        return UUID(bytes=self.key)

    @property
    def record(self) -> DomainRecord:
        """What is known of it. Once it is gone: what was known last, with certainty STALE."""
        record = self._host.record(self.key)
        if record is None:
            return replace(self._last, id=None, active=False, certainty=Certainty.STALE, stale_why="removed")
        self._last = record
        return record

    @property
    def exists(self) -> bool:
        """It is in the host's view."""
        return self._host.record(self.key) is not None

    @property
    def name(self) -> str:
        """Its name now."""
        return self.record.name

    @property
    def id(self) -> int | None:
        """Its runtime id, None unless it is active."""
        return self.record.id

    @property
    def state(self) -> DomainState:
        """Its state as last known; `record.certainty` says how far that can be trusted."""
        return self.record.state

    # ------------------------------------------------------------ waiting

    def watch(
        self,
        *,
        kinds: Collection[type[Change]] | None = None,
        slow: Slow = Slow.COALESCE,
        settle: float | None = None,
    ) -> Subscription:
        """The stream of this domain: its Changes, and its host's own; see `Host.watch`."""
        return self._host.watch(domains=(self,), kinds=kinds, slow=slow, settle=settle)

    async def wait_for(self, *states: DomainState, timeout: float | None = None) -> DomainRecord:
        """Wait until it is in one of these states; true at once if it is. Sees every step that was reported.

        Raises:
            OperationTimeout: `last` is its record then.
            DomainGone: it was removed.
        """
        with anyio.move_on_after(timeout):
            return await self._wait_for(states)
        record = self.record
        wanted = " or ".join(state.name.lower() for state in states)
        raise OperationTimeout(
            f"{record.name} is {record.state.name.lower()}, not {wanted}, after {timeout:g} s",
            phase=Phase.ACCEPTED,
            last=record,
            host=self._host.name,
            domain=record.name,
            verb="wait",
        )

    async def _wait_for(self, states: Collection[DomainState]) -> DomainRecord:
        with self.watch() as changes:
            record = self._host.record(self.key)
            if record is None:
                raise self._gone()
            if record.state in states and record.certainty is Certainty.LIVE:
                return record
            async for change in changes:
                if isinstance(change, Removed):
                    raise self._gone()
                if isinstance(change, RecordChange):
                    record = change.after
                    if record is not None and record.state in states and record.certainty is Certainty.LIVE:
                        return record
                else:
                    record = self._host.record(self.key)  # the host came back: what it said before holds again
                    if record is None:
                        raise self._gone()
                    if record.state in states and record.certainty is Certainty.LIVE:
                        return record
        raise ConnectionLost(f"{self._host.name} is closed", host=self._host.name)

    def _gone(self) -> DomainGone:
        return DomainGone(f"{self._last.name} is gone", host=self._host.name, domain=self._last.name, verb="wait")

    async def refresh(self) -> DomainRecord:
        """Read it freshly.

        Raises:
            NotFound: it does not exist.
        """
        if await self._host.engine.fresh(self.key) is None:
            raise NotFound(f"{self._last.name} does not exist", host=self._host.name, domain=self._last.name)
        return self.record

    # ------------------------------------------------------------ verbs

    def _perform(
        self, verb: Verb, wait: bool, timeout: float | Default | None, shows: Callable[[Change], bool] | None = None
    ) -> Perform:
        return Perform(self._host.engine, verb, self.key, wait=wait, timeout=timeout, shows=shows)

    async def start(
        self,
        *,
        paused: bool = False,
        autodestroy: bool = False,
        bypass_cache: bool = False,
        force_boot: bool = False,
        reset_nvram: bool = False,
        wait: bool = True,
        timeout: float | Default | None = DEFAULT,
    ) -> Outcome:
        """Start it. Active already: Outcome(changed=False)."""
        options = Start(
            paused=paused,
            autodestroy=autodestroy,
            bypass_cache=bypass_cache,
            force_boot=force_boot,
            reset_nvram=reset_nvram,
        )
        power = self._host.require(Power, Verb.START)
        return await self._perform(Verb.START, wait, timeout).run(lambda record: power.start(record, options))

    async def shutdown(
        self,
        *,
        modes: Collection[ShutdownMode] = (),
        force_after: float | None = None,
        wait: bool = True,
        timeout: float | Default | None = DEFAULT,
    ) -> Outcome:
        """Ask the guest to shut down. `force_after`: seconds after which it is destroyed if it did not."""
        options = Shutdown(modes=tuple(modes))
        power = self._host.require(Power, Verb.SHUTDOWN)

        async def force(record: DomainRecord) -> None:
            await power.destroy(record, Destroy())

        escalate = None if force_after is None else (force_after, force)
        perform = Perform(self._host.engine, Verb.SHUTDOWN, self.key, wait=wait, timeout=timeout, escalate=escalate)
        return await perform.run(lambda record: power.shutdown(record, options))

    async def destroy(
        self, *, graceful: bool = False, wait: bool = True, timeout: float | Default | None = DEFAULT
    ) -> Outcome:
        """Take the power away. Inactive already: Outcome(changed=False)."""
        options = Destroy(graceful=graceful)
        power = self._host.require(Power, Verb.DESTROY)
        return await self._perform(Verb.DESTROY, wait, timeout).run(lambda record: power.destroy(record, options))

    async def reboot(
        self,
        *,
        modes: Collection[ShutdownMode] = (),
        wait: bool = True,
        timeout: float | Default | None = DEFAULT,
    ) -> Outcome:
        """Ask the guest to reboot; returns when the reboot was seen."""
        options = Reboot(modes=tuple(modes))
        power = self._host.require(Power, Verb.REBOOT)
        return await self._perform(Verb.REBOOT, wait, timeout, _is_reboot).run(
            lambda record: power.reboot(record, options)
        )

    async def reset(self, *, wait: bool = True, timeout: float | Default | None = DEFAULT) -> Outcome:
        """Press its reset button; returns when the reboot was seen."""
        power = self._host.require(Power, Verb.RESET)
        return await self._perform(Verb.RESET, wait, timeout, _is_reboot).run(
            lambda record: power.reset(record, Reset())
        )

    async def suspend(self, *, wait: bool = True, timeout: float | Default | None = DEFAULT) -> Outcome:
        """Hold its CPUs; memory stays in the host's RAM."""
        power = self._host.require(Power, Verb.SUSPEND)
        return await self._perform(Verb.SUSPEND, wait, timeout).run(lambda record: power.suspend(record, Suspend()))

    async def resume(self, *, wait: bool = True, timeout: float | Default | None = DEFAULT) -> Outcome:
        """Let its CPUs go on."""
        power = self._host.require(Power, Verb.RESUME)
        return await self._perform(Verb.RESUME, wait, timeout).run(lambda record: power.resume(record, Resume()))

    async def save(
        self,
        path: str,
        *,
        bypass_cache: bool = False,
        xml: str | None = None,
        running: bool = False,
        paused: bool = False,
        wait: bool = True,
        timeout: float | Default | None = DEFAULT,
    ) -> Outcome:
        """Save it to a file on the host, and stop it. `running`, `paused`: the state it restores to."""
        options = Save(path=path, bypass_cache=bypass_cache, xml=xml, running=running, paused=paused)
        power = self._host.require(Power, Verb.SAVE)
        return await self._perform(Verb.SAVE, wait, timeout).run(lambda record: power.save(record, options))

    async def managed_save(
        self,
        *,
        bypass_cache: bool = False,
        running: bool = False,
        paused: bool = False,
        wait: bool = True,
        timeout: float | Default | None = DEFAULT,
    ) -> Outcome:
        """Save it where the hypervisor keeps such images, and stop it; the next start restores it."""
        options = ManagedSave(bypass_cache=bypass_cache, running=running, paused=paused)
        power = self._host.require(Power, Verb.MANAGED_SAVE)
        return await self._perform(Verb.MANAGED_SAVE, wait, timeout).run(
            lambda record: power.managed_save(record, options)
        )

    async def managed_save_remove(self, *, timeout: float | Default | None = DEFAULT) -> Outcome:
        """Drop its managed save image."""
        power = self._host.require(Power, Verb.MANAGED_SAVE_REMOVE)
        return await self._perform(Verb.MANAGED_SAVE_REMOVE, False, timeout).run(
            lambda record: power.managed_save_remove(record, ManagedSaveRemove())
        )

    async def undefine(
        self,
        *,
        managed_save: bool = False,
        snapshots_metadata: bool = False,
        checkpoints_metadata: bool = False,
        nvram: bool = False,
        keep_nvram: bool = False,
        tpm: bool = False,
        keep_tpm: bool = False,
        wait: bool = True,
        timeout: float | Default | None = DEFAULT,
    ) -> Outcome:
        """Forget its configuration; an active one goes on as a transient domain."""
        options = Undefine(
            managed_save=managed_save,
            snapshots_metadata=snapshots_metadata,
            checkpoints_metadata=checkpoints_metadata,
            nvram=nvram,
            keep_nvram=keep_nvram,
            tpm=tpm,
            keep_tpm=keep_tpm,
        )
        definitions = self._host.require(Definitions, Verb.UNDEFINE)
        return await self._perform(Verb.UNDEFINE, wait, timeout).run(
            lambda record: definitions.undefine(record, options)
        )

    async def rename(self, new: str, *, wait: bool = True, timeout: float | Default | None = DEFAULT) -> Outcome:
        """Give it another name; it must be inactive."""
        definitions = self._host.require(Definitions, Verb.RENAME)

        def is_renamed(change: Change) -> bool:
            return isinstance(change, Renamed) and change.new == new

        return await self._perform(Verb.RENAME, wait, timeout, is_renamed).run(
            lambda record: definitions.rename(record, Rename(new=new))
        )

    async def set_autostart(
        self, enabled: bool = True, *, wait: bool = True, timeout: float | Default | None = DEFAULT
    ) -> Outcome:
        """Start it with the host, or not."""
        definitions = self._host.require(Definitions, Verb.AUTOSTART)
        perform = Perform(
            self._host.engine,
            Verb.AUTOSTART,
            self.key,
            wait=wait,
            timeout=timeout,
            observed=lambda record: record is not None and record.autostart is enabled,
        )
        return await perform.run(lambda record: definitions.set_autostart(record, SetAutostart(enabled=enabled)))

    # ------------------------------------------------------------ reads

    async def xml(
        self,
        *,
        inactive: bool = False,
        secure: bool = False,
        update_cpu: bool = False,
        migratable: bool = False,
    ) -> str:
        """Its XML as the hypervisor gives it. `secure`: with passwords, which a read-only connection may not see."""
        if secure:
            refuse_read_only(self._host.engine, "dumpxml with secrets")
        definitions = self._host.require(Definitions, "dumpxml")
        return await self._host.read(
            "dumpxml",
            lambda: definitions.xml(
                self.record, inactive=inactive, secure=secure, update_cpu=update_cpu, migratable=migratable
            ),
            domain=self.name,
        )

    async def info(self) -> DomainInfo:
        """What `dominfo` shows besides the record."""
        definitions = self._host.require(Definitions, "dominfo")
        return await self._host.read("dominfo", lambda: definitions.info(self.record), domain=self.name)

    async def stats(self, *groups: StatsGroup) -> DomainStats:
        """Its statistics now: these groups, or all."""
        found = await self._host.stats_once(domains=(self,), groups=groups)
        if not found:
            raise NotFound(f"no statistics of {self.name}", host=self._host.name, domain=self.name)
        return found[0]


def _is_reboot(change: Change) -> bool:
    return isinstance(change, Rebooted)


def domain_filter(
    host: str, domains: Collection[Domain | DomainKey] | None, kinds: Collection[type[Change]] | None
) -> Filter:
    """The filter of a subscription to one host."""
    keys = None if domains is None else frozenset(DomainKey(host, domain.key) for domain in domains)
    return Filter(hosts=frozenset({host}), domains=keys, kinds=None if kinds is None else frozenset(kinds))
