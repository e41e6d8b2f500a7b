"""One monitor's machine: every order that a real QEMU showed, and what no recording shows."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from avirt.drivers.qemu.events import EVENTS
from avirt.drivers.qemu.identity import identity
from avirt.drivers.qemu.observe import Monitor, Outcome, Phase, Step
from avirt.drivers.qemu.reasons import Work
from avirt.drivers.qemu.states import RunState, ShutdownCause, meaning
from avirt.model.change import Origin
from avirt.model.observation import Item, Observation, Overrun, ReadFailed, Seen, Signal
from avirt.model.state import (
    DomainState,
    NormalState,
    PausedReason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)
from tests.drivers.qemu.words import MARKER, PID, PLACE, WHO, said, told


def seen(step: Step, index: int = -1) -> Observation:
    item = step.items[index]
    assert isinstance(item, Seen)
    return item.observation


# ------------------------------------------------------------ a monitor by hand


def live(status: str = "running", *, running: bool | None = True, work: Work | None = None) -> Monitor:
    """A monitor whose first reply was this."""
    monitor = Monitor(PLACE)
    monitor.work = work
    monitor.opened()
    monitor.identified(WHO, PID, MARKER, asked=0)
    monitor.status(status, running, asked=0, now=0.0)
    return monitor


def send(monitor: Monitor, event: str, now: float = 10.0, **data: object) -> list[str]:
    members = {name.replace("_", "-"): value for name, value in data.items()}
    return told(monitor.event(event, members, asked=7, now=now).items)


def read(monitor: Monitor, status: str, running: bool | None = False, now: float = 10.0) -> list[str]:
    return told(monitor.status(status, running, asked=8, now=now).items)


def due(monitor: Monitor) -> float | None:
    return monitor.due


def phase(monitor: Monitor) -> Phase:
    return monitor.phase


def died(monitor: Monitor) -> list[str]:
    """The connection ends, and the process with it."""
    step = monitor.eof(asked=9)
    assert step.reconnect
    assert phase(monitor) is Phase.CUT
    return told(step.items) + told(monitor.reconnected(Outcome.REFUSED, alive=None, asked=9).items)


def test_observation_of_a_read_has_id_marker_and_qemus_words() -> None:
    """The pid, and what changes at every boot."""
    monitor = Monitor(PLACE, persistent=True)
    assert monitor.opened() == Step()
    assert monitor.identified(WHO, PID, MARKER, asked=3).ask
    read = seen(monitor.status("paused", False, asked=4, now=1.0, origin=Origin.LIST))
    assert (read.key, read.name, read.id, read.marker, read.active) == (WHO.key, "web1", PID, MARKER, True)
    assert read.native == {"status": "paused", "running": 0}
    assert (read.origin, read.asked, read.signal, read.persistent) == (Origin.LIST, 4, None, True)
    assert seen(monitor.status("paused", None, asked=5, now=2.0)).native == {"status": "paused"}


def test_observation_of_an_event_has_its_count_and_its_words() -> None:
    """Who did it, and why."""
    monitor = live()
    down = seen(monitor.event("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}, asked=12, now=1.0))
    assert (down.origin, down.asked, down.signal) == (Origin.EVENT, 12, Signal.SHUTDOWN)
    assert down.native == {"event": "SHUTDOWN", "type": "guest", "detail": "guest-shutdown"}
    off = seen(monitor.eof(asked=13))
    assert (off.signal, off.active, off.id, off.marker) == (Signal.STOPPED, False, PID, None)
    assert (off.cause, off.asked) == (down.cause, 13)
    assert phase(monitor) is Phase.OFF


def test_observation_of_a_domain_without_a_uuid_says_so() -> None:
    """In reads and events alike."""
    monitor = Monitor(PLACE)
    monitor.opened()
    monitor.identified(identity(PLACE, None, None), None, None, asked=0)
    assert seen(monitor.status("running", True, asked=0, now=0.0)).native["synthetic"] == 1
    reset = seen(monitor.event("RESET", {}, asked=1, now=1.0))
    assert (reset.native["synthetic"], reset.id, reset.marker) == (1, None, None)


# ------------------------------------------------------------ before the first reply


def opening() -> Monitor:
    monitor = Monitor(PLACE)
    monitor.opened()
    monitor.identified(WHO, PID, MARKER, asked=0)
    return monitor


def test_events_before_the_first_reply_are_in_it_and_typed_ones_follow() -> None:
    """STOP, RESUME and RESET tell nothing any more; the typed event comes once its domain was seen."""
    monitor = opening()
    for event in ("STOP", "RESUME", "RESET", "BALLOON_CHANGE", "STOP"):
        assert send(monitor, event, actual=1024) == []
    step = monitor.status("paused", False, asked=8, now=10.0)
    assert told(step.items) == ["= PAUSED/USER", "+BalloonChange"]
    assert not step.ask
    assert due(monitor) is None


def test_events_before_the_first_reply_say_why() -> None:
    """The button was pressed; or the domain was off before."""
    monitor = opening()
    send(monitor, "POWERDOWN")
    assert read(monitor, "running", True) == ["= SHUTDOWN/USER stopping"]
    monitor = opening()
    send(monitor, "POWERDOWN")
    assert read(monitor, "paused") == ["= PAUSED/USER"]
    assert send(monitor, "RESUME") == ["RESUMED RUNNING/UNPAUSED"]
    monitor = opening()
    send(monitor, "SHUTDOWN", guest=True, reason="guest-shutdown")
    send(monitor, "STOP")
    read(monitor, "shutdown")
    send(monitor, "SHUTDOWN", guest=False, reason="host-qmp-quit")
    assert told(monitor.eof(asked=9).items) == ["STOPPED SHUTOFF/SHUTDOWN"]


def test_resume_before_the_first_reply_has_no_reason() -> None:
    """It may have booted, or not: nobody saw where it was."""
    monitor = opening()
    send(monitor, "RESUME")
    assert read(monitor, "running", True) == ["= RUNNING/UNKNOWN"]


def test_end_before_the_first_reply_is_told_with_its_reason() -> None:
    """And with the typed events that came before it."""
    monitor = opening()
    send(monitor, "SUSPEND_DISK")
    send(monitor, "SHUTDOWN", guest=True, reason="guest-shutdown")
    assert told(monitor.eof(asked=9).items) == ["+PMSuspendDisk", "STOPPED SHUTOFF/SHUTDOWN"]


def test_end_before_anybody_said_who_it_is_tells_nothing() -> None:
    """There is nothing to tell it of."""
    monitor = Monitor(PLACE)
    monitor.opened()
    send(monitor, "SUSPEND")
    assert died(monitor) == []
    assert phase(monitor) is Phase.OFF
    monitor.opened()
    step = monitor.eof(asked=1)
    assert step.reconnect
    assert monitor.reconnected(Outcome.NO_GREETING, alive=None, asked=1) == Step()
    assert phase(monitor) is Phase.LOST


def test_events_before_the_first_reply_are_bounded() -> None:
    """What does not fit is said."""
    monitor = opening()
    for _ in range(1_003):
        send(monitor, "BALLOON_CHANGE")
    items = monitor.status("running", True, asked=8, now=10.0).items
    assert len(items) == 1_002
    assert isinstance(items[-1], Overrun)
    assert "3 events" in items[-1].why
    assert told(monitor.status("running", True, asked=9, now=11.0).items) == ["= RUNNING/UNKNOWN"]


def test_what_comes_while_nothing_is_connected_is_nothing() -> None:
    """Late words of a connection that is over."""
    monitor = Monitor(PLACE)
    assert send(monitor, "STOP") == []
    assert read(monitor, "running", True) == []
    assert phase(monitor) is Phase.CLOSED


# ------------------------------------------------------------ STOP and its reasons


def test_stop_without_a_reason_is_held_back_until_the_reply() -> None:
    """One Seen with the reason, counted as STOP was; then the read."""
    monitor = live()
    step = monitor.event("STOP", {}, asked=7, now=10.0)
    assert (step.items, step.ask, due(monitor)) == ((), True, 10.25)
    step = monitor.status("io-error", False, asked=8, now=10.1)
    assert told(step.items) == ["SUSPENDED PAUSED/IOERROR", "= PAUSED/IOERROR"]
    assert (seen(step, 0).asked, seen(step, 1).asked) == (7, 8)
    assert due(monitor) is None


def test_stop_that_nobody_explains_is_told_in_time() -> None:
    """Without a reason; the read brings it later. Not a moment before."""
    monitor = live()
    send(monitor, "STOP")
    assert told(monitor.wake(10.2).items) == []
    assert told(monitor.wake(10.25).items) == ["SUSPENDED PAUSED/UNKNOWN"]
    assert read(monitor, "paused") == ["= PAUSED/USER"]


def test_event_that_becomes_nothing_is_nothing() -> None:
    """A part of a device that goes; a name nobody knew."""
    assert send(live(), "DEVICE_DELETED", path="/machine/peripheral/n/virtio-backend") == []
    assert send(live(), "FROM_THE_FUTURE") == []


def test_nothing_overtakes_a_stop() -> None:
    """RESUME, a typed event, the end, a reply that shows it is over."""
    monitor = live()
    send(monitor, "STOP")
    assert send(monitor, "RESUME") == ["SUSPENDED PAUSED/UNKNOWN", "RESUMED RUNNING/UNPAUSED"]
    send(monitor, "STOP")
    assert send(monitor, "BALLOON_CHANGE") == []
    assert read(monitor, "paused") == ["SUSPENDED PAUSED/USER", "+BalloonChange", "= PAUSED/USER"]
    monitor = live()
    send(monitor, "STOP")
    assert read(monitor, "running", True) == ["SUSPENDED PAUSED/UNKNOWN", "= RUNNING/UNKNOWN"]
    send(monitor, "STOP")
    assert died(monitor) == ["SUSPENDED PAUSED/UNKNOWN", "STOPPED SHUTOFF/CRASHED"]


@pytest.mark.parametrize(
    ("event", "data", "expected"),
    [
        ("WATCHDOG", {"action": "pause"}, "SUSPENDED PAUSED/WATCHDOG"),
        ("BLOCK_IO_ERROR", {"action": "stop"}, "SUSPENDED PAUSED/IOERROR"),
    ],
)
def test_stop_is_for_what_was_said_right_before(event: str, data: dict[str, Any], expected: str) -> None:
    """Told at once, once; not for what is a second old, nor for what came while it was held."""
    monitor = live()
    send(monitor, event, **data)
    assert send(monitor, "STOP") == [expected]
    send(monitor, event, **data)  # throttled: comes late
    send(monitor, "RESUME")
    assert send(monitor, "STOP") == []
    read(monitor, "paused")
    send(monitor, "RESUME")
    send(monitor, event, now=10.0, **data)
    assert send(monitor, "STOP", now=11.0) == []


@pytest.mark.parametrize(("event", "action"), [("WATCHDOG", "reset"), ("BLOCK_IO_ERROR", "report")])
def test_stop_is_not_for_what_stops_nothing(event: str, action: str) -> None:
    """Another action."""
    monitor = live()
    send(monitor, event, action=action)
    assert send(monitor, "STOP") == []


@pytest.mark.parametrize(
    ("status", "after"),
    [
        ("pre-switchover", "SUSPENDED PAUSED/MIGRATION migrating"),
        ("device", "SUSPENDED PAUSED/MIGRATION migrating"),
        ("completed", "SUSPENDED PAUSED/MIGRATION"),
    ],
)
def test_stop_is_for_the_migration_that_goes_on_behind_it(status: str, after: str) -> None:
    """MIGRATION(active) before it says nothing: anybody may pause a domain that migrates."""
    monitor = live()
    send(monitor, "MIGRATION", status="active")
    assert send(monitor, "STOP") == []
    assert send(monitor, "MIGRATION", status=status) == [after]


@pytest.mark.parametrize(
    ("work", "stopped", "status", "read_as"),
    [
        (Work.PAUSE, "PAUSED/USER", "paused", "PAUSED/USER"),
        (Work.SAVE, "PAUSED/SAVE saving", "paused", "PAUSED/SAVE saving"),
        (Work.SAVE, "PAUSED/SAVE saving", "finish-migrate", "PAUSED/SAVE saving"),
        (Work.SAVE, "PAUSED/SAVE saving", "postmigrate", "PAUSED/SAVE saving"),
        (Work.DUMP, "PAUSED/DUMP", "save-vm", "PAUSED/DUMP"),
        (Work.DUMP, "PAUSED/DUMP", "paused", "PAUSED/DUMP"),
        (Work.SNAPSHOT, "PAUSED/SNAPSHOT snapshotting", "save-vm", "PAUSED/SNAPSHOT snapshotting"),
        (Work.SNAPSHOT, "PAUSED/SNAPSHOT snapshotting", "paused", "PAUSED/SNAPSHOT snapshotting"),
        (Work.REVERT, "PAUSED/FROM_SNAPSHOT restoring", "paused", "PAUSED/USER"),
        (Work.MIGRATE, "PAUSED/MIGRATION migrating", "finish-migrate", "PAUSED/MIGRATION migrating"),
    ],
)
def test_stop_of_our_own_work_has_its_reason(work: Work, stopped: str, status: str, read_as: str) -> None:
    """Told at once, and read so while the work goes on."""
    monitor = live(work=work)
    assert send(monitor, "STOP") == [f"SUSPENDED {stopped}"]
    assert read(monitor, status) == [f"= {read_as}"]


def test_stop_in_work_that_stops_nothing_is_held_back() -> None:
    """A restore does not pause."""
    assert send(live(work=Work.RESTORE), "STOP") == []


@pytest.mark.parametrize(
    ("status", "work", "reason"),
    [
        ("paused", None, RunningReason.UNPAUSED),
        ("prelaunch", None, RunningReason.BOOTED),
        ("inmigrate", None, RunningReason.MIGRATED),
        ("inmigrate", Work.RESTORE, RunningReason.RESTORED),
        ("finish-migrate", None, RunningReason.MIGRATION_CANCELED),
        ("finish-migrate", Work.SAVE, RunningReason.SAVE_CANCELED),
        ("paused", Work.SAVE, RunningReason.SAVE_CANCELED),
        ("postmigrate", None, RunningReason.UNPAUSED),
        ("postmigrate", Work.SAVE, RunningReason.SAVE_CANCELED),
        ("restore-vm", None, RunningReason.FROM_SNAPSHOT),
        ("save-vm", None, RunningReason.UNPAUSED),
        ("guest-panicked", None, RunningReason.CRASHED),
        ("internal-error", None, RunningReason.CRASHED),
        ("io-error", None, RunningReason.UNPAUSED),
        ("watchdog", None, RunningReason.UNPAUSED),
    ],
)
def test_resume_has_its_reason_from_where_it_was(status: str, work: Work | None, reason: RunningReason) -> None:
    """And a read of "running" keeps it."""
    monitor = live(status, running=False, work=work)
    assert send(monitor, "RESUME") == [f"RESUMED RUNNING/{reason.name}"]
    assert read(monitor, "running", True) == [f"= RUNNING/{reason.name}"]


# ------------------------------------------------------------ POWERDOWN


def test_powerdown_shows_the_way_down_for_a_while_whatever_is_read() -> None:
    """A deaf guest: "running" is believed after a minute, for the reason it ran before."""
    monitor = live("prelaunch", running=False)
    send(monitor, "RESUME")
    assert send(monitor, "POWERDOWN") == ["SHUTDOWN SHUTDOWN/USER stopping"]
    assert due(monitor) == 70.0
    assert read(monitor, "running", True, now=69.0) == ["= SHUTDOWN/USER stopping"]
    assert monitor.wake(69.9) == Step()
    assert monitor.wake(70.0) == Step(ask=True)
    assert due(monitor) is None
    assert read(monitor, "running", True, now=70.1) == ["= RUNNING/BOOTED"]


def test_powerdown_is_over_once_a_late_reply_says_running() -> None:
    """Even where nobody called `wake`."""
    monitor = live()
    send(monitor, "POWERDOWN")
    assert read(monitor, "running", True, now=70.0) == ["= RUNNING/UNKNOWN"]
    assert due(monitor) is None


def test_powerdown_again_is_told_once_and_waited_for_anew() -> None:
    """Repeated presses are harmless."""
    monitor = live()
    send(monitor, "POWERDOWN")
    assert send(monitor, "POWERDOWN", now=20.0) == []
    assert due(monitor) == 80.0


@pytest.mark.parametrize(
    ("event", "reason", "expected"),
    [
        ("SHUTDOWN", "guest-shutdown", []),  # it shows so already
        ("RESET", "guest-reset", ["REBOOTED RUNNING/BOOTED"]),
        ("SUSPEND", "", ["+PMSuspend", "PMSUSPENDED PMSUSPENDED/UNKNOWN"]),
        ("GUEST_PANICKED", "", ["CRASHED CRASHED/PANICKED"]),
    ],
)
def test_powerdown_is_answered(event: str, reason: str, expected: list[str]) -> None:
    """The guest did something: nothing is waited for any more."""
    monitor = live()
    send(monitor, "POWERDOWN")
    assert send(monitor, event, guest=True, reason=reason, action="pause") == expected
    assert due(monitor) is None


def test_powerdown_then_off_was_asked_for() -> None:
    """The process stays: SHUTDOWN(USER) is also what is read."""
    monitor = live()
    send(monitor, "POWERDOWN")
    send(monitor, "SHUTDOWN", guest=True, reason="guest-shutdown")
    send(monitor, "STOP")
    assert read(monitor, "shutdown") == ["= SHUTDOWN/USER stopping"]


def test_powerdown_of_a_held_domain_is_not_felt() -> None:
    """Nor is one before a pause, afterwards."""
    monitor = live("paused", running=False)
    assert send(monitor, "POWERDOWN") == []
    send(monitor, "RESUME")
    send(monitor, "POWERDOWN")
    assert send(monitor, "STOP") == []
    assert due(monitor) == 10.25
    assert send(monitor, "RESUME") == ["SUSPENDED PAUSED/UNKNOWN", "RESUMED RUNNING/UNPAUSED"]


# ------------------------------------------------------------ RESET


def test_resets_of_the_firmware_are_one_reboot() -> None:
    """Within a second of the one that was told, not of each other."""
    monitor = live()
    assert send(monitor, "RESET", now=10.0, guest=True, reason="guest-reset") == ["REBOOTED RUNNING/BOOTED"]
    for now in (10.1, 10.5, 10.99):
        step = monitor.event("RESET", {"guest": True, "reason": "guest-reset"}, asked=7, now=now)
        assert step == Step()
    assert send(monitor, "RESET", now=11.0, guest=True, reason="guest-reset") == ["REBOOTED RUNNING/BOOTED"]


def test_reset_by_command_is_always_told() -> None:
    """Somebody waits for it."""
    monitor = live()
    send(monitor, "RESET", now=10.0, guest=True, reason="guest-reset")
    assert send(monitor, "RESET", now=10.1, guest=False, reason="host-qmp-system-reset") == ["REBOOTED RUNNING/BOOTED"]


@pytest.mark.parametrize("reason", ["none", "subsystem-reset", "snapshot-load"])
def test_reset_that_is_no_reboot_tells_nothing(reason: str) -> None:
    """A part of the machine, or a snapshot."""
    assert send(live(), "RESET", guest=False, reason=reason) == []


def test_reset_of_an_old_qemu_has_no_reason() -> None:
    """And is a reboot."""
    assert send(live(), "RESET") == ["REBOOTED RUNNING/BOOTED"]


@pytest.mark.parametrize("status", ["paused", "shutdown", "suspended", "guest-panicked", "io-error", "prelaunch"])
def test_reset_while_held_is_prelaunch_and_the_firmwares_own_come_once_it_runs(status: str) -> None:
    """However much later that is."""
    monitor = live(status, running=False)
    assert send(monitor, "RESET", guest=False, reason="host-qmp-system-reset") == ["REBOOTED PAUSED/STARTING_UP"]
    assert send(monitor, "RESUME", now=100.0) == ["RESUMED RUNNING/BOOTED"]
    assert send(monitor, "RESET", now=100.9, guest=True, reason="guest-reset") == []
    assert send(monitor, "RESET", now=101.0, guest=True, reason="guest-reset") == ["REBOOTED RUNNING/BOOTED"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [("inmigrate", "PAUSED/MIGRATION migrating"), ("finish-migrate", "PAUSED/MIGRATION migrating")],
)
def test_reset_in_a_migration_leaves_its_state(status: str, expected: str) -> None:
    """softmmu/runstate.c, main_loop_should_exit."""
    assert send(live(status, running=False), "RESET") == [f"REBOOTED {expected}"]


def test_reset_that_is_not_told_of_a_held_domain_asks() -> None:
    """It may have become prelaunch."""
    monitor = live()
    send(monitor, "RESET", now=10.0)
    send(monitor, "STOP", now=10.1)
    read(monitor, "paused", now=10.2)
    assert monitor.event("RESET", {}, asked=7, now=10.3) == Step(ask=True)


def test_reset_overtakes_no_stop() -> None:
    """STOP and system_reset before any reply."""
    monitor = live()
    send(monitor, "STOP")
    assert send(monitor, "RESET") == ["SUSPENDED PAUSED/UNKNOWN", "REBOOTED PAUSED/STARTING_UP"]


# ------------------------------------------------------------ sleep


def test_wakeup_and_the_resets_of_its_firmware_are_no_reboot() -> None:
    """One by command is."""
    monitor = live("suspended", running=False)
    assert send(monitor, "WAKEUP") == ["+PMWakeup", "RESUMED RUNNING/WAKEUP"]
    assert send(monitor, "RESET", now=10.2, guest=True, reason="guest-reset") == []
    assert read(monitor, "running", True) == ["= RUNNING/WAKEUP"]
    assert send(monitor, "RESET", now=10.3, guest=False) == ["REBOOTED RUNNING/BOOTED"]


def test_sleeping_guest_that_is_held_goes_on_sleeping() -> None:
    """Newer QEMUs send STOP and RESUME for it; a read tells."""
    monitor = live()
    send(monitor, "SUSPEND")
    send(monitor, "STOP")
    assert read(monitor, "paused") == ["SUSPENDED PAUSED/USER", "= PAUSED/USER"]
    step = monitor.event("RESUME", {}, asked=7, now=11.0)
    assert (told(step.items), step.ask) == (["RESUMED PMSUSPENDED/UNKNOWN"], True)


# ------------------------------------------------------------ panic


def test_panic_that_stops_the_domain_is_a_crash_until_it_runs_again() -> None:
    """STOP adds nothing to it."""
    monitor = live()
    assert send(monitor, "GUEST_PANICKED", action="pause") == ["CRASHED CRASHED/PANICKED"]
    assert send(monitor, "STOP") == []
    assert due(monitor) is None
    assert send(monitor, "RESUME") == ["RESUMED RUNNING/CRASHED"]


def test_panic_that_ends_the_domain_is_a_crash_until_it_is_off() -> None:
    """SHUTDOWN adds nothing to it but the reason."""
    monitor = live()
    assert send(monitor, "GUEST_PANICKED", action="poweroff") == ["CRASHED CRASHED/PANICKED"]
    assert send(monitor, "SHUTDOWN", guest=True, reason="guest-panic") == []
    assert told(monitor.eof(asked=9).items) == ["STOPPED SHUTOFF/CRASHED"]


@pytest.mark.parametrize("event", ["GUEST_PANICKED", "GUEST_CRASHLOADED"])
def test_panic_that_lets_the_domain_run_is_why_it_runs_until_it_reboots(event: str) -> None:
    """As libvirt says of one that was resumed from a crash."""
    monitor = live()
    assert send(monitor, event, action="run") == ["CRASHED RUNNING/CRASHED"]
    assert read(monitor, "running", True) == ["= RUNNING/CRASHED"]
    assert send(monitor, "RESET", guest=True, reason="guest-reset") == ["REBOOTED RUNNING/BOOTED"]


def test_panic_of_an_unknown_action_is_read() -> None:
    """Nothing is concluded."""
    step = live().event("GUEST_PANICKED", {"action": "from-the-future"}, asked=7, now=10.0)
    assert step == Step(ask=True)


def test_panic_has_the_kind_that_the_guest_told() -> None:
    """With the action, for people."""
    panic = seen(live().event("GUEST_PANICKED", {"action": "pause", "info": {"type": "hyper-v"}}, asked=7, now=1.0))
    assert panic.native == {"event": "GUEST_PANICKED", "type": "hyper-v", "detail": "pause"}


def test_quit_of_a_domain_that_panicked_and_was_held_destroys_it() -> None:
    """Somebody did that; without it, it crashed."""
    monitor = live("guest-panicked", running=False)
    assert send(monitor, "SHUTDOWN", guest=False, reason="host-qmp-quit") == ["SHUTDOWN SHUTDOWN/UNKNOWN stopping"]
    assert told(monitor.eof(asked=9).items) == ["STOPPED SHUTOFF/DESTROYED"]


# ------------------------------------------------------------ states that pass, jobs, migration


@pytest.mark.parametrize("status", ["inmigrate", "finish-migrate", "restore-vm", "save-vm"])
def test_state_that_passes_without_a_word_is_read_again(status: str) -> None:
    """Until it is another."""
    monitor = live(status, running=False)
    assert due(monitor) == 2.0
    assert monitor.wake(1.9) == Step()
    assert monitor.wake(2.0) == Step(ask=True)
    assert due(monitor) is None
    read(monitor, "paused", now=2.1)
    assert due(monitor) is None
    read(monitor, status, now=2.2)
    send(monitor, "RESUME", now=2.3)
    assert due(monitor) is None


def test_revert_that_failed_is_not_under_way_for_ever() -> None:
    """QEMU stays in "restore-vm"; its job is over."""
    monitor = live()
    for status in ("created", "running"):
        send(monitor, "JOB_STATUS_CHANGE", id="j", status=status)
    send(monitor, "STOP")
    assert read(monitor, "restore-vm")[1:] == ["= PAUSED/FROM_SNAPSHOT restoring"]
    send(monitor, "JOB_STATUS_CHANGE", id="j", status="aborting")
    assert monitor.event("JOB_STATUS_CHANGE", {"id": "j", "status": "concluded"}, asked=7, now=10.0).ask
    assert read(monitor, "restore-vm") == ["= PAUSED/FROM_SNAPSHOT"]
    assert due(monitor) is None


def test_job_that_ends_asks_only_where_it_may_have_changed_something() -> None:
    """While a STOP is held back, or in a state that passes."""
    monitor = live()
    over = {"id": "j", "status": "null"}
    assert monitor.event("JOB_STATUS_CHANGE", over, asked=7, now=10.0) == Step()
    send(monitor, "STOP")
    assert monitor.event("JOB_STATUS_CHANGE", over, asked=7, now=10.0) == Step(ask=True)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_migration_that_is_over_asks(status: str) -> None:
    """Nothing else may tell."""
    assert live("paused", running=False).event("MIGRATION", {"status": status}, asked=7, now=10.0) == Step(ask=True)


@pytest.mark.parametrize(
    ("status", "completed", "work", "reason"),
    [
        ("postmigrate", False, None, ShutoffReason.MIGRATED),
        ("postmigrate", False, Work.SAVE, ShutoffReason.SAVED),
        ("finish-migrate", True, None, ShutoffReason.MIGRATED),
        ("finish-migrate", False, Work.MIGRATE, ShutoffReason.MIGRATED),
        ("finish-migrate", False, Work.SAVE, ShutoffReason.SAVED),
        ("finish-migrate", False, None, None),
        ("running", False, None, None),
    ],
)
@pytest.mark.parametrize("quit", [True, False])
def test_end_of_a_source_that_is_done_is_migrated_or_saved(
    status: str, completed: bool, work: Work | None, reason: ShutoffReason | None, quit: bool
) -> None:
    """By `quit`, or killed; else what it was."""
    monitor = live(status, running=False, work=work)
    if completed:
        send(monitor, "MIGRATION", status="completed")
    if quit:
        send(monitor, "SHUTDOWN", guest=False, reason="host-qmp-quit")
        ended = told(monitor.eof(asked=9).items)
    else:
        ended = died(monitor)
    expected = reason or (ShutoffReason.DESTROYED if quit else ShutoffReason.CRASHED)
    assert ended == [f"STOPPED SHUTOFF/{expected.name}"]


# ------------------------------------------------------------ the end


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"guest": True, "reason": "guest-shutdown"}, ShutoffReason.SHUTDOWN),
        ({"guest": True, "reason": "guest-reset"}, ShutoffReason.SHUTDOWN),
        ({"guest": False, "reason": "host-ui"}, ShutoffReason.SHUTDOWN),
        ({"guest": False, "reason": "host-qmp-quit"}, ShutoffReason.DESTROYED),
        ({"guest": False, "reason": "host-signal"}, ShutoffReason.DESTROYED),
        ({"guest": False, "reason": "host-error"}, ShutoffReason.CRASHED),
        ({"guest": True, "reason": "guest-panic"}, ShutoffReason.CRASHED),
        ({"guest": True, "reason": "from-the-future"}, ShutoffReason.UNKNOWN),
        ({"guest": True}, ShutoffReason.SHUTDOWN),
        ({"guest": False}, ShutoffReason.DESTROYED),
        ({}, ShutoffReason.UNKNOWN),
    ],
)
def test_end_behind_a_shutdown_has_its_reason(data: dict[str, Any], reason: ShutoffReason) -> None:
    """At once: nobody connects again."""
    monitor = live()
    send(monitor, "SHUTDOWN", **data)
    step = monitor.eof(asked=9)
    assert (told(step.items), step.reconnect) == ([f"STOPPED SHUTOFF/{reason.name}"], False)


def test_running_that_is_read_behind_a_shutdown_is_not_believed() -> None:
    """A process on its way out still answers."""
    monitor = live()
    send(monitor, "SHUTDOWN", guest=True, reason="guest-shutdown")
    assert read(monitor, "running", True) == ["= SHUTDOWN/UNKNOWN stopping"]
    assert told(monitor.eof(asked=9).items) == ["STOPPED SHUTOFF/SHUTDOWN"]


def test_end_of_a_process_that_stayed_is_made_sure_of_and_keeps_the_first_reason() -> None:
    """-no-shutdown: the connection may end alone. Found off, or seen going off."""
    monitor = live("shutdown", running=False)
    assert died(monitor) == ["STOPPED SHUTOFF/SHUTDOWN"]
    monitor = live()
    send(monitor, "SHUTDOWN", guest=True, reason="guest-panic")
    send(monitor, "STOP")
    assert died(monitor) == ["STOPPED SHUTOFF/CRASHED"]


def test_domain_that_ran_again_has_a_new_reason() -> None:
    """The first SHUTDOWN is of its last run."""
    monitor = live("shutdown", running=False)
    send(monitor, "RESET", guest=False, reason="host-qmp-system-reset")
    send(monitor, "RESUME")
    send(monitor, "SHUTDOWN", guest=False, reason="host-signal")
    assert told(monitor.eof(asked=9).items) == ["STOPPED SHUTOFF/DESTROYED"]


def test_watchdog_that_powers_off_ends_the_domain_without_a_shutdown() -> None:
    """QEMU exits at once: the guest hung, which is a crash."""
    monitor = live()
    assert send(monitor, "WATCHDOG", action="poweroff") == ["+Watchdog"]
    step = monitor.eof(asked=9)
    assert (told(step.items), step.reconnect) == (["STOPPED SHUTOFF/CRASHED"], False)
    assert seen(step).native == {"event": "WATCHDOG", "type": "", "detail": "poweroff"}


def test_domain_that_ran_again_was_not_asked_to_go_down() -> None:
    """Nor does its process stay for the last run's sake."""
    monitor = live()
    send(monitor, "POWERDOWN")
    send(monitor, "SHUTDOWN", guest=True, reason="guest-shutdown")
    send(monitor, "STOP")
    send(monitor, "RESET", guest=False, reason="host-qmp-system-reset")
    send(monitor, "RESUME")
    assert send(monitor, "SHUTDOWN", guest=True, reason="guest-shutdown") == ["SHUTDOWN SHUTDOWN/UNKNOWN stopping"]
    monitor = live("shutdown", running=False)
    send(monitor, "RESUME")
    send(monitor, "WATCHDOG", action="poweroff")
    assert not monitor.eof(asked=9).reconnect


