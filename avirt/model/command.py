"""Verbs: one registry from which the API's defaults, the CLI and the HTTP service take their tables.

A verb has an options struct, a default deadline, a lane, the transition it begins and what is to be observed when it
has had its effect. Names are virsh's.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, auto
from typing import Final

import msgspec

from avirt.model.record import DomainRecord
from avirt.model.state import DomainState, ShutoffReason, Transition

__all__ = [
    "READ_TIMEOUT",
    "VERBS",
    "Create",
    "Define",
    "Destroy",
    "Lane",
    "ManagedSave",
    "ManagedSaveRemove",
    "Observed",
    "Options",
    "Outcome",
    "Reboot",
    "Rename",
    "Reset",
    "Restore",
    "Resume",
    "Save",
    "SetAutostart",
    "Shutdown",
    "ShutdownMode",
    "Start",
    "Suspend",
    "Undefine",
    "Verb",
    "VerbSpec",
]


class Verb(StrEnum):
    """virsh's words."""

    START = "start"
    SHUTDOWN = "shutdown"
    DESTROY = "destroy"
    REBOOT = "reboot"
    RESET = "reset"
    SUSPEND = "suspend"
    RESUME = "resume"
    SAVE = "save"
    RESTORE = "restore"
    MANAGED_SAVE = "managedsave"
    MANAGED_SAVE_REMOVE = "managedsave-remove"
    CREATE = "create"
    DEFINE = "define"
    UNDEFINE = "undefine"
    RENAME = "domrename"
    AUTOSTART = "autostart"


class Lane(StrEnum):
    """Which connection a call takes; see the design, section 5."""

    CONTROL = auto()
    """The one that carries the events: probes, lists, destroy, abort."""
    CALLS = auto()
    """Everything that may last."""


class ShutdownMode(StrEnum):
    """How a guest is asked to shut down or to reboot."""

    ACPI = "acpi"
    AGENT = "agent"
    INITCTL = "initctl"
    SIGNAL = "signal"
    PARAVIRT = "paravirt"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the verbs' options."""


class Start(Options, frozen=True, kw_only=True):
    """Start a defined domain. `autodestroy`: it dies with the connection."""

    paused: bool = False
    autodestroy: bool = False
    bypass_cache: bool = False
    force_boot: bool = False
    """Boot afresh, dropping a managed save image."""
    reset_nvram: bool = False


class Create(Start, frozen=True, kw_only=True):
    """Start a transient domain from XML."""

    xml: str
    validate: bool = False


class Shutdown(Options, frozen=True, kw_only=True):
    """Ask the guest to shut down, by the modes given, else as the hypervisor chooses."""

    modes: tuple[ShutdownMode, ...] = ()


class Reboot(Options, frozen=True, kw_only=True):
    """Ask the guest to reboot."""

    modes: tuple[ShutdownMode, ...] = ()


class Destroy(Options, frozen=True, kw_only=True):
    """Take the power away. `graceful`: refuse instead of killing a process that does not end."""

    graceful: bool = False


class Reset(Options, frozen=True, kw_only=True):
    """Press the reset button."""


class Suspend(Options, frozen=True, kw_only=True):
    """Hold the virtual CPUs; memory stays in the host's RAM."""


class Resume(Options, frozen=True, kw_only=True):
    """Let the virtual CPUs go on."""


class Save(Options, frozen=True, kw_only=True):
    """Save to a file on the host, and stop."""

    path: str
    bypass_cache: bool = False
    xml: str | None = None
    running: bool = False
    paused: bool = False


class Restore(Options, frozen=True, kw_only=True):
    """Start from a file on the host."""

    path: str
    bypass_cache: bool = False
    xml: str | None = None
    running: bool = False
    paused: bool = False
    reset_nvram: bool = False


class ManagedSave(Options, frozen=True, kw_only=True):
    """Save where the hypervisor keeps such images, and stop; the next start restores."""

    bypass_cache: bool = False
    running: bool = False
    paused: bool = False


class ManagedSaveRemove(Options, frozen=True, kw_only=True):
    """Drop the managed save image."""


class Define(Options, frozen=True, kw_only=True):
    """Make or change a persistent domain from XML."""

    xml: str
    validate: bool = False


class Undefine(Options, frozen=True, kw_only=True):
    """Forget a persistent domain; an active one goes on as a transient one."""

    managed_save: bool = False
    snapshots_metadata: bool = False
    checkpoints_metadata: bool = False
    nvram: bool = False
    keep_nvram: bool = False
    tpm: bool = False
    keep_tpm: bool = False


