"""What a session with a simulated world can do: the capability protocols, each a thin layer over the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from avirt.drivers.base import DomainInfo, DomainStats, NodeInfo, StatsGroup
from avirt.drivers.sim.definition import write_xml
from avirt.drivers.sim.domain import Job, SimDomain
from avirt.errors import AccessDenied
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
    Verb,
)
from avirt.model.native_event import Param
from avirt.model.record import DomainRecord, Key

if TYPE_CHECKING:
    from avirt.drivers.sim.session import SimSession

__all__ = ["NODE", "SimDefinitions", "SimHostInfo", "SimPower", "SimStats", "params_of"]

NODE: Final = NodeInfo(
    model="x86_64", memory_kib=256 * 1024 * 1024, cpus=64, mhz=2600, nodes=1, sockets=2, cores=16, threads=2
)


class SimPower:
    """`Power` over a world."""

    def __init__(self, session: SimSession) -> None:
        self._session = session
        self._world = session.world

    async def start(self, record: DomainRecord, options: Start) -> None:
        """virDomainCreateWithFlags."""

        def work(domain: SimDomain) -> None:
            domain.start(paused=options.paused, force_boot=options.force_boot)
            if options.autodestroy:
                self._session.destroy_on_close(domain.key)

        await self._do(record, Verb.START, work)

    async def create(self, options: Create) -> Key:
        """virDomainCreateXML."""

        def work() -> Key:
            domain = self._world.create(options.xml, paused=options.paused)
            if options.autodestroy:
                self._session.destroy_on_close(domain.key)
            return domain.key

        return await self._session.call(work, verb=Verb.CREATE)

    async def shutdown(self, record: DomainRecord, options: Shutdown) -> None:
        """virDomainShutdownFlags."""
        await self._do(record, Verb.SHUTDOWN, lambda domain: domain.shutdown(options.modes))

    async def destroy(self, record: DomainRecord, options: Destroy) -> None:
        """virDomainDestroyFlags; every process here ends gracefully."""
        del options
        await self._do(record, Verb.DESTROY, SimDomain.destroy)

    async def reboot(self, record: DomainRecord, options: Reboot) -> None:
        """virDomainReboot."""
        await self._do(record, Verb.REBOOT, lambda domain: domain.reboot(options.modes))

    async def reset(self, record: DomainRecord, options: Reset) -> None:
        """virDomainReset."""
        del options
        await self._do(record, Verb.RESET, SimDomain.reset)

    async def suspend(self, record: DomainRecord, options: Suspend) -> None:
        """virDomainSuspend."""
        del options
        await self._do(record, Verb.SUSPEND, SimDomain.suspend)

    async def resume(self, record: DomainRecord, options: Resume) -> None:
        """virDomainResume."""
        del options
        await self._do(record, Verb.RESUME, SimDomain.resume)

    async def save(self, record: DomainRecord, options: Save) -> None:
        """virDomainSaveFlags."""

        def work() -> Job:
            domain = self._world.domain(record.key)
            return domain.save(options.path, running=options.running, paused=options.paused)

        await self._session.finish(await self._session.call(work, key=record.key, verb=Verb.SAVE))

    async def restore(self, options: Restore) -> Key | None:
        """virDomainRestoreFlags."""

        def work() -> Key:
            return self._world.restore(options.path, running=options.running, paused=options.paused).key

        return await self._session.call(work, verb=Verb.RESTORE)

    async def managed_save(self, record: DomainRecord, options: ManagedSave) -> None:
        """virDomainManagedSave."""

        def work() -> Job:
            domain = self._world.domain(record.key)
            return domain.managed_save(running=options.running, paused=options.paused)

        await self._session.finish(await self._session.call(work, key=record.key, verb=Verb.MANAGED_SAVE))

    async def managed_save_remove(self, record: DomainRecord, options: ManagedSaveRemove) -> None:
        """virDomainManagedSaveRemove."""
        del options
        await self._do(record, Verb.MANAGED_SAVE_REMOVE, SimDomain.managed_save_remove)

    async def _do(self, record: DomainRecord, verb: Verb, work: Callable[[SimDomain], None]) -> None:
        await self._session.call(lambda: work(self._world.domain(record.key)), key=record.key, verb=verb)


class SimDefinitions:
    """`Definitions` over a world. Read-only, what changes something is refused."""

    def __init__(self, session: SimSession) -> None:
        self._session = session
        self._world = session.world

    async def define(self, options: Define) -> Key:
        """virDomainDefineXMLFlags."""
        self._may_change(Verb.DEFINE)
        return await self._session.call(lambda: self._world.define(options.xml).key, verb=Verb.DEFINE)

    async def undefine(self, record: DomainRecord, options: Undefine) -> None:
        """virDomainUndefineFlags."""
        await self._do(record, Verb.UNDEFINE, lambda domain: domain.undefine(managed_save=options.managed_save))

    async def rename(self, record: DomainRecord, options: Rename) -> None:
        """virDomainRename."""
        await self._do(record, Verb.RENAME, lambda domain: domain.rename(options.new))

    async def set_autostart(self, record: DomainRecord, options: SetAutostart) -> None:
        """virDomainSetAutostart."""
        await self._do(record, Verb.AUTOSTART, lambda domain: domain.set_autostart(options.enabled))

    async def xml(
        self,
        record: DomainRecord,
        *,
        inactive: bool = False,
        secure: bool = False,
        update_cpu: bool = False,
        migratable: bool = False,
    ) -> str:
        """virDomainGetXMLDesc. Nothing in it is secret, but who is read-only may not ask for it (libvirt's rule)."""
        del update_cpu, migratable
        if secure and self._session.facts.read_only:
            raise self._denied("dumpxml --security-info")

        def work() -> str:
            return write_xml(self._world.domain(record.key), inactive=inactive)

        return await self._session.call(work, key=record.key)

    async def info(self, record: DomainRecord) -> DomainInfo:
        """virDomainGetInfo, and what virsh's dominfo asks besides."""

        def work() -> DomainInfo:
            domain = self._world.domain(record.key)
            return DomainInfo(
                os_type="hvm",
                vcpus=domain.config.vcpus,
                cpu_time_ns=domain.cpu_time_ns if domain.active else None,
                memory_kib=domain.config.memory_kib,
                max_memory_kib=domain.config.memory_kib,
                managed_save=domain.image is not None,
            )

        return await self._session.call(work, key=record.key)

    async def _do(self, record: DomainRecord, verb: Verb, work: Callable[[SimDomain], None]) -> None:
        self._may_change(verb)
        await self._session.call(lambda: work(self._world.domain(record.key)), key=record.key, verb=verb)

    def _may_change(self, verb: Verb) -> None:
        if self._session.facts.read_only:
            raise self._denied(verb)

    def _denied(self, what: str) -> AccessDenied:
        return AccessDenied(
            f"this connection is read-only: {what} is refused",
            driver="sim",
            host=self._world.name,
            verb=what,
            code=29,  # VIR_ERR_OPERATION_DENIED
            hint="connect without read-only",
        )


class SimHostInfo:
    """`HostInfo` over a world."""

    def __init__(self, session: SimSession) -> None:
        self._session = session

    async def hostname(self) -> str:
        """The world's name."""
        return await self._session.call(lambda: self._session.world.name)

    async def uri(self) -> str:
        """The URI it was opened with."""
        return await self._session.call(lambda: self._session.uri)

    async def node_info(self) -> NodeInfo:
        """Every simulated host is the same machine."""
        return await self._session.call(lambda: NODE)


class SimStats:
    """`Stats` over a world, by libvirt's names (virConnectGetAllDomainStats)."""

    def __init__(self, session: SimSession) -> None:
        self._session = session
        self._world = session.world

    async def collect(
        self, records: Sequence[DomainRecord] = (), *, groups: frozenset[StatsGroup] = frozenset(), nowait: bool = False
    ) -> Sequence[DomainStats]:
        """Of these domains, or of all; unknown ones are left out."""
        del nowait

        def work() -> Sequence[DomainStats]:
            domains = self._world.domains
            chosen = [domains[each.key] for each in records if each.key in domains] if records else domains.values()
            return [DomainStats(domain.key, domain.name, params_of(domain, groups)) for domain in chosen]

        return await self._session.call(work)


def params_of(domain: SimDomain, groups: frozenset[StatsGroup]) -> Mapping[str, Param]:
    """The statistics of a domain: these groups, or all that there are."""
    params: dict[str, Param] = {}
    for group, read in _GROUPS.items():
        if not groups or group in groups:
            params.update(read(domain))
    return params


def _state(domain: SimDomain) -> Mapping[str, Param]:
    return {"state.state": int(domain.state), "state.reason": int(domain.reason)}


def _cpu(domain: SimDomain) -> Mapping[str, Param]:
    if not domain.active:
        return {}
    time = domain.cpu_time_ns
    return {"cpu.time": time, "cpu.user": time // 4, "cpu.system": time // 10}


def _balloon(domain: SimDomain) -> Mapping[str, Param]:
    memory = domain.config.memory_kib
    return {"balloon.current": memory, "balloon.maximum": memory} if domain.active else {"balloon.maximum": memory}


def _vcpu(domain: SimDomain) -> Mapping[str, Param]:
    count = domain.config.vcpus
    return {"vcpu.current": count, "vcpu.maximum": count}


def _interface(domain: SimDomain) -> Mapping[str, Param]:
    traffic = domain.cpu_time_ns // 1000
    nic: Mapping[str, Param] = {
        "net.0.name": f"vnet{domain.id}",
        "net.0.rx.bytes": traffic,
        "net.0.tx.bytes": traffic // 3,
    }
    return {"net.count": 1, **nic} if domain.active else {"net.count": 0}


def _block(domain: SimDomain) -> Mapping[str, Param]:
    disk: dict[str, Param] = {"block.count": 1, "block.0.name": "vda"}
    if domain.active:
        traffic = domain.cpu_time_ns // 500
        disk.update({"block.0.rd.bytes": traffic, "block.0.wr.bytes": traffic // 2})
    return disk


_GROUPS: Final[dict[StatsGroup, Callable[[SimDomain], Mapping[str, Param]]]] = {
    StatsGroup.STATE: _state,
    StatsGroup.CPU_TOTAL: _cpu,
    StatsGroup.BALLOON: _balloon,
    StatsGroup.VCPU: _vcpu,
    StatsGroup.INTERFACE: _interface,
    StatsGroup.BLOCK: _block,
}