def test_nothing_is_due_of_a_connection_that_ended() -> None:
    """Neither a read nor a fall-back."""
    for monitor in (live(), live("inmigrate", running=False)):
        send(monitor, "POWERDOWN")
        assert due(monitor) is not None
        monitor.eof(asked=9)
        assert due(monitor) is None


def test_what_one_connection_counted_is_not_the_nexts() -> None:
    """Events that did not fit, and jobs whose end nobody heard."""
    monitor = opening()
    for _ in range(1_001):
        send(monitor, "JOB_STATUS_CHANGE", id="j", status="running")
    monitor.eof(asked=9)
    monitor.opened()
    monitor.identified(WHO, PID, MARKER, asked=0)
    assert read(monitor, "restore-vm") == ["= PAUSED/FROM_SNAPSHOT restoring"]
    assert read(monitor, "restore-vm") == ["= PAUSED/FROM_SNAPSHOT"]


def test_watchdog_that_powers_off_keeps_an_earlier_reason() -> None:
    """The guest was off by then."""
    monitor = live("shutdown", running=False)
    send(monitor, "WATCHDOG", action="poweroff")
    assert died(monitor) == ["STOPPED SHUTOFF/SHUTDOWN"]


@pytest.mark.parametrize(
    ("outcome", "alive", "off"),
    [
        (Outcome.REFUSED, None, True),
        (Outcome.NO_SOCKET, None, True),
        (Outcome.NO_GREETING, None, False),
        (Outcome.FAILED, None, False),
        *((outcome, False, True) for outcome in Outcome),
        *((outcome, True, False) for outcome in Outcome),
    ],
)
@pytest.mark.parametrize("work", [None, Work.KILL])
def test_end_without_a_shutdown_is_what_one_attempt_to_connect_tells(
    outcome: Outcome, alive: bool | None, off: bool, work: Work | None
) -> None:
    """Dead: killed by us, or crashed. Alive, or nobody knows: stale, the state stays."""
    monitor = live(work=work)
    assert monitor.eof(asked=9) == Step(reconnect=True)
    step = monitor.reconnected(outcome, alive=alive, asked=9)
    if off:
        reason = "DESTROYED" if work else "CRASHED"
        assert told(step.items) == [f"STOPPED SHUTOFF/{reason}"]
        assert seen(step).native == {"event": "EOF", "type": "", "detail": outcome.name.lower()}
        assert phase(monitor) is Phase.OFF
    else:
        (failed,) = step.items
        assert isinstance(failed, ReadFailed)
        assert failed.key == WHO.key
        assert failed.why
        assert phase(monitor) is Phase.LOST


