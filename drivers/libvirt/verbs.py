"""The capabilities Power, Definitions, HostInfo and Stats: typed verbs → native calls.

virsh is the model for which call a verb makes. The newest procedure comes first; where the server is too old for it,
the older one does the same as long as no option needs the newer (reference/libvirt-wire.md §6, §15). Nothing is
retried, nothing waits for an effect: a call returns when the server accepted. Whether a domain "is there already" is
not decided here: the same fact has another code in each driver (§7).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import anyio.lowlevel

from avirt.drivers.base import DomainInfo, DomainStats, NodeInfo, StatsGroup
from avirt.drivers.libvirt import flags as f
from avirt.drivers.libvirt.bulk import StatsReader
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import RemoteDomain
from avirt.drivers.libvirt.lanes import Lanes
from avirt.drivers.libvirt.remote import Remote
from avirt.drivers.libvirt.rpc import Rpc
from avirt.drivers.wire.xml import first_text
from avirt.errors import AvirtError, ConnectionLost, RemoteProtocolError, Unsupported
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
    ShutdownMode,
    Start,
    Suspend,
    Undefine,
)
from avirt.model.record import DomainRecord, Key, key_of

__all__ = ["DefinitionVerbs", "HostReads", "PowerVerbs", "StatsReads"]

T = TypeVar("T")

_SHUTDOWN_MODES: Final[Mapping[ShutdownMode, int]] = {
    ShutdownMode.ACPI: f.Shutdown.ACPI_POWER_BTN,
    ShutdownMode.AGENT: f.Shutdown.GUEST_AGENT,
    ShutdownMode.INITCTL: f.Shutdown.INITCTL,
    ShutdownMode.SIGNAL: f.Shutdown.SIGNAL,
    ShutdownMode.PARAVIRT: f.Shutdown.PARAVIRT,
}
"""Of a reboot, too."""

_STATS: Final[Mapping[StatsGroup, int]] = {
    StatsGroup.STATE: f.Stats.STATE,
    StatsGroup.CPU_TOTAL: f.Stats.CPU_TOTAL,
    StatsGroup.BALLOON: f.Stats.BALLOON,
    StatsGroup.VCPU: f.Stats.VCPU,
    StatsGroup.INTERFACE: f.Stats.INTERFACE,
    StatsGroup.BLOCK: f.Stats.BLOCK,
    StatsGroup.PERF: f.Stats.PERF,
    StatsGroup.IOTHREAD: f.Stats.IOTHREAD,
    StatsGroup.MEMORY: f.Stats.MEMORY,
    StatsGroup.DIRTYRATE: f.Stats.DIRTYRATE,
    StatsGroup.VM: f.Stats.VM,
}

_STATS_SLICE: Final = 32
"""Domains decoded in one go: with all groups a running domain has some hundred values."""


def remote_of(record: DomainRecord) -> RemoteDomain:
    """A domain as an argument: the server goes by the uuid (§6)."""
    return RemoteDomain(record.name, record.key, -1 if record.id is None else record.id)


def _bits(*pairs: tuple[bool, int]) -> int:
    return sum(bit for on, bit in pairs if on)


async def _newest(first: Awaitable[T], older: Callable[[], Awaitable[T]] | None) -> T:
    """The answer of the newest procedure, or of the older one where the server does not have it."""
    try:
        return await first
    except Unsupported:
        if older is None:
            raise
        return await older()


class PowerVerbs:
    """`drivers.base.Power`."""

    def __init__(self, control: Remote, calls: Remote, bulk: Remote) -> None:
        self._control = control
        self._calls = calls
        self._bulk = bulk

    async def start(self, record: DomainRecord, options: Start) -> None:
        """domain_create_with_flags, always: it answers when the domain runs."""
        dom, flags = remote_of(record), _start_flags(options)
        older = None if flags else lambda: self._calls.domain_create(dom)
        await _newest(self._create_with_flags(dom, flags, options), older)

    async def _create_with_flags(self, dom: RemoteDomain, flags: int, options: Start) -> None:
        await self._keeper(options).domain_create_with_flags(dom, flags)

    def _keeper(self, options: Start) -> Remote:
        """A domain that dies with its connection hangs on the one that stays: others are closed when idle."""
        return self._control if options.autodestroy else self._calls

    async def create(self, options: Create) -> Key:
        """domain_create_xml."""
        flags = _start_flags(options) | _bits((options.validate, f.Create.START_VALIDATE))
        return Key((await self._keeper(options).domain_create_xml(options.xml, flags)).uuid)

    async def shutdown(self, record: DomainRecord, options: Shutdown) -> None:
        """domain_shutdown_flags."""
        dom, flags = remote_of(record), _bits(*((True, _SHUTDOWN_MODES[mode]) for mode in set(options.modes)))
        older = None if flags else lambda: self._calls.domain_shutdown(dom)
        await _newest(self._calls.domain_shutdown_flags(dom, flags), older)

    async def destroy(self, record: DomainRecord, options: Destroy) -> None:
        """domain_destroy_flags, on the connection that high-priority calls have."""
        dom, flags = remote_of(record), _bits((options.graceful, f.Destroy.GRACEFUL))
        older = None if flags else lambda: self._control.domain_destroy(dom)
        await _newest(self._control.domain_destroy_flags(dom, flags), older)

    async def reboot(self, record: DomainRecord, options: Reboot) -> None:
        """domain_reboot."""
        flags = _bits(*((True, _SHUTDOWN_MODES[mode]) for mode in set(options.modes)))
        await self._calls.domain_reboot(remote_of(record), flags)

    async def reset(self, record: DomainRecord, options: Reset) -> None:
        """domain_reset."""
        del options
        await self._calls.domain_reset(remote_of(record))

    async def suspend(self, record: DomainRecord, options: Suspend) -> None:
        """domain_suspend."""
        del options
        await self._calls.domain_suspend(remote_of(record))

    async def resume(self, record: DomainRecord, options: Resume) -> None:
        """domain_resume."""
        del options
        await self._calls.domain_resume(remote_of(record))

    async def save(self, record: DomainRecord, options: Save) -> None:
        """domain_save_flags."""
        dom, flags = remote_of(record), _save_flags(options)
        older = None if flags or options.xml is not None else lambda: self._bulk.domain_save(dom, options.path)
        await _newest(self._bulk.domain_save_flags(dom, options.path, options.xml, flags), older)

    async def restore(self, options: Restore) -> Key | None:
        """domain_restore_flags. The image says whose it is; the call itself does not."""
        flags = _save_flags(options) | _bits((options.reset_nvram, f.SaveRestore.RESET_NVRAM))
        key = await self._key_of_image(options.path)
        older = None if flags or options.xml is not None else lambda: self._bulk.domain_restore(options.path)
        await _newest(self._bulk.domain_restore_flags(options.path, options.xml, flags), older)
        return key

    async def _key_of_image(self, path: str) -> Key | None:
        try:
            uuid = first_text(await self._calls.domain_save_image_get_xml_desc(path), "domain/uuid")
            return key_of(uuid) if uuid else None
        except ConnectionLost:
            raise
        except (AvirtError, ValueError):
            return None  # not supported, or not an image: the restore itself says so

    async def managed_save(self, record: DomainRecord, options: ManagedSave) -> None:
        """domain_managed_save."""
        await self._bulk.domain_managed_save(remote_of(record), _save_flags(options))

    async def managed_save_remove(self, record: DomainRecord, options: ManagedSaveRemove) -> None:
        """domain_managed_save_remove."""
        del options
        await self._calls.domain_managed_save_remove(remote_of(record))


def _start_flags(options: Start) -> int:
    return _bits(
        (options.paused, f.Create.START_PAUSED),
        (options.autodestroy, f.Create.START_AUTODESTROY),
        (options.bypass_cache, f.Create.START_BYPASS_CACHE),
        (options.force_boot, f.Create.START_FORCE_BOOT),
        (options.reset_nvram, f.Create.START_RESET_NVRAM),
    )


def _save_flags(options: Save | Restore | ManagedSave) -> int:
    return _bits(
        (options.bypass_cache, f.SaveRestore.BYPASS_CACHE),
        (options.running, f.SaveRestore.RUNNING),
        (options.paused, f.SaveRestore.PAUSED),
    )


class DefinitionVerbs:
    """`drivers.base.Definitions`."""

    def __init__(self, calls: Remote) -> None:
        self._calls = calls

    async def define(self, options: Define) -> Key:
        """domain_define_xml_flags."""
        flags = _bits((options.validate, f.Define.VALIDATE))
        older = None if flags else lambda: self._calls.domain_define_xml(options.xml)
        return Key((await _newest(self._calls.domain_define_xml_flags(options.xml, flags), older)).uuid)

    async def undefine(self, record: DomainRecord, options: Undefine) -> None:
        """domain_undefine_flags; before 0.9.4 a saved image is dropped by a call of its own."""
        kinds = f.Undefine
        flags = _bits(
            (options.managed_save, kinds.MANAGED_SAVE),
            (options.snapshots_metadata, kinds.SNAPSHOTS_METADATA),
            (options.checkpoints_metadata, kinds.CHECKPOINTS_METADATA),
            (options.nvram, kinds.NVRAM),
            (options.keep_nvram, kinds.KEEP_NVRAM),
            (options.tpm, kinds.TPM),
            (options.keep_tpm, kinds.KEEP_TPM),
        )
        dom = remote_of(record)

        async def older() -> None:
            if flags and await self._calls.domain_has_managed_save_image(dom):
                await self._calls.domain_managed_save_remove(dom)
            await self._calls.domain_undefine(dom)

        await _newest(self._calls.domain_undefine_flags(dom, flags), None if flags & ~kinds.MANAGED_SAVE else older)

    async def rename(self, record: DomainRecord, options: Rename) -> None:
        """domain_rename."""
        await self._calls.domain_rename(remote_of(record), options.new)

    async def set_autostart(self, record: DomainRecord, options: SetAutostart) -> None:
        """domain_set_autostart."""
        await self._calls.domain_set_autostart(remote_of(record), int(options.enabled))

    async def xml(
        self,
        record: DomainRecord,
        *,
        inactive: bool = False,
        secure: bool = False,
        update_cpu: bool = False,
        migratable: bool = False,
    ) -> str:
        """domain_get_xml_desc."""
        flags = _bits(
            (inactive, f.Xml.INACTIVE),
            (secure, f.Xml.SECURE),
            (update_cpu, f.Xml.UPDATE_CPU),
            (migratable, f.Xml.MIGRATABLE),
        )
        return await self._calls.domain_get_xml_desc(remote_of(record), flags)

    async def info(self, record: DomainRecord) -> DomainInfo:
        """What virsh's dominfo asks for, one by one: a domain that hangs holds one call. Only the first is a must."""
        dom, calls = remote_of(record), self._calls
        numbers = await calls.domain_get_info(dom)
        os_type = await _optional(calls.domain_get_os_type(dom))
        image = await _optional(calls.domain_has_managed_save_image(dom))
        security = await _optional(calls.node_get_security_model())
        mine = await _optional(calls.domain_get_security_label(dom))
        name = _chars(security.model) if security is not None else ""
        return DomainInfo(
            os_type=os_type,
            vcpus=numbers.nr_virt_cpu,
            # 0 while inactive, and the wall clock on the test driver (§11)
            cpu_time_ns=numbers.cpu_time_ns if record.active else None,
            memory_kib=numbers.memory_kib,
            max_memory_kib=numbers.max_mem_kib,
            managed_save=None if image is None else bool(image),
            security_model=name or None,
            security_doi=_chars(security.doi) if security is not None and name else None,
            security_label=(_chars(mine.label) or None) if mine is not None and name else None,
            security_enforcing=bool(mine.enforcing) if mine is not None and name else None,
        )