class Rename(Options, frozen=True, kw_only=True):
    """Give an inactive domain another name."""

    new: str


class SetAutostart(Options, frozen=True, kw_only=True):
    """Start with the host, or not."""

    enabled: bool = True


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a verb did.

    Attributes:
        changed: False if it was already so on a fresh read.
        observed: the effect was seen (always, unless wait=False).
        record: the domain's record then; None if it is gone, or was not seen yet.
        revision: the host's revision then.
    """

    changed: bool
    observed: bool
    record: DomainRecord | None
    revision: int


Observed = Callable[[DomainRecord | None], bool]
"""Whether a record (None: gone) shows that a verb has had its effect."""

_UP: Final = frozenset({DomainState.RUNNING, DomainState.BLOCKED, DomainState.PAUSED, DomainState.PMSUSPENDED})


def _is_up(record: DomainRecord | None) -> bool:
    return record is not None and record.state in _UP


def _is_down(record: DomainRecord | None) -> bool:
    return record is None or not (record.active or record.state in _UP or record.state is DomainState.SHUTDOWN)


def _is_paused(record: DomainRecord | None) -> bool:
    return record is not None and record.state is DomainState.PAUSED


def _is_running(record: DomainRecord | None) -> bool:
    return record is not None and record.state in (DomainState.RUNNING, DomainState.BLOCKED)


def _is_saved(record: DomainRecord | None) -> bool:
    return _is_down(record) and (record is None or record.reason is ShutoffReason.SAVED)


def _is_defined(record: DomainRecord | None) -> bool:
    return record is not None and record.persistent is True


def _is_undefined(record: DomainRecord | None) -> bool:
    return record is None or record.persistent is False


class VerbSpec(msgspec.Struct, frozen=True):
    """One row of the registry.

    Attributes:
        options: the struct that carries its arguments.
        timeout: default deadline in seconds, None for none.
        lane: the connection it takes.
        transition: what is under way once it is accepted.
        observed: what a record shows when it has had its effect; None: acceptance is the effect, or a Change is
            (Rebooted, Renamed).
    """

    verb: Verb
    options: type[Options]
    timeout: float | None
    lane: Lane
    transition: Transition | None = None
    observed: Observed | None = None


VERBS: Final[dict[Verb, VerbSpec]] = {
    spec.verb: spec
    for spec in (
        VerbSpec(Verb.START, Start, 120.0, Lane.CALLS, Transition.STARTING, _is_up),
        VerbSpec(Verb.CREATE, Create, 120.0, Lane.CALLS, Transition.STARTING, _is_up),
        VerbSpec(Verb.SHUTDOWN, Shutdown, 300.0, Lane.CALLS, Transition.STOPPING, _is_down),
        VerbSpec(Verb.DESTROY, Destroy, 60.0, Lane.CONTROL, Transition.STOPPING, _is_down),
        VerbSpec(Verb.REBOOT, Reboot, 300.0, Lane.CALLS, Transition.REBOOTING),
        VerbSpec(Verb.RESET, Reset, 60.0, Lane.CALLS, Transition.REBOOTING),
        VerbSpec(Verb.SUSPEND, Suspend, 60.0, Lane.CALLS, Transition.PAUSING, _is_paused),
        VerbSpec(Verb.RESUME, Resume, 60.0, Lane.CALLS, Transition.RESUMING, _is_running),
        VerbSpec(Verb.SAVE, Save, None, Lane.CALLS, Transition.SAVING, _is_saved),
        VerbSpec(Verb.RESTORE, Restore, None, Lane.CALLS, Transition.RESTORING, _is_up),
        VerbSpec(Verb.MANAGED_SAVE, ManagedSave, None, Lane.CALLS, Transition.SAVING, _is_saved),
        VerbSpec(Verb.MANAGED_SAVE_REMOVE, ManagedSaveRemove, 30.0, Lane.CALLS),
        VerbSpec(Verb.DEFINE, Define, 30.0, Lane.CALLS, None, _is_defined),
        VerbSpec(Verb.UNDEFINE, Undefine, 30.0, Lane.CALLS, None, _is_undefined),
        VerbSpec(Verb.RENAME, Rename, 30.0, Lane.CALLS),
        VerbSpec(Verb.AUTOSTART, SetAutostart, 30.0, Lane.CALLS),
    )
}
"""Default deadlines are the design's, section 5: start 120 s, shutdown and reboot 300 s, save none, reads 30 s."""

READ_TIMEOUT: Final = 30.0
"""Default deadline of a read, seconds."""