def test_end_of_a_domain_that_was_to_be_taken_in_is_a_failed_start() -> None:
    """QEMU exits when it can't read what comes in."""
    assert died(live("inmigrate", running=False)) == ["STOPPED SHUTOFF/FAILED"]


def test_work_ends_with_the_process() -> None:
    """The next one was not killed by us."""
    monitor = live(work=Work.KILL)
    died(monitor)
    assert monitor.work is None


def test_lost_monitor_is_stale_once_and_may_still_turn_out_dead() -> None:
    """Each further attempt is given in, too."""
    monitor = live()
    monitor.eof(asked=9)
    monitor.reconnected(Outcome.NO_GREETING, alive=True, asked=9)
    assert monitor.reconnected(Outcome.REFUSED, alive=True, asked=9) == Step()
    assert told(monitor.reconnected(Outcome.REFUSED, alive=False, asked=9).items) == ["STOPPED SHUTOFF/CRASHED"]


def test_lost_monitor_that_answers_again_goes_on_where_it_was() -> None:
    """The same process: what it runs for is still known."""
    monitor = live("prelaunch", running=False)
    send(monitor, "RESUME")
    monitor.eof(asked=9)
    monitor.reconnected(Outcome.NO_GREETING, alive=True, asked=9)
    monitor.opened()
    assert monitor.identified(WHO, PID, MARKER, asked=1) == Step(ask=True)
    assert read(monitor, "running", True) == ["= RUNNING/BOOTED"]
    assert phase(monitor) is Phase.LIVE


