"""One domain of the simulated hypervisor, and what can happen to it: libvirt's semantics and orders of events.

What comes through the API (start, suspend, …) checks as libvirt checks and raises what libvirt would; what happens to
a domain by itself (crash, kill_emulator, guest_shutdown, …) has no such checks beyond making sense. The orders of
events are those seen on qemu (reference/libvirt-wire.md §10).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from avirt.drivers.sim.moments import Moment, WorldEvent
from avirt.errors import Aborted, AlreadyExists, AvirtError, InvalidArgument, InvalidOperation, Unsupported
from avirt.model.command import ShutdownMode
from avirt.model.native_event import IOError, JobCompleted, MigrationIteration, PMSuspend, PMWakeup
from avirt.model.record import Key
from avirt.model.state import (
    CrashedReason,
    DomainState,
    PausedReason,
    PMSuspendedReason,
    Reason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
)

if TYPE_CHECKING:
    from avirt.drivers.sim.world import World

__all__ = ["Config", "Image", "Job", "SimDomain"]

OPERATION_INVALID: Final = 55
"""VIR_ERR_OPERATION_INVALID."""
OPERATION_FAILED: Final = 9
"""VIR_ERR_OPERATION_FAILED: what qemu answers to a name or uuid that is taken."""
_SAVE: Final = 2
"""VIR_DOMAIN_JOB_OPERATION_SAVE."""
_OUTGOING_MIGRATION: Final = 5
"""VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A domain's configuration, as far as the simulation goes.

    Attributes:
        xml: the definition it was read from, "" for one that is made from the rest.
        preserve: a crashed guest is kept as it is (`on_crash` preserve), else destroyed.
        restart: it is booted again in its process (`on_crash` restart).
    """

    memory_kib: int = 2 * 1024 * 1024
    vcpus: int = 2
    preserve: bool = False
    restart: bool = False
    xml: str = ""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """Saved memory of a domain."""

    key: Key
    name: str
    config: Config
    running: bool


class Job:
    """An operation that takes a while. The caller waits until `due`, lets the world catch up and asks for the result.

    Attributes:
        due: the world's time at which it ends.
    """

    def __init__(self, due: float) -> None:
        self.due = due
        self.error: AvirtError | None = None

    def result(self) -> None:
        """Raise what it failed with."""
        if self.error is not None:
            raise self.error


class SimDomain:
    """One domain.

    Attributes:
        id: the runtime id, None unless active.
        last_id: the id of the last incarnation; some hypervisors go on printing it.
        incarnation: counts starts and stops; what was scheduled for an earlier one is void.
        image: the managed save image.
        deaf: the guest ignores requests to shut down or reboot.
        load: the share of a CPU each virtual CPU uses while running.
        boots: how often the guest booted, reboots included.
        is_dead: its end was told, though reads still show it.
    """

    def __init__(self, world: World, key: Key, name: str, config: Config, *, persistent: bool, load: float) -> None:
        self.world = world
        self.key = key
        self.name = name
        self.config = config
        self.persistent = persistent
        self.load = load
        self.state = DomainState.SHUTOFF
        self.reason: Reason = ShutoffReason.UNKNOWN
        self.id: int | None = None
        self.last_id: int | None = None
        self.autostart = False
        self.image: Image | None = None
        self.deaf = False
        self.incarnation = 0
        self.boots = 0
        self.is_dead = False
        self._down_asked = False
        self._cpu_time = 0.0
        self._running_since: float | None = None

    def __repr__(self) -> str:
        return f"<SimDomain {self.name} {self.state.name} {self.reason.name} id={self.id}>"

    @property
    def uuid(self) -> UUID:
        """The domain's uuid."""
        return UUID(bytes=self.key)

    @property
    def active(self) -> bool:
        """Whether there is a process."""
        return self.id is not None

    @property
    def cpu_time_ns(self) -> int:
        """CPU time of this incarnation."""
        running = 0.0 if self._running_since is None else self.world.now() - self._running_since
        return int((self._cpu_time + running) * self.load * self.config.vcpus * 1e9)

    # ------------------------------------------------------------ verbs

    def start(self, *, paused: bool = False, force_boot: bool = False) -> None:
        """virDomainCreateWithFlags: from the managed save image if there is one."""
        if self.active:
            raise self._invalid("domain is already running", hint="nothing to start: see `avirt domstate`")
        image, self.image = self.image, None
        self._activate()
        if image is not None and not force_boot and not self.world.habits.boots_saved:
            self._go_on_from(image, paused=paused)
        elif paused:
            self._enter(DomainState.PAUSED, PausedReason.USER)
            self._tell(*self.world.habits.started_paused)
        else:
            self._enter(DomainState.RUNNING, RunningReason.BOOTED)
            self._tell(*self.world.habits.started)

    def destroy(self) -> None:
        """virDomainDestroyFlags."""
        self._need_active()
        *before, last = self.world.habits.destroyed
        if self.state is not DomainState.SHUTDOWN:
            self._tell(*before)
        self._stop(ShutoffReason.DESTROYED, last)

    def shutdown(self, modes: Sequence[ShutdownMode] = ()) -> None:
        """virDomainShutdownFlags: the guest is asked, and takes a while; a paused one only once it goes on."""
        self._need_active()
        self._check_modes(modes, "shutdown")
        if self.state is DomainState.PMSUSPENDED:
            raise self._invalid("domain is pmsuspended", hint="wake it up, or destroy it")
        if not self.deaf:
            self._down_asked = True
            if self.state is DomainState.RUNNING:
                self._after(self.world.times.shutdown, self.guest_shutdown)

    def reboot(self, modes: Sequence[ShutdownMode] = ()) -> None:
        """virDomainReboot: the guest is asked, and takes a while."""
        self._need_active()
        self._check_modes(modes, "reboot")
        if not self.deaf:
            self._after(self.world.times.reboot, self.guest_reboot)

    def reset(self) -> None:
        """virDomainReset: qemu tells it as a reboot, and once more."""
        self._need_active()
        self.boots += 1
        self._down_asked = False
        self._tell(*self.world.habits.rebooted)

    def suspend(self) -> None:
        """virDomainSuspend. Of a paused domain: nothing to do, no event."""
        self._need_active()
        if self.state in (DomainState.PMSUSPENDED, DomainState.CRASHED, DomainState.SHUTDOWN):
            raise self._invalid(f"domain is {self.state.name.lower()}")
        if self.state is DomainState.PAUSED and self.world.habits.refuses_pause:
            raise self._invalid("domain is not running")
        if self.state is not DomainState.PAUSED:
            self._enter(DomainState.PAUSED, PausedReason.USER)
            self._tell(Moment.SUSPENDED_PAUSED)

    def resume(self) -> None:
        """virDomainResume."""
        self._need_active()
        if self.state is DomainState.RUNNING:
            raise self._invalid("domain is already running")
        if self.state is DomainState.PMSUSPENDED:
            raise self._invalid("domain is pmsuspended", hint="it has to be woken up, not resumed")
        if self.state is DomainState.SHUTDOWN:
            raise self._invalid("domain is being shut down", hint="wait until it is off")
        self._enter(DomainState.RUNNING, RunningReason.UNPAUSED)
        self._tell(Moment.RESUMED_UNPAUSED)
        if self._down_asked:
            self._after(self.world.times.shutdown, self.guest_shutdown)

    def managed_save(self, *, running: bool = False, paused: bool = False) -> Job:
        """virDomainManagedSave."""
        self._need_active()
        if not self.persistent:
            raise self._invalid("cannot do managed save for transient domain", hint="save it to a file")
        return self._save(self._keep_image, running=running, paused=paused)

    def save(self, path: str, *, running: bool = False, paused: bool = False) -> Job:
        """virDomainSaveFlags."""
        self._need_active()
        if not path:
            raise InvalidArgument("a saved image needs a path", driver="sim", domain=self.name)
        return self._save(lambda image: self.world.images.__setitem__(path, image), running=running, paused=paused)

    def managed_save_remove(self) -> None:
        """virDomainManagedSaveRemove; no image is no error."""
        self.image = None

    def set_autostart(self, enabled: bool) -> None:
        """virDomainSetAutostart. No event, as in libvirt 9."""
        if not self.persistent:
            raise self._invalid("cannot set autostart for transient domain", hint="define it first")
        self.autostart = enabled

    def rename(self, new: str) -> None:
        """virDomainRename: two events, one for each name."""
        if self.active:
            raise self._invalid("cannot rename active domain", hint="shut it down first")
        if self.image is not None:
            raise self._invalid("domain with a managed saved state can't be renamed", hint="managedsave-remove first")
        if not new or "/" in new:
            raise InvalidArgument(f"'{new}' is no name for a domain", driver="sim", domain=self.name)
        if any(other.name == new for other in self.world.domains.values()):
            raise AlreadyExists(
                f"domain with name '{new}' already exists", driver="sim", domain=self.name, code=OPERATION_FAILED
            )
        old, self.name = self.name, new
        self._tell(Moment.UNDEFINED_RENAMED, name=old)
        self._tell(Moment.DEFINED_RENAMED)

    def undefine(self, *, managed_save: bool = False) -> None:
        """virDomainUndefineFlags: an active domain goes on as a transient one."""
        if not self.persistent:
            raise self._invalid("cannot undefine transient domain", hint="it goes when it stops")
        if self.image is not None and not managed_save:
            raise self._invalid(
                "Refusing to undefine while domain managed save image exists", hint="undefine --managed-save"
            )
        self.image = None
        self.persistent = False
        self.autostart = False
        if not self.active:
            self.world.forget(self)
        self._tell(Moment.UNDEFINED_REMOVED)

    # ------------------------------------------------------------ what happens by itself

    def guest_shutdown(self) -> None:
        """The guest powers off: SHUTDOWN for a moment, then off."""
        if self.state is not DomainState.RUNNING or self.is_dead:
            return
        if not self.world.habits.guest_off:
            self._stop(ShutoffReason.SHUTDOWN, Moment.STOPPED_SHUTDOWN)
            return
        self._enter(DomainState.SHUTDOWN, ShutdownReason.UNKNOWN)
        self._tell(*self.world.habits.guest_off)
        self._after(self.world.times.stopping, lambda: self._stop(ShutoffReason.SHUTDOWN, Moment.STOPPED_SHUTDOWN))

    def guest_reboot(self) -> None:
        """The guest reboots in its process, with the same id. Elsewhere another process takes over."""
        if self.is_dead:
            return
        if self.state is DomainState.RUNNING and self.world.habits.reboots_anew:
            self._stop(ShutoffReason.SHUTDOWN, Moment.STOPPED_SHUTDOWN, forget=False)
            self.start()
        elif self.state is DomainState.RUNNING:
            self.boots += 1
            self._down_asked = False
            self._tell(*self.world.habits.rebooted)

    def crash(self, *, told_paused: bool = False) -> None:
        """The guest panics: kept as CRASHED or booted again where the configuration says so, else off.

        Args:
            told_paused: it is told as paused first, as QEMU's driver does now and then: two threads of it hurry.
        """
        self._need_active()
        if told_paused and self.state is DomainState.RUNNING:
            self._tell(Moment.SUSPENDED_PAUSED)
        self._enter(DomainState.CRASHED, CrashedReason.PANICKED)
        self._tell(Moment.CRASHED_PANICKED)
        if self.config.restart:
            self.boots += 1
            self._tell(Moment.REBOOT)
            self._enter(DomainState.RUNNING, RunningReason.CRASHED)
            self._tell(Moment.RESUMED_UNPAUSED, *self.world.habits.rebooted)
        elif not self.config.preserve:
            self._stop(ShutoffReason.CRASHED, Moment.STOPPED_CRASHED)

    def kill_emulator(self, *, told_first: bool = False) -> None:
        """The process is killed: reads go on saying RUNNING for `times.death`. The event says failed, reads crashed.

        Args:
            told_first: STOPPED is told at once, while reads still say RUNNING; else only when reads say so.
        """
        self._need_active()
        self._tell(Moment.CONTROL_ERROR)
        if told_first:
            self.is_dead = True
            self._tell(Moment.STOPPED_FAILED)
            self._after(self.world.times.death, lambda: self._stop(ShutoffReason.CRASHED, None))
        else:
            self._after(self.world.times.death, lambda: self._stop(ShutoffReason.CRASHED, Moment.STOPPED_FAILED))

    def io_error(self, *, path: str = "/var/lib/sim/disk.qcow2", device: str = "vda") -> None:
        """A disk is full: the guest is paused."""
        self._need_active()
        self._enter(DomainState.PAUSED, PausedReason.IOERROR)
        self.world.tell(
            IOError(host="", key=self.key, name=self.name, path=path, device=device, action="pause", reason="enospc")
        )
        self._tell(Moment.SUSPENDED_IOERROR)

    def pm_suspend(self) -> None:
        """The guest goes to sleep."""
        self._need_active()
        self._enter(DomainState.PMSUSPENDED, PMSuspendedReason.UNKNOWN)
        self.world.tell(PMSuspend(host="", key=self.key, name=self.name, reason=0))
        self._tell(Moment.PMSUSPENDED_MEMORY)

    def pm_wakeup(self) -> None:
        """The guest wakes up."""
        if self.state is not DomainState.PMSUSPENDED or self.is_dead:
            raise self._invalid("domain is not pmsuspended")
        self._enter(DomainState.RUNNING, RunningReason.WAKEUP)
        self.world.tell(PMWakeup(host="", key=self.key, name=self.name, reason=0))
        self._tell(Moment.STARTED_WAKEUP)

    def migrate_away(self, *, undefine: bool = True) -> Image:
        """It leaves for another host; `World.migrate_in` takes what this returns. `migration.py` does both.

        That its definition goes along is told by no event of its own.
        """
        image = self.begin_migration()
        self.suspend_for_migration()
        self.end_migration(undefine=undefine)
        return image

    def begin_migration(self) -> Image:
        """What is on its way, while it still runs."""
        self._need_active()
        self._tell_iteration(1)
        return Image(key=self.key, name=self.name, config=self.config, running=self.state is DomainState.RUNNING)

    def suspend_for_migration(self) -> None:
        """The last of its memory leaves."""
        if self.state is DomainState.RUNNING:
            self._enter(DomainState.PAUSED, PausedReason.MIGRATION)
            self._tell(Moment.SUSPENDED_MIGRATED)
        self._tell_iteration(2)

    def end_migration(self, *, undefine: bool) -> None:
        """It is gone."""
        self._stop(ShutoffReason.MIGRATED, Moment.STOPPED_MIGRATED, forget=undefine or not self.persistent)
        self._tell_job(_OUTGOING_MIGRATION)

    def fail_migration(self) -> None:
        """It was about to leave, and stays."""
        self._need_active()
        self.suspend_for_migration()
        if self.reason is PausedReason.MIGRATION:
            self._enter(DomainState.RUNNING, RunningReason.MIGRATION_CANCELED)
            self._tell(Moment.RESUMED_MIGRATED)

    def come(self) -> None:
        """It is expected from another host: here already, not running yet. Called by `World.expect`."""
        self._activate()
        self._enter(DomainState.PAUSED, PausedReason.MIGRATION)
        self._tell(Moment.STARTED_MIGRATED)

    def arrive(self, image: Image, *, persistent: bool) -> None:
        """It has come."""
        if persistent and not self.persistent:
            self.persistent = True
            self._tell(Moment.DEFINED_ADDED)
        if image.running:
            self._enter(DomainState.RUNNING, RunningReason.MIGRATED)
            self._tell(Moment.RESUMED_MIGRATED)
        else:
            self._enter(DomainState.PAUSED, PausedReason.USER)
            self._tell(Moment.SUSPENDED_PAUSED)

    def stay_away(self) -> None:
        """It does not come after all."""
        self._stop(ShutoffReason.FAILED, Moment.STOPPED_FAILED)

    def restore(self, image: Image, *, running: bool = False, paused: bool = False) -> None:
        """It goes on from a file. Called by `World.restore`."""
        if self.active:
            raise self._invalid("domain is already active", hint="stop it first")
        self._activate()
        self._go_on_from(msgspec.structs.replace(image, running=image.running or running), paused=paused)

    def announce(self, moment: Moment) -> None:
        """Tell an event of this domain. Called by the world that owns it."""
        self._tell(moment)

    # ------------------------------------------------------------ inside

    def _go_on_from(self, image: Image, *, paused: bool) -> None:
        if image.running and not paused:
            self._enter(DomainState.RUNNING, RunningReason.RESTORED)
            self._tell(*self.world.habits.restored)
        else:
            self._enter(DomainState.PAUSED, self.world.habits.restored_reason)
            self._tell(*self.world.habits.restored_paused)

    def _keep_image(self, image: Image) -> None:
        self.image = image

    def _save(self, keep: Callable[[Image], None], *, running: bool, paused: bool) -> Job:
        was_running = self.state is DomainState.RUNNING
        image = Image(key=self.key, name=self.name, config=self.config, running=(was_running or running) and not paused)
        self._enter(DomainState.PAUSED, PausedReason.SAVE)
        if was_running:
            self._tell(*self.world.habits.saving)
        job = Job(self.world.now() + self.world.times.save)
        incarnation = self.incarnation

        def finish() -> None:
            if self.incarnation != incarnation or not self.active:
                job.error = Aborted("operation aborted: domain is not running", driver="sim", domain=self.name, code=78)
                return
            for iteration in range(1, self.world.habits.iterations + 1):
                self._tell_iteration(iteration)
            self._tell_job(_SAVE)
            keep(image)
            self._stop(ShutoffReason.SAVED, Moment.STOPPED_SAVED)

        if self.world.times.save > 0:
            self.world.after(self.world.times.save, finish)
        else:
            finish()
        return job

    def _activate(self) -> None:
        self.incarnation += 1
        self.is_dead = False
        self.boots += 1
        self.id = self.last_id = self.world.next_id()
        self._cpu_time = 0.0
        self._running_since = None
        self._down_asked = False

    def _enter(self, state: DomainState, reason: Reason) -> None:
        now = self.world.now()
        if self._running_since is not None:
            self._cpu_time += now - self._running_since
        self._running_since = now if state is DomainState.RUNNING else None
        self.state = state
        self.reason = reason
        self.world.entered(self)

    def _stop(self, reason: ShutoffReason, moment: Moment | None, *, forget: bool | None = None) -> None:
        """It ends. `forget`: it is gone then; by default if it is transient."""
        self._enter(DomainState.SHUTOFF, reason)
        habits = self.world.habits
        has_old_id = moment in habits.old_id or (not self.persistent and moment in habits.old_id_transient)
        told = self.id if has_old_id and self.id is not None else -1
        self.id = None
        self.incarnation += 1
        if not self.persistent if forget is None else forget:
            self.world.forget(self)
        if moment is not None:
            self._tell(moment, id=told)

    def _after(self, delay: float, act: Callable[[], None]) -> None:
        """Do it later, unless this incarnation has ended by then."""
        incarnation = self.incarnation

        def unless_over() -> None:
            if self.incarnation == incarnation:
                act()

        self.world.after(delay, unless_over)

    def _tell(self, *moments: Moment, name: str | None = None, id: int | None = None) -> None:
        if id is None:
            id = -1 if self.id is None else self.id
        for moment in moments:
            self.world.tell(WorldEvent(self.key, self.name if name is None else name, id, moment))

    def _tell_iteration(self, iteration: int) -> None:
        if iteration <= self.world.habits.iterations:
            self.world.tell(MigrationIteration(host="", key=self.key, name=self.name, iteration=iteration))

    def _tell_job(self, operation: int) -> None:
        if self.world.habits.iterations:
            params = {"type": 3, "operation": operation, "memory_total": self.config.memory_kib * 1024}
            self.world.tell(JobCompleted(host="", key=self.key, name=self.name, params=params))

    def _need_active(self) -> None:
        if not self.active or self.is_dead:
            raise self._invalid("domain is not running", hint="start it first")

    def _check_modes(self, modes: Sequence[ShutdownMode], verb: str) -> None:
        wrong = [mode for mode in modes if mode not in (ShutdownMode.ACPI, ShutdownMode.AGENT)]
        if wrong:
            raise Unsupported(
                f"the simulated hypervisor has no {verb} by {', '.join(wrong)}",
                driver="sim",
                domain=self.name,
                verb=verb,
                hint="use acpi or agent",
            )

    def _invalid(self, text: str, *, hint: str = "") -> InvalidOperation:
        return InvalidOperation(
            f"{self.name}: {text}", hint=hint, driver="sim", domain=self.name, code=OPERATION_INVALID, native=text
        )
