"""Every order in which a real QEMU tells things: the recordings, played to the machine of one monitor."""

from __future__ import annotations

import pytest

from avirt.drivers.qemu.observe import Monitor, Outcome, Step
from avirt.drivers.qemu.reasons import Work
from avirt.lifecycle import HostLifecycle, Now
from avirt.model.change import Origin, Rebooted
from avirt.model.observation import Item
from avirt.model.state import DomainState
from tests.drivers.qemu.golden import SCENES, Scene
from tests.drivers.qemu.words import MARKER, PID, PLACE, WHO, told


class Player:
    """Plays a recording to a monitor, each line at its time, with what is due in between."""

    def __init__(self, scene: Scene, work: Work | None = None) -> None:
        self.monitor = Monitor(PLACE)
        self.monitor.work = work
        self.scene = scene
        self.words: list[str] = []
        self.items: list[tuple[float, Item]] = []
        self.now = 0.0
        self.shown = ""
        self.asked = 0

    def take(self, step: Step) -> None:
        self.items += [(self.now, item) for item in step.items]
        for words in told(step.items):
            state = words.partition(" ")[2]
            if words.startswith("= ") and state == self.shown:
                continue  # a read that confirms
            self.shown = state or self.shown
            self.words.append(words)
        if step.reconnect:
            self.take(self.monitor.reconnected(Outcome.REFUSED, alive=False, asked=self.asked))

    def play(self) -> list[str]:
        monitor, queries = self.monitor, set[object]()
        for line in self.scene.lines:
            self.now = line.t
            while monitor.due is not None and monitor.due <= line.t:
                self.take(monitor.wake(monitor.due))
            if line.sent is not None and line.sent["execute"] == "query-status":
                queries.add(line.sent["id"])
            if line.closed and monitor.due is not None:
                self.take(monitor.wake(monitor.due))
            if line.eof:
                self.take(monitor.eof(asked=self.asked))
            got = line.got
            if got is None:
                continue
            self.asked += 1
            if "event" in got:
                self.take(monitor.event(got["event"], got.get("data", {}), asked=self.asked, now=line.t))
            elif got.get("id") in queries:
                self.status(got["return"]["status"], got["return"]["running"], line.t)
            elif got.get("id") == 1:  # negotiated: the driver asks who it is and how it is, all at once
                self.take(monitor.opened())
                self.take(monitor.identified(WHO, PID, MARKER, asked=self.asked))
                first = "inmigrate" if "-incoming" in self.scene.args else "running"
                self.status("prelaunch" if "-S" in self.scene.args and first == "running" else first, False, line.t)
        return self.words

    def status(self, status: str, running: bool, now: float) -> None:
        self.take(self.monitor.status(status, running, asked=self.asked, now=now))


def story(name: str, work: Work | None = None) -> list[str]:
    return Player(SCENES[name], work).play()


BEGIN = ["= PAUSED/STARTING_UP", "RESUMED RUNNING/BOOTED"]
DOWN = "SHUTDOWN SHUTDOWN/UNKNOWN stopping"