@pytest.mark.parametrize(("pid", "marker"), [(PID + 1, MARKER), (PID, MARKER + 1)])
def test_another_process_behind_the_same_monitor_ends_the_first(pid: int, marker: int) -> None:
    """A pid may be used again; its start time is another."""
    monitor = live()
    monitor.eof(asked=9)
    monitor.opened()
    step = monitor.identified(WHO, pid, marker, asked=1)
    assert (told(step.items), step.ask) == (["STOPPED SHUTOFF/CRASHED"], True)
    assert seen(step).id == PID
    first = seen(monitor.status("running", True, asked=2, now=20.0))
    assert (first.id, first.marker, said(first.status or NormalState(DomainState.NOSTATE, RunningReason.UNKNOWN))) == (
        pid,
        marker,
        "RUNNING/UNKNOWN",
    )


def test_monitor_of_a_domain_that_is_off_begins_anew() -> None:
    """With nothing of what was."""
    monitor = live(work=None)
    send(monitor, "RESET")
    send(monitor, "SHUTDOWN", guest=True, reason="guest-shutdown")
    monitor.eof(asked=9)
    assert send(monitor, "STOP") == []
    monitor.opened()
    assert told(monitor.identified(WHO, PID + 1, MARKER + 1, asked=1).items) == []
    assert read(monitor, "running", True) == ["= RUNNING/UNKNOWN"]
    assert send(monitor, "RESET", guest=True, reason="guest-reset") == ["REBOOTED RUNNING/BOOTED"]


