"""Changes in words, for people: one line each. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final

from avirt.cli.output import counted
from avirt.cli.words import reason_words, state_words
from avirt.model import change as changes
from avirt.model.document import plain
from avirt.model.record import Certainty, DomainRecord, HostFacts

__all__ = ["clock", "describe", "standing", "subject"]

Watched = changes.Change | changes.Gap

_FIELDS: Final = ("name", "id", "reason", "transition", "idle", "needs_answer", "persistent", "autostart")
"""What `Updated` names, in this order."""
_HEAD: Final = frozenset({"host", "origin", "observed_at", "revision", "seq", "key", "name", "merged"})


def clock(seconds: float | None, zone: tzinfo | None = None, *, today: datetime | None = None) -> str:
    """A wall clock time as local time: with the date, unless it is that of `today`. "-" for None."""
    if seconds is None:
        return "-"
    when = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    if today is not None and when.date() == today.date():
        return f"{when:%H:%M:%S}"
    return f"{when:%Y-%m-%d %H:%M:%S}"


def standing(record: DomainRecord) -> str:
    """State, reason, and what is under way: "running (booted), stopping"."""
    text = f"{state_words(record.state)} ({reason_words(record.reason)})"
    if record.transition is not None:
        text += f", {record.transition}"
    return text if record.certainty is Certainty.LIVE else f"{text}, {record.certainty}"


def subject(item: Watched, *, several: bool) -> str:
    """Whom it is about: the domain, or the host."""
    if isinstance(item, changes.Gap):
        return "-"
    if isinstance(item, changes.DomainChange):
        name = item.name or str(item.uuid)
        return f"{item.host}/{name}" if several else name
    return item.host or "-"


def _facts(facts: HostFacts) -> str:
    version = "" if facts.version is None else " " + ".".join(map(str, facts.version))
    return f"{facts.product}{version} on {facts.hostname}"


def _word(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(plain(value)).replace("_", " ")


def _updated(before: DomainRecord | None, after: DomainRecord | None) -> str:
    if before is None or after is None:
        return "updated" if after is None else f"updated: {standing(after)}"
    if before.certainty is not after.certainty:
        why = f" ({after.stale_why})" if after.stale_why else ""
        return f"{after.certainty}{why}"
    parts = [
        f"{field.replace('_', ' ')} {_word(getattr(before, field))} -> {_word(getattr(after, field))}"
        for field in _FIELDS
        if getattr(before, field) != getattr(after, field)
    ]
    return "updated: " + ", ".join(parts) if parts else "updated"


def _state(before: DomainRecord | None, after: DomainRecord | None) -> str:
    if after is None or before is None:
        return "-" if after is None else standing(after)
    return f"{standing(before)} -> {standing(after)}"


def describe(item: Watched) -> str:
    """What happened."""
    text = _describe(item)
    if isinstance(item, changes.Gap):
        return text
    if isinstance(item, changes.DomainChange) and item.merged > 1:
        text += f" [{counted(item.merged, 'change')}]"
    return text if item.origin is changes.Origin.EVENT else f"{text} [{item.origin}]"


def _describe(item: Watched) -> str:
    match item:
        case changes.Gap():
            return f"{counted(item.lost, 'change')} missed"
        case changes.Added():
            return "added" if item.after is None else f"added: {standing(item.after)}"
        case changes.Removed():
            return "removed"
        case changes.StateChanged():
            return _state(item.before, item.after)
        case changes.Rebooted():
            return "rebooted"
        case changes.Renamed():
            return f"renamed: {item.old} -> {item.new}"
        case changes.Updated():
            return _updated(item.before, item.after)
        case changes.Migrated():
            return f"migrated: {item.source} -> {item.target}"
        case changes.SplitBrain():
            return f"runs on several hosts: {', '.join(item.hosts)}"
        case changes.HostConnected():
            return f"connected: {_facts(item.facts)}"
        case changes.HostLost():
            return f"{'refused' if item.refused else 'lost'}: {item.why}"
        case changes.HostResynced():
            return f"resynced: {counted(item.domains, 'domain')}"
        case changes.HostReplaced():
            return f"replaced: now {_facts(item.after)}"
        case changes.DuplicateHost():
            return f"the same host as {item.other}"
        case changes.JournalLost():
            aside = f" (moved to {item.aside})" if item.aside else ""
            return f"journal {'begun anew' if item.renewed else 'lost'}: {item.why}{aside}"
        case _:
            fields = " ".join(
                f"{field}={_word(getattr(item, field))}" for field in item.__struct_fields__ if field not in _HEAD
            )
            return f"{item.kind.replace('_', ' ')}: {fields}" if fields else item.kind.replace("_", " ")