STORIES: dict[str, list[str]] = {
    # reference/drivers.md §1, "Orders seen live", row by row
    "cont_stop": [*BEGIN, "SUSPENDED PAUSED/USER"],
    "poweroff": [*BEGIN, DOWN, "STOPPED SHUTOFF/SHUTDOWN"],
    "no_shutdown": [*BEGIN, DOWN, "REBOOTED PAUSED/STARTING_UP", DOWN, "STOPPED SHUTOFF/SHUTDOWN"],
    "shutdown_pause": [*BEGIN, DOWN, "REBOOTED PAUSED/STARTING_UP", DOWN, "STOPPED SHUTOFF/SHUTDOWN"],
    "quit": [*BEGIN, DOWN, "STOPPED SHUTOFF/DESTROYED"],
    "sigterm": [*BEGIN, DOWN, "STOPPED SHUTOFF/DESTROYED"],
    "reset_running": [*BEGIN, "REBOOTED RUNNING/BOOTED"],
    "reset_paused": [*BEGIN, "SUSPENDED PAUSED/USER", "REBOOTED PAUSED/STARTING_UP", "RESUMED RUNNING/BOOTED"],
    "s3": [
        *BEGIN,
        *("+PMSuspend", "PMSUSPENDED PMSUSPENDED/UNKNOWN"),  # stop and cont, then: nothing
        *("+PMWakeup", "RESUMED RUNNING/WAKEUP"),  # two RESETs, then: nothing
        *("+PMSuspend", "PMSUSPENDED PMSUSPENDED/UNKNOWN"),
    ],
    "wakeup_unsupported": BEGIN,
    "s4": [*BEGIN, "+PMSuspendDisk", DOWN, "STOPPED SHUTOFF/SHUTDOWN"],
    "panic": [*BEGIN, "CRASHED CRASHED/PANICKED", "STOPPED SHUTOFF/CRASHED"],
    "panic_pause": [*BEGIN, "CRASHED CRASHED/PANICKED", "RESUMED RUNNING/CRASHED"],
    "panic_none": [*BEGIN, "CRASHED RUNNING/CRASHED"],
    "crashloaded": [*BEGIN, "CRASHED RUNNING/CRASHED"],
    "no_reboot": [*BEGIN, DOWN, "STOPPED SHUTOFF/SHUTDOWN"],
    "powerdown": [*BEGIN, "SHUTDOWN SHUTDOWN/USER stopping"],
    # and what no row of it says
    "started_running": ["= RUNNING/UNKNOWN"],
    "sigkill": [*BEGIN, "STOPPED SHUTOFF/CRASHED"],
    "no_shutdown_again": [
        *(*BEGIN, DOWN, "REBOOTED PAUSED/STARTING_UP", "RESUMED RUNNING/BOOTED"),  # two RESETs, then: nothing
        *(DOWN, "STOPPED SHUTOFF/SHUTDOWN"),
    ],
    "no_shutdown_quit_running": [*BEGIN, DOWN, "STOPPED SHUTOFF/DESTROYED"],
    "no_shutdown_sigterm": [*BEGIN, DOWN, "STOPPED SHUTOFF/DESTROYED"],
    "set_action": [*BEGIN, DOWN, "STOPPED SHUTOFF/SHUTDOWN"],
    "no_reboot_by_command": [*BEGIN, DOWN, "STOPPED SHUTOFF/DESTROYED"],
    "triple_fault": [*BEGIN, "REBOOTED RUNNING/BOOTED", "SUSPENDED PAUSED/UNKNOWN"],
    "s3_reset": [*BEGIN, "+PMSuspend", "PMSUSPENDED PMSUSPENDED/UNKNOWN", "REBOOTED PAUSED/STARTING_UP"],
    "s3_quit": [*BEGIN, "+PMSuspend", "PMSUSPENDED PMSUSPENDED/UNKNOWN", DOWN, "STOPPED SHUTOFF/DESTROYED"],
    "wakeup_running": BEGIN,
    "panic_no_shutdown": [*BEGIN, "CRASHED CRASHED/PANICKED", "RESUMED RUNNING/CRASHED"],  # it pauses instead
    "panic_exit_failure": [*BEGIN, "CRASHED CRASHED/PANICKED", "STOPPED SHUTOFF/CRASHED"],
    "panic_pause_reset": [*BEGIN, "CRASHED CRASHED/PANICKED", "REBOOTED PAUSED/STARTING_UP", "RESUMED RUNNING/BOOTED"],
    "powerdown_paused": [*BEGIN, "SUSPENDED PAUSED/USER", "RESUMED RUNNING/UNPAUSED"],
    "watchdog_pause": [*BEGIN, "+Watchdog", "SUSPENDED PAUSED/WATCHDOG", "RESUMED RUNNING/UNPAUSED"],
    "watchdog_reset": [*BEGIN, "+Watchdog", "REBOOTED RUNNING/BOOTED"],
    "watchdog_shutdown": [*BEGIN, "+Watchdog", "SHUTDOWN SHUTDOWN/USER stopping"],  # POWERDOWN
    "watchdog_poweroff": [*BEGIN, "+Watchdog", "STOPPED SHUTOFF/CRASHED"],  # without a SHUTDOWN
    "watchdog_debug": [*BEGIN, "+Watchdog"],
    "watchdog_none": [*BEGIN, "+Watchdog"],
    "watchdog_inject_nmi": [*BEGIN, "+Watchdog"],
    "io_error": [
        *BEGIN,
        *("+IOError", "SUSPENDED PAUSED/IOERROR", "RESUMED RUNNING/UNPAUSED", "+IOError", "SUSPENDED PAUSED/IOERROR"),
    ],
    "io_error_report": [*BEGIN, "+IOError"],
    "migrate_out": [
        *(*BEGIN, "+MigrationIteration", "SUSPENDED PAUSED/MIGRATION", "+MigrationIteration"),
        *("RESUMED RUNNING/UNPAUSED", DOWN, "STOPPED SHUTOFF/DESTROYED"),
    ],
    "migrate_out_no_events": [  # finish-migrate, then postmigrate: no event tells
        *(*BEGIN, "SUSPENDED PAUSED/MIGRATION migrating", "= PAUSED/MIGRATION"),
        *(DOWN, "STOPPED SHUTOFF/MIGRATED"),
    ],
    "migrate_failed": [*BEGIN, "+MigrationIteration"],
    "migrate_paused": [*BEGIN, "SUSPENDED PAUSED/MIGRATION", "+MigrationIteration", "+MigrationIteration"],
    "migrate_in": ["= PAUSED/MIGRATION migrating", "RESUMED RUNNING/MIGRATED"],
    "migrate_in_paused": ["= PAUSED/MIGRATION migrating", "= PAUSED/USER", "RESUMED RUNNING/UNPAUSED"],
    "migrate_in_failed": ["= PAUSED/MIGRATION migrating", "STOPPED SHUTOFF/FAILED"],
    "savevm": [
        *(*BEGIN, "SUSPENDED PAUSED/UNKNOWN", "RESUMED RUNNING/UNPAUSED"),  # over before anybody could ask
        *("SUSPENDED PAUSED/UNKNOWN", "RESUMED RUNNING/UNPAUSED", "SUSPENDED PAUSED/USER"),
    ],
    "snapshot_job": [*BEGIN, *("SUSPENDED PAUSED/UNKNOWN", "RESUMED RUNNING/UNPAUSED") * 2],
    "snapshot_job_failed": [*BEGIN, "SUSPENDED PAUSED/UNKNOWN", "= PAUSED/FROM_SNAPSHOT"],  # and there it stays
    "dump": [*BEGIN, *("SUSPENDED PAUSED/UNKNOWN", "+JobCompleted", "RESUMED RUNNING/UNPAUSED") * 2],
    "device_del": [*BEGIN, "+DeviceRemoved"],
    "job_create": ["= PAUSED/STARTING_UP", *["+BlockJob"] * 5],
    "identity": ["= PAUSED/STARTING_UP"],
}