# ------------------------------------------------------------ all together


@pytest.mark.parametrize(
    ("status", "running", "expected"),
    [
        ("from-the-future", True, NormalState(DomainState.RUNNING, RunningReason.UNKNOWN)),
        ("from-the-future", False, NormalState(DomainState.PAUSED, PausedReason.UNKNOWN)),
        ("shutdown", False, NormalState(DomainState.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING)),
    ],
)
def test_state_of_the_first_read_is_the_tables(status: str, running: bool, expected: NormalState) -> None:
    """With QEMU's word kept."""
    monitor = opening()
    first = seen(monitor.status(status, running, asked=0, now=0.0))
    assert (first.status, first.native["status"]) == (expected, status)


EVENT_NAMES = st.sampled_from(["BALLOON_CHANGE", "FROM_THE_FUTURE", *sorted(EVENTS)])
WORDS = ["pause", "run", "poweroff", "stop", "reset", "x", "completed", "device", "created", "null", *ShutdownCause]
DATA = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(WORDS),
        "reason": st.sampled_from(WORDS),
        "status": st.sampled_from(WORDS),
        "guest": st.booleans(),
        "id": st.just("j"),
        "info": st.none() | st.just({"type": 3}),
    },
)
WORKS = st.none() | st.sampled_from(Work)
INPUTS = st.one_of(
    st.tuples(st.just("event"), EVENT_NAMES, DATA),
    st.tuples(st.just("status"), st.sampled_from([*RunState, "x"]), st.booleans()),
    st.tuples(st.just("work"), WORKS, st.none()),
    st.tuples(st.just("eof"), st.sampled_from(Outcome), st.sampled_from([True, False, None])),
)


