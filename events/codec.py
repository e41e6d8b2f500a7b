"""Changes and records as bytes, for the journal. Pure.

A change is MessagePack: a map, tagged by `kind`, with the fields of its class; the six kinds that carry records are
arrays, so that a record does not bring twenty names along. A record is of the host and domain that its change names:
they stand once. What MessagePack can't hold (a name that is not UTF-8) is JSON, told apart by its first byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Union

import msgspec

from avirt.model.change import (
    Added,
    Change,
    DuplicateHost,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    JournalLost,
    Migrated,
    Origin,
    Rebooted,
    RecordChange,
    Removed,
    Renamed,
    SplitBrain,
    StateChanged,
    Updated,
)
from avirt.model.native_event import NATIVE_EVENTS
from avirt.model.record import NO_NATIVE, Certainty, DomainRecord, HostFacts, Key
from avirt.model.state import Transition, reason_of, state_of

__all__ = ["KINDS", "pack", "pack_facts", "pack_record", "unpack", "unpack_facts", "unpack_record"]

_RECORD_KINDS: Final[dict[str, type[RecordChange]]] = {
    str(kind.__struct_config__.tag): kind for kind in (Added, Removed, StateChanged, Rebooted, Renamed, Updated)
}
_OTHER_KINDS: Final[tuple[type[Change], ...]] = (
    *(HostConnected, HostLost, HostResynced, HostReplaced, DuplicateHost, Migrated, SplitBrain, JournalLost),
    *NATIVE_EVENTS,
)

KINDS: Final[tuple[type[Change], ...]] = (*_RECORD_KINDS.values(), *_OTHER_KINDS)
"""What can be written down: every kind there is."""


class _Record(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A DomainRecord without host and key. New fields go to the end, with a default: old files lack them."""

    name: str
    state: int
    reason: int
    id: int | None
    active: bool
    transition: Transition | None
    idle: bool
    needs_answer: bool
    persistent: bool | None
    autostart: bool | None
    marker: int | str | None
    native: dict[str, int | str] | None
    certainty: Certainty
    observed_at: float
    since: float | None
    revision: int
    stale_since: float | None
    stale_why: str


class _RecordChange(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A RecordChange of any kind. The same holds for new fields."""

    kind: str
    seq: int
    host: str
    key: bytes
    name: str
    origin: Origin
    observed_at: float
    revision: int
    merged: int
    before: _Record | None
    after: _Record | None
    old: str = ""
    new: str = ""


def _plain(value: object) -> object:
    """What msgspec can't write by itself."""
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    raise TypeError(f"no form for {type(value).__name__}")


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_plain)
_ANY_OTHER: Final[Any] = Union[_OTHER_KINDS]  # noqa: UP007  (a union that is not written out)


def _write(value: msgspec.Struct) -> bytes:
    try:
        return _ENCODER.encode(value)
    except (UnicodeEncodeError, OverflowError):
        # MessagePack's first byte is never this letter: it would be a whole number (its spec.md, "Formats")
        return b"j" + json.dumps(msgspec.to_builtins(value, enc_hook=_plain)).encode()


def _read(data: bytes, kind: Any) -> Any:
    if data[:1] == b"j":
        return msgspec.convert(json.loads(data[1:]), kind)
    return msgspec.msgpack.decode(data, type=kind)


def _strip(record: DomainRecord | None) -> _Record | None:
    if record is None:
        return None
    return _Record(
        record.name,
        int(record.state),
        int(record.reason),
        record.id,
        record.active,
        record.transition,
        record.idle,
        record.needs_answer,
        record.persistent,
        record.autostart,
        record.marker,
        dict(record.native) if record.native else None,
        record.certainty,
        record.observed_at,
        record.since,
        record.revision,
        record.stale_since,
        record.stale_why,
    )


def _dress(record: _Record | None, host: str, key: Key) -> DomainRecord | None:
    if record is None:
        return None
    return DomainRecord(
        host=host,
        key=key,
        name=record.name,
        state=state_of(record.state),
        reason=reason_of(record.state, record.reason),
        id=record.id,
        active=record.active,
        transition=record.transition,
        idle=record.idle,
        needs_answer=record.needs_answer,
        persistent=record.persistent,
        autostart=record.autostart,
        marker=record.marker,
        native=record.native or NO_NATIVE,
        certainty=record.certainty,
        observed_at=record.observed_at,
        since=record.since,
        revision=record.revision,
        stale_since=record.stale_since,
        stale_why=record.stale_why,
    )


def pack(change: Change) -> bytes:
    """One change."""
    if not isinstance(change, RecordChange):
        return _write(change)
    old, new = (change.old, change.new) if isinstance(change, Renamed) else ("", "")
    return _write(
        _RecordChange(
            change.kind,
            change.seq,
            change.host,
            change.key,
            change.name,
            change.origin,
            change.observed_at,
            change.revision,
            change.merged,
            _strip(change.before),
            _strip(change.after),
            old,
            new,
        )
    )


def unpack(data: bytes) -> Change:
    """What `pack` was given.

    Raises:
        ValueError: it is nothing that `pack` made.
    """
    try:
        if _is_map(data):
            change: Change = _read(data, _ANY_OTHER)
            return change
        return _record_change(_read(data, _RecordChange))
    except (msgspec.MsgspecError, KeyError, RecursionError) as error:
        raise ValueError(f"not a change: {error}") from error


def _is_map(data: bytes) -> bool:
    first = data[1:2] if data[:1] == b"j" else data[:1]
    # {, or fixmap, map 16, map 32
    return first == b"{" or b"\x80" <= first <= b"\x8f" or first in (b"\xde", b"\xdf")


def _record_change(read: _RecordChange) -> RecordChange:
    kind = _RECORD_KINDS[read.kind]
    key = Key(read.key)
    change = kind(
        host=read.host,
        origin=read.origin,
        observed_at=read.observed_at,
        revision=read.revision,
        seq=read.seq,
        key=key,
        name=read.name,
        merged=read.merged,
        before=_dress(read.before, read.host, key),
        after=_dress(read.after, read.host, key),
    )
    if kind is Renamed:
        return msgspec.structs.replace(change, old=read.old, new=read.new)
    return change


def pack_record(record: DomainRecord) -> bytes:
    """One record, without its host and key."""
    stripped = _strip(record)
    assert stripped is not None
    return _write(stripped)


def unpack_record(data: bytes, host: str, key: Key) -> DomainRecord:
    """The record of this domain; ValueError if it is none."""
    try:
        record = _dress(_read(data, _Record), host, key)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a record: {error}") from error
    assert record is not None
    return record


def pack_facts(facts: HostFacts) -> bytes:
    """What a host says of itself."""
    return _write(facts)


def unpack_facts(data: bytes) -> HostFacts:
    """What `pack_facts` was given; ValueError if it is nothing that it made."""
    try:
        facts: HostFacts = _read(data, HostFacts)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a host's facts: {error}") from error
    return facts