@pytest.mark.parametrize("name", STORIES)
def test_order_of_a_real_qemu_is_told(name: str) -> None:
    """What 7.2 sent, and what is told of it; a process that does not answer after the end is dead."""
    assert story(name) == STORIES[name]


def test_order_of_a_real_qemu_with_our_own_work_has_its_reasons() -> None:
    """The same recordings, had avirt done it."""
    dumped = ["SUSPENDED PAUSED/DUMP", "+JobCompleted", "RESUMED RUNNING/UNPAUSED"]
    assert story("dump", Work.DUMP) == [*BEGIN, *dumped * 2]
    saved = story("migrate_out_no_events", Work.SAVE)
    assert saved == [*BEGIN, "SUSPENDED PAUSED/SAVE saving", DOWN, "STOPPED SHUTOFF/SAVED"]
    assert story("migrate_in", Work.RESTORE) == ["= PAUSED/MIGRATION restoring", "RESUMED RUNNING/RESTORED"]
    assert story("sigkill", Work.KILL) == [*BEGIN, "STOPPED SHUTOFF/DESTROYED"]


@pytest.mark.parametrize("name", STORIES)
def test_order_of_a_real_qemu_leads_the_lifecycle_to_its_end_without_a_guess(name: str) -> None:
    """Every step is a legal one: no Change is inferred, and the record is what was told last."""
    player = Player(SCENES[name])
    player.play()
    lifecycle = HostLifecycle("h1")
    changes = [change for now, item in player.items for change in lifecycle.step(item, Now(now, now)).changes]
    assert Origin.INFERRED not in {change.origin for change in changes}
    record = lifecycle.records[WHO.key]
    assert f"{record.state.name}/{record.reason.name}" == player.shown.partition(" ")[0]
    assert record.id == (None if record.state is DomainState.SHUTOFF else PID)
    rebooted = sum(words.startswith("REBOOTED") for words in player.words)
    assert sum(isinstance(change, Rebooted) for change in changes) == rebooted