async def _optional(call: Awaitable[T]) -> T | None:
    """What not every driver answers."""
    try:
        return await call
    except (ConnectionLost, RemoteProtocolError):
        raise
    except AvirtError:
        return None


def _chars(text: bytes) -> str:
    """char x<n>, with or without its NUL (§1)."""
    return text.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


class HostReads:
    """`drivers.base.HostInfo`."""

    def __init__(self, calls: Remote) -> None:
        self._calls = calls

    async def hostname(self) -> str:
        """connect_get_hostname."""
        return await self._calls.connect_get_hostname()

    async def uri(self) -> str:
        """connect_get_uri."""
        return await self._calls.connect_get_uri()

    async def node_info(self) -> NodeInfo:
        """node_get_info; memory in KiB (§6)."""
        node = await self._calls.node_get_info()
        return NodeInfo(
            model=_chars(node.model),
            memory_kib=node.memory_kib,
            cpus=node.cpus,
            mhz=node.mhz,
            nodes=node.nodes,
            sockets=node.sockets,
            cores=node.cores,
            threads=node.threads,
        )


class StatsReads:
    """`drivers.base.Stats`."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def collect(
        self, records: Sequence[DomainRecord] = (), *, groups: frozenset[StatsGroup] = frozenset(), nowait: bool = False
    ) -> Sequence[DomainStats]:
        """connect_get_all_domain_stats, decoded in slices."""
        key = records[0].key if len(records) == 1 else None

        async def ask(rpc: Rpc) -> bytes:
            return await rpc.submit(
                Proc.CONNECT_GET_ALL_DOMAIN_STATS,
                tuple(remote_of(record) for record in records),
                _bits(*((True, _STATS[group]) for group in groups)),
                _bits((nowait, f.Reads.STATS_NOWAIT)),
                raw=True,
                timeout=None,
                key=key,
            ).wait()

        payload = await self._lanes.ask(key, ask)
        found: list[DomainStats] = []
        reader = StatsReader(payload)
        while reader.left:
            found += [DomainStats(Key(key), name, params) for name, key, _, params in reader.read(_STATS_SLICE)]
            if reader.left:
                await anyio.lowlevel.checkpoint()
        return found
