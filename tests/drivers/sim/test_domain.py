"""One simulated domain: libvirt's semantics and orders of events (reference/libvirt-wire.md §10)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from avirt.drivers.sim.domain import Config, SimDomain
from avirt.drivers.sim.habits import TEST_HABITS, XEN_HABITS
from avirt.drivers.sim.moments import Moment, WorldEvent
from avirt.drivers.sim.world import Times
from avirt.errors import Aborted, AlreadyExists, InvalidArgument, InvalidOperation, NotFound, Unsupported
from avirt.model.command import ShutdownMode
from avirt.model.native_event import IOError, JobCompleted, MigrationIteration
from avirt.model.state import (
    CrashedReason,
    DomainState,
    PausedReason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
)

from .stage import Stage


def state_of(domain: SimDomain) -> DomainState:
    return domain.state  # a call, so that mypy does not take it for the same as before


def shown(domain: SimDomain) -> tuple[DomainState, object]:
    return domain.state, domain.reason


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def off(stage: Stage) -> SimDomain:
    domain = stage.world.add("vm1")
    stage.moments()
    return domain


@pytest.fixture
def running(stage: Stage) -> SimDomain:
    domain = stage.world.add("vm2", running=True)
    stage.moments()
    return domain


def transient(stage: Stage) -> SimDomain:
    domain = stage.world.add("vm3", persistent=False)
    stage.moments()
    return domain


# ---------------------------------------------------------------- start


def test_start_tells_resumed_before_started(stage: Stage, off: SimDomain) -> None:
    off.start()
    assert stage.moments() == [Moment.RESUMED_UNPAUSED, Moment.STARTED_BOOTED]
    assert shown(off) == (DomainState.RUNNING, RunningReason.BOOTED)
    assert off.id == 1


def test_start_paused_tells_started_then_suspended(stage: Stage, off: SimDomain) -> None:
    off.start(paused=True)
    assert stage.moments() == [Moment.STARTED_BOOTED, Moment.SUSPENDED_PAUSED]
    assert shown(off) == (DomainState.PAUSED, PausedReason.USER)


def test_start_of_a_running_domain_is_refused(stage: Stage, running: SimDomain) -> None:
    with pytest.raises(InvalidOperation) as caught:
        running.start()
    assert caught.value.code == 55
    assert stage.moments() == []


def test_every_start_has_a_new_id(off: SimDomain) -> None:
    off.start()
    off.destroy()
    off.start()
    assert (off.id, off.last_id, off.boots) == (2, 2, 2)


# ---------------------------------------------------------------- stop


def test_destroy_tells_shutdown_by_host_then_stopped(stage: Stage, running: SimDomain) -> None:
    running.destroy()
    assert stage.moments() == [Moment.SHUTDOWN_BY_HOST, Moment.STOPPED_DESTROYED]
    assert shown(running) == (DomainState.SHUTOFF, ShutoffReason.DESTROYED)
    assert (running.id, running.last_id) == (None, 1)


def test_stopped_event_of_a_persistent_domain_has_no_id(stage: Stage, running: SimDomain) -> None:
    running.destroy()
    last = stage.link.events[-1]
    assert isinstance(last, WorldEvent)
    assert last.id == -1


def test_stopped_event_has_the_old_id_if_the_process_ended_by_itself(stage: Stage, running: SimDomain) -> None:
    running.guest_shutdown()
    stage.wait(1)
    last = stage.link.events[-1]
    assert isinstance(last, WorldEvent)
    assert (last.moment, last.id, running.id) == (Moment.STOPPED_SHUTDOWN, 1, None)


def test_stopped_event_of_a_transient_domain_has_its_old_id_where_it_is_the_habit() -> None:
    stage = Stage(habits=TEST_HABITS)
    domain = transient(stage)
    domain.destroy()
    last = stage.link.events[-1]
    assert isinstance(last, WorldEvent)
    assert (last.moment, last.id) == (Moment.STOPPED_DESTROYED, 1)


def test_transient_domain_that_stops_is_gone(stage: Stage) -> None:
    transient(stage).destroy()
    with pytest.raises(NotFound):
        stage.world.domain("vm3")


def test_shutdown_takes_a_while_and_passes_through_shutdown(stage: Stage, running: SimDomain) -> None:
    running.shutdown()
    assert stage.moments() == []
    stage.wait(stage.world.times.shutdown)
    assert shown(running) == (DomainState.SHUTDOWN, ShutdownReason.UNKNOWN)
    assert stage.moments() == [Moment.SHUTDOWN_BY_GUEST]
    stage.wait(stage.world.times.stopping)
    assert stage.moments() == [Moment.STOPPED_SHUTDOWN]
    assert shown(running) == (DomainState.SHUTOFF, ShutoffReason.SHUTDOWN)


def test_shutdown_of_a_paused_domain_waits_for_resume(stage: Stage, running: SimDomain) -> None:
    running.suspend()
    running.shutdown([ShutdownMode.ACPI])
    stage.wait(100)
    assert state_of(running) is DomainState.PAUSED
    running.resume()
    stage.wait(100)
    assert state_of(running) is DomainState.SHUTOFF


def test_shutdown_while_paused_in_between_is_forgotten(stage: Stage, running: SimDomain) -> None:
    running.shutdown()
    running.suspend()
    stage.wait(100)
    assert state_of(running) is DomainState.PAUSED


def test_shutdown_of_a_deaf_guest_is_accepted_and_has_no_effect(stage: Stage, running: SimDomain) -> None:
    running.deaf = True
    running.shutdown()
    running.reboot()
    stage.wait(1000)
    assert state_of(running) is DomainState.RUNNING
    assert stage.moments() == []


def test_shutdown_is_void_once_the_incarnation_has_ended(stage: Stage, running: SimDomain) -> None:
    running.shutdown()
    running.destroy()
    running.start()
    stage.wait(100)
    assert state_of(running) is DomainState.RUNNING


def test_destroy_in_shutdown_tells_no_second_shutdown(stage: Stage, running: SimDomain) -> None:
    running.guest_shutdown()
    running.destroy()
    assert stage.moments() == [Moment.SHUTDOWN_BY_GUEST, Moment.STOPPED_DESTROYED]
    stage.wait(1)
    assert stage.moments() == []


@pytest.mark.parametrize("mode", [ShutdownMode.INITCTL, ShutdownMode.SIGNAL, ShutdownMode.PARAVIRT])
def test_shutdown_by_other_modes_is_unsupported(running: SimDomain, mode: ShutdownMode) -> None:
    with pytest.raises(Unsupported, match=mode):
        running.shutdown([mode])
    with pytest.raises(Unsupported, match=mode):
        running.reboot([mode])


# ---------------------------------------------------------------- reboot


def test_reboot_keeps_the_id_and_is_told_twice(stage: Stage, running: SimDomain) -> None:
    running.reboot([ShutdownMode.AGENT])
    stage.wait(10)
    assert stage.moments() == [Moment.REBOOT, Moment.REBOOT]
    assert (running.id, running.boots) == (1, 2)


def test_reset_is_told_as_a_reboot_twice(stage: Stage, running: SimDomain) -> None:
    running.reset()
    assert stage.moments() == [Moment.REBOOT, Moment.REBOOT]


def test_reboot_by_another_process_stops_and_starts_with_a_new_id() -> None:
    stage = Stage(habits=XEN_HABITS)
    domain = stage.world.add("vm1", running=True)
    stage.moments()
    domain.reboot()
    stage.wait(10)
    assert stage.moments() == [Moment.STOPPED_SHUTDOWN, Moment.STARTED_BOOTED]
    assert (domain.id, state_of(domain)) == (2, DomainState.RUNNING)


def test_transient_domain_that_reboots_by_another_process_stays() -> None:
    stage = Stage(habits=XEN_HABITS)
    domain = transient(stage)
    domain.guest_reboot()
    assert stage.world.domain("vm3") is domain


def test_habits_of_one_event_for_each_thing() -> None:
    stage = Stage(habits=TEST_HABITS)
    domain = stage.world.add("vm1")
    for act, told in (
        (domain.start, [Moment.DEFINED_ADDED, Moment.STARTED_BOOTED]),
        (domain.suspend, [Moment.SUSPENDED_PAUSED]),
        (domain.resume, [Moment.RESUMED_UNPAUSED]),
        (domain.managed_save, [Moment.STOPPED_SAVED]),
        (domain.start, [Moment.STARTED_BOOTED]),
        (domain.reset, []),
        (domain.guest_shutdown, [Moment.STOPPED_SHUTDOWN]),
    ):
        act()
        assert stage.moments() == told
    domain.start(paused=True)
    with pytest.raises(InvalidOperation):
        domain.suspend()


def test_guest_events_of_a_domain_that_does_not_run_are_none(stage: Stage, off: SimDomain) -> None:
    off.guest_reboot()
    off.guest_shutdown()
    assert stage.moments() == []


# ---------------------------------------------------------------- suspend, resume


def test_suspend_and_resume_tell_one_event_each(stage: Stage, running: SimDomain) -> None:
    running.suspend()
    assert shown(running) == (DomainState.PAUSED, PausedReason.USER)
    running.suspend()
    running.resume()
    assert shown(running) == (DomainState.RUNNING, RunningReason.UNPAUSED)
    assert stage.moments() == [Moment.SUSPENDED_PAUSED, Moment.RESUMED_UNPAUSED]


def test_resume_of_what_is_not_paused_is_refused(stage: Stage, running: SimDomain) -> None:
    with pytest.raises(InvalidOperation, match="already running"):
        running.resume()
    running.pm_suspend()
    with pytest.raises(InvalidOperation, match="pmsuspended"):
        running.resume()
    running.pm_wakeup()
    running.guest_shutdown()
    with pytest.raises(InvalidOperation, match="being shut down"):
        running.resume()
    with pytest.raises(InvalidOperation, match="shutdown"):
        running.suspend()


def test_sleep_and_wakeup(stage: Stage, running: SimDomain) -> None:
    running.pm_suspend()
    assert state_of(running) is DomainState.PMSUSPENDED
    with pytest.raises(InvalidOperation, match="pmsuspended"):
        running.suspend()
    with pytest.raises(InvalidOperation, match="pmsuspended"):
        running.shutdown()
    running.pm_wakeup()
    assert stage.moments() == [Moment.PMSUSPENDED_MEMORY, Moment.STARTED_WAKEUP]
    with pytest.raises(InvalidOperation, match="not pmsuspended"):
        running.pm_wakeup()


VERBS: list[Callable[[SimDomain], object]] = [
    SimDomain.destroy,
    SimDomain.shutdown,
    SimDomain.reboot,
    SimDomain.reset,
    SimDomain.suspend,
    SimDomain.resume,
    SimDomain.managed_save,
    lambda domain: domain.save("/x"),
    SimDomain.crash,
    SimDomain.kill_emulator,
    SimDomain.io_error,
    SimDomain.pm_suspend,
    SimDomain.migrate_away,
    SimDomain.fail_migration,
]


@pytest.mark.parametrize("verb", VERBS)
def test_verb_on_an_inactive_domain_is_refused_and_tells_nothing(
    stage: Stage, off: SimDomain, verb: Callable[[SimDomain], object]
) -> None:
    with pytest.raises(InvalidOperation, match="not running") as caught:
        verb(off)
    assert (caught.value.code, caught.value.domain, caught.value.driver) == (55, "vm1", "sim")
    assert caught.value.hint
    assert stage.moments() == []


# ---------------------------------------------------------------- save, restore


def test_managed_save_suspends_then_stops_and_start_restores(stage: Stage, running: SimDomain) -> None:
    running.managed_save().result()
    events = stage.link.events
    assert [type(event) for event in events[1:4]] == [MigrationIteration, MigrationIteration, JobCompleted]
    assert stage.moments() == [Moment.SUSPENDED_PAUSED, Moment.STOPPED_SAVED]
    assert shown(running) == (DomainState.SHUTOFF, ShutoffReason.SAVED)
    running.start()
    assert stage.moments() == [Moment.STARTED_RESTORED, Moment.RESUMED_FROM_SNAPSHOT]
    assert shown(running) == (DomainState.RUNNING, RunningReason.RESTORED)
    assert running.image is None


def test_managed_save_of_a_paused_domain_comes_back_paused(stage: Stage, running: SimDomain) -> None:
    running.suspend()
    stage.moments()
    running.managed_save().result()
    assert stage.moments() == [Moment.STOPPED_SAVED]
    running.start()
    assert stage.moments() == [Moment.STARTED_RESTORED, Moment.SUSPENDED_RESTORED]
    assert shown(running) == (DomainState.PAUSED, PausedReason.MIGRATION)


def test_managed_save_says_how_it_is_to_come_back(running: SimDomain) -> None:
    running.managed_save(paused=True).result()
    running.start()
    assert state_of(running) is DomainState.PAUSED
    running.managed_save(running=True).result()
    running.start()
    assert state_of(running) is DomainState.RUNNING


def test_force_boot_drops_the_image(stage: Stage, running: SimDomain) -> None:
    running.managed_save().result()
    stage.moments()
    running.start(force_boot=True)
    assert stage.moments() == [Moment.RESUMED_UNPAUSED, Moment.STARTED_BOOTED]
    assert running.image is None


def test_managed_save_remove_without_an_image_is_no_error(off: SimDomain) -> None:
    off.managed_save_remove()


def test_managed_save_of_a_transient_domain_is_refused(stage: Stage) -> None:
    with pytest.raises(InvalidOperation, match="transient"):
        transient(stage).managed_save()


def test_save_that_takes_a_while_reads_paused_for_save() -> None:
    stage = Stage(times=Times(save=2.0))
    domain = stage.world.add("vm1", running=True)
    stage.moments()
    job = domain.managed_save()
    assert shown(domain) == (DomainState.PAUSED, PausedReason.SAVE)
    assert stage.moments() == [Moment.SUSPENDED_PAUSED]
    assert job.due == stage.clock.now + 2.0
    stage.wait(2.0)
    job.result()
    assert domain.reason is ShutoffReason.SAVED


def test_save_that_is_overtaken_by_destroy_is_aborted() -> None:
    stage = Stage(times=Times(save=2.0))
    domain = stage.world.add("vm1", running=True)
    job = domain.managed_save()
    domain.destroy()
    stage.wait(2.0)
    with pytest.raises(Aborted):
        job.result()
    assert domain.image is None


def test_save_to_a_file_and_restore_of_a_transient_domain(stage: Stage) -> None:
    domain = transient(stage)
    domain.save("/images/vm3").result()
    assert "vm3" not in [each.name for each in stage.world.domains.values()]
    stage.moments()
    back = stage.world.restore("/images/vm3")
    assert (back.key, back.persistent, back.state) == (domain.key, False, DomainState.RUNNING)
    assert stage.moments() == [Moment.STARTED_RESTORED, Moment.RESUMED_FROM_SNAPSHOT]
    with pytest.raises(InvalidOperation, match="already active"):
        stage.world.restore("/images/vm3")
    with pytest.raises(NotFound):
        stage.world.restore("/images/none")


def test_restore_says_how_it_comes_back(stage: Stage, running: SimDomain) -> None:
    running.save("/x", paused=True).result()
    assert stage.world.restore("/x", running=True).state is DomainState.RUNNING
    running.destroy()
    assert stage.world.restore("/x", paused=True).state is DomainState.PAUSED


def test_save_without_a_path_is_refused(running: SimDomain) -> None:
    with pytest.raises(InvalidArgument):
        running.save("")
    assert state_of(running) is DomainState.RUNNING


# ---------------------------------------------------------------- configuration


def test_autostart_tells_nothing_and_needs_a_definition(stage: Stage, off: SimDomain) -> None:
    off.set_autostart(True)
    assert off.autostart is True
    assert stage.moments() == []
    with pytest.raises(InvalidOperation, match="transient"):
        transient(stage).set_autostart(True)


def test_rename_tells_both_halves_with_their_names(stage: Stage, off: SimDomain) -> None:
    key = off.key
    off.rename("new")
    events = [event for event in stage.link.events if isinstance(event, WorldEvent)]
    assert [(event.moment, event.name) for event in events] == [
        (Moment.UNDEFINED_RENAMED, "vm1"),
        (Moment.DEFINED_RENAMED, "new"),
    ]
    assert stage.world.domain("new").key == key


@pytest.mark.parametrize("name", ["", "a/b"])
def test_rename_to_an_unusable_name_is_refused(off: SimDomain, name: str) -> None:
    with pytest.raises(InvalidArgument):
        off.rename(name)


def test_rename_is_refused_where_libvirt_refuses(stage: Stage, off: SimDomain, running: SimDomain) -> None:
    with pytest.raises(AlreadyExists):
        off.rename("vm2")
    with pytest.raises(InvalidOperation, match="active"):
        running.rename("new")
    running.managed_save().result()
    with pytest.raises(InvalidOperation, match="managed saved"):
        running.rename("new")


def test_undefine_of_an_inactive_domain_forgets_it(stage: Stage, off: SimDomain) -> None:
    off.undefine()
    assert stage.moments() == [Moment.UNDEFINED_REMOVED]
    assert stage.world.domains == {}


def test_undefine_of_a_running_domain_makes_it_transient(stage: Stage, running: SimDomain) -> None:
    running.undefine()
    assert stage.moments() == [Moment.UNDEFINED_REMOVED]
    assert (running.active, running.persistent) == (True, False)
    with pytest.raises(InvalidOperation, match="transient"):
        running.undefine()
    running.destroy()
    assert stage.world.domains == {}


def test_undefine_with_a_managed_save_image_must_be_asked_for(stage: Stage, running: SimDomain) -> None:
    running.managed_save().result()
    with pytest.raises(InvalidOperation, match="managed save"):
        running.undefine()
    running.undefine(managed_save=True)
    assert stage.world.domains == {}


# ---------------------------------------------------------------- by itself


def test_crash_destroys_as_a_rule(stage: Stage, running: SimDomain) -> None:
    running.crash()
    assert stage.moments() == [Moment.CRASHED_PANICKED, Moment.STOPPED_CRASHED]
    assert shown(running) == (DomainState.SHUTOFF, ShutoffReason.CRASHED)


def test_crash_may_be_told_as_a_pause_first(stage: Stage, running: SimDomain) -> None:
    running.crash(told_paused=True)
    assert stage.moments() == [Moment.SUSPENDED_PAUSED, Moment.CRASHED_PANICKED, Moment.STOPPED_CRASHED]


def test_crash_with_restart_boots_again_in_its_process(stage: Stage) -> None:
    domain = stage.world.add("vm3", running=True, config=Config(restart=True))
    stage.moments()
    domain.crash()
    told = stage.moments()
    assert told == [Moment.CRASHED_PANICKED, Moment.REBOOT, Moment.RESUMED_UNPAUSED, Moment.REBOOT, Moment.REBOOT]
    assert shown(domain) == (DomainState.RUNNING, RunningReason.CRASHED)
    assert (domain.id, domain.boots) == (1, 2)


def test_crash_with_preserve_stays_active(stage: Stage) -> None:
    domain = stage.world.add("vm1", running=True, config=Config(preserve=True))
    stage.moments()
    domain.crash()
    assert stage.moments() == [Moment.CRASHED_PANICKED]
    assert shown(domain) == (DomainState.CRASHED, CrashedReason.PANICKED)
    assert domain.active
    with pytest.raises(InvalidOperation):
        domain.suspend()


def test_killed_emulator_reads_running_until_it_is_noticed(stage: Stage, running: SimDomain) -> None:
    running.kill_emulator()
    assert stage.moments() == [Moment.CONTROL_ERROR]
    assert state_of(running) is DomainState.RUNNING
    stage.wait(stage.world.times.death)
    assert stage.moments() == [Moment.STOPPED_FAILED]
    assert shown(running) == (DomainState.SHUTOFF, ShutoffReason.CRASHED)


def test_killed_emulator_told_first_still_reads_running(stage: Stage, running: SimDomain) -> None:
    running.kill_emulator(told_first=True)
    assert stage.moments() == [Moment.CONTROL_ERROR, Moment.STOPPED_FAILED]
    assert state_of(running) is DomainState.RUNNING
    stage.wait(stage.world.times.death)
    assert stage.moments() == []
    assert state_of(running) is DomainState.SHUTOFF


def test_nothing_more_happens_to_a_domain_whose_end_was_told(running: SimDomain) -> None:
    running.kill_emulator(told_first=True)
    for act in (running.suspend, running.pm_suspend, running.destroy):
        with pytest.raises(InvalidOperation):
            act()
    running.guest_shutdown()
    running.guest_reboot()
    assert state_of(running) is DomainState.RUNNING


def test_io_error_pauses_and_tells_of_the_disk(stage: Stage, running: SimDomain) -> None:
    running.io_error()
    assert shown(running) == (DomainState.PAUSED, PausedReason.IOERROR)
    assert isinstance(stage.link.events[-2], IOError)
    assert stage.moments()[-1] is Moment.SUSPENDED_IOERROR


def test_migration_away_and_back_in(stage: Stage, running: SimDomain) -> None:
    image = running.migrate_away()
    assert stage.moments() == [Moment.SUSPENDED_MIGRATED, Moment.STOPPED_MIGRATED]
    assert stage.world.domains == {}
    back = stage.world.migrate_in(image)
    assert stage.moments() == [Moment.STARTED_MIGRATED, Moment.DEFINED_ADDED, Moment.RESUMED_MIGRATED]
    assert (back.key, back.persistent) == (running.key, True)
    with pytest.raises(AlreadyExists):
        stage.world.migrate_in(image)


def test_migration_away_may_leave_the_definition(stage: Stage, running: SimDomain) -> None:
    running.suspend()
    image = running.migrate_away(undefine=False)
    assert shown(running) == (DomainState.SHUTOFF, ShutoffReason.MIGRATED)
    stage.moments()
    stage.world.migrate_in(image)
    assert stage.moments() == [Moment.STARTED_MIGRATED, Moment.SUSPENDED_PAUSED]
    assert state_of(running) is DomainState.PAUSED


def test_migration_of_a_transient_domain_leaves_nothing(stage: Stage) -> None:
    image = transient(stage).migrate_away()
    assert stage.moments() == [Moment.SUSPENDED_MIGRATED, Moment.STOPPED_MIGRATED]
    assert stage.world.migrate_in(image, persistent=False).persistent is False


def test_migration_that_fails_goes_on_here(stage: Stage, running: SimDomain) -> None:
    running.fail_migration()
    assert stage.moments() == [Moment.SUSPENDED_MIGRATED, Moment.RESUMED_MIGRATED]
    assert shown(running) == (DomainState.RUNNING, RunningReason.MIGRATION_CANCELED)


def test_migration_of_a_paused_domain_that_fails_leaves_it_paused(stage: Stage, running: SimDomain) -> None:
    running.suspend()
    stage.moments()
    running.fail_migration()
    assert stage.moments() == []
    assert shown(running) == (DomainState.PAUSED, PausedReason.USER)


# ---------------------------------------------------------------- cpu time


def test_cpu_time_counts_running_time_of_this_incarnation(stage: Stage, running: SimDomain) -> None:
    running.load = 0.5
    stage.wait(2)
    assert running.cpu_time_ns == 2 * running.config.vcpus * 0.5 * 1e9
    running.suspend()
    before = running.cpu_time_ns
    stage.wait(2)
    assert running.cpu_time_ns == before
    running.destroy()
    running.start()
    assert running.cpu_time_ns == 0


def test_repr_says_what_it_is(running: SimDomain) -> None:
    assert repr(running) == "<SimDomain vm2 RUNNING BOOTED id=1>"
    assert str(running.uuid).count("-") == 4