@given(st.lists(st.tuples(INPUTS, st.sampled_from([0.0, 0.01, 0.3, 1.0, 3.0, 70.0])), max_size=40))
def test_monitor_takes_anything_in_any_order(inputs: list[tuple[tuple[str, Any, Any], float]]) -> None:
    """Nothing fails, nothing stays due, only STOPPED is off; a read of a held domain is what the table says of it."""
    monitor, now, asked = opening(), 1.0, 0
    for (what, first, second), pause in inputs:
        now, asked, items = now + pause, asked + 1, list[Item]()
        items += monitor.wake(now).items
        at = due(monitor)
        assert at is None or at > now
        if what == "event":
            items += monitor.event(first, second, asked=asked, now=now).items
        elif what == "status":
            items += monitor.status(first, second, asked=asked, now=now).items
        elif what == "work":
            monitor.work = first
        else:
            items += monitor.eof(asked=asked).items
            if phase(monitor) is Phase.CUT:
                items += monitor.reconnected(first, alive=second, asked=asked).items
            monitor.opened()
            items += monitor.identified(WHO, PID + asked, MARKER, asked=asked).items
        for item in items:
            if isinstance(item, Seen):
                observation = item.observation
                assert observation.status is not None
                assert observation.active is (observation.status.state is not DomainState.SHUTOFF)
                assert observation.active is (observation.signal is not Signal.STOPPED)
        if what == "status" and monitor.work is None and first not in ("running", "shutdown", "restore-vm", "x"):
            assert [words for words in told(items) if words[0] == "="] == [f"= {said(meaning(first))}"]
