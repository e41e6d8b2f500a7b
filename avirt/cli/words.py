"""Words of the table output: states, reasons and what verbs say, as virsh (9.0.0) prints them."""

from __future__ import annotations

from typing import Final

import msgspec

from avirt.model.command import Verb
from avirt.model.document import reason_name, state_name
from avirt.model.record import Certainty, DomainRecord
from avirt.model.state import DomainState, PausedReason, Reason, RunningReason

__all__ = ["SAID", "STATES", "Said", "id_cell", "parse_state", "reason_words", "state_cell", "state_words"]

STATES: Final[dict[DomainState, str]] = {
    DomainState.NOSTATE: "no state",
    DomainState.RUNNING: "running",
    DomainState.BLOCKED: "idle",
    DomainState.PAUSED: "paused",
    DomainState.SHUTDOWN: "in shutdown",
    DomainState.SHUTOFF: "shut off",
    DomainState.CRASHED: "crashed",
    DomainState.PMSUSPENDED: "pmsuspended",
}

# by class and number: members of two IntEnums with one number are equal
_REASONS: Final[dict[tuple[type[Reason], int], str]] = {
    (RunningReason, RunningReason.WAKEUP): "event wakeup",
    (RunningReason, RunningReason.POSTCOPY): "post-copy",
    (RunningReason, RunningReason.POSTCOPY_FAILED): "post-copy failed",
    (PausedReason, PausedReason.MIGRATION): "migrating",
    (PausedReason, PausedReason.SAVE): "saving",
    (PausedReason, PausedReason.DUMP): "dumping",
    (PausedReason, PausedReason.IOERROR): "I/O error",
    (PausedReason, PausedReason.SNAPSHOT): "creating snapshot",
    (PausedReason, PausedReason.POSTCOPY): "post-copy",
    (PausedReason, PausedReason.POSTCOPY_FAILED): "post-copy failed",
}
"""Where virsh's word is not libvirt's name with spaces."""


def state_words(state: DomainState) -> str:
    """virsh's words: "shut off". A state of the future: "unknown 99"."""
    return STATES.get(state) or state_name(state).replace("_", " ")


def reason_words(reason: Reason) -> str:
    """virsh's words: "from snapshot"."""
    return _REASONS.get((type(reason), int(reason))) or reason_name(reason).replace("_", " ")


def parse_state(text: str) -> DomainState:
    """A state by libvirt's name or by virsh's words; ValueError if it is none."""
    wanted = text.strip().lower().replace("_", " ")
    for state, words in STATES.items():
        if wanted in (words, words.replace(" ", ""), state_name(state)):
            return state
    known = ", ".join(state_name(state) for state in STATES)
    raise ValueError(f"unknown state '{text}', expecting {known}")


def state_cell(record: DomainRecord) -> str:
    """The state column: the state, and what keeps it from being the whole truth."""
    notes = [str(record.transition)] if record.transition is not None else []
    if record.certainty is not Certainty.LIVE:
        notes.append(str(record.certainty))
    words = state_words(record.state)
    return f"{words} ({', '.join(notes)})" if notes else words


def id_cell(record: DomainRecord) -> str:
    """The id column: "-" for an inactive domain."""
    return "-" if record.id is None else str(record.id)


class Said(msgspec.Struct, frozen=True):
    """What a verb says about the domain `{name}`.

    Attributes:
        done: its effect was observed.
        already: it was so already.
        accepted: the hypervisor accepted (`--no-wait`).
    """

    done: str
    already: str = ""
    accepted: str = ""


SAID: Final[dict[Verb, Said]] = {
    Verb.START: Said(
        "Domain '{name}' started", "Domain '{name}' is already active", "Domain '{name}' is being started"
    ),
    Verb.SHUTDOWN: Said(
        "Domain '{name}' has been shut down", "Domain '{name}' is already shut off", "Domain '{name}' is being shutdown"
    ),
    Verb.DESTROY: Said(
        "Domain '{name}' destroyed", "Domain '{name}' is already shut off", "Domain '{name}' is being destroyed"
    ),
    Verb.REBOOT: Said("Domain '{name}' rebooted", "", "Domain '{name}' is being rebooted"),
    Verb.RESET: Said("Domain '{name}' was reset", "", "Domain '{name}' is being reset"),
    Verb.SUSPEND: Said(
        "Domain '{name}' suspended", "Domain '{name}' is already paused", "Domain '{name}' is being suspended"
    ),
    Verb.RESUME: Said(
        "Domain '{name}' resumed", "Domain '{name}' is already running", "Domain '{name}' is being resumed"
    ),
    Verb.SAVE: Said(
        "Domain '{name}' saved to {path}", "Domain '{name}' is already shut off", "Domain '{name}' is being saved"
    ),
    Verb.RESTORE: Said("Domain restored from {path}", "", "Domain is being restored from {path}"),
    Verb.MANAGED_SAVE: Said(
        "Domain '{name}' state saved", "Domain '{name}' is already shut off", "Domain '{name}' is being saved"
    ),
    Verb.MANAGED_SAVE_REMOVE: Said(
        "Removed managedsave image for domain '{name}'",
        "Domain '{name}' has no managed save image; removal skipped",
    ),
    Verb.CREATE: Said("Domain '{name}' created from {path}", "", "Domain '{name}' is being created from {path}"),
    Verb.DEFINE: Said("Domain '{name}' defined from {path}"),
    Verb.UNDEFINE: Said("Domain '{name}' has been undefined", "Domain '{name}' is already undefined"),
    Verb.RENAME: Said("Domain successfully renamed", "Domain '{name}' has that name already"),
    Verb.AUTOSTART: Said("Domain '{name}' marked as autostarted"),
}
"""Every verb. virsh does not wait, so its words for what is under way stand under `accepted`."""
