"""Records and Changes as JSON documents: the contract of `-o json`, described in docs/json.md.

A document is a plain dict of JSON types: str, int, float, bool, None, list, dict. Fields may be added; none is renamed,
removed or given another type. A field that does not apply is null, never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, cast
from uuid import UUID

import msgspec

from avirt.model.change import Change, DomainChange, Gap, HostReplaced, RecordChange, StoreChange
from avirt.model.command import Outcome
from avirt.model.record import DomainRecord, HostFacts, HostStatus
from avirt.model.state import DomainState, Reason

__all__ = [
    "Document",
    "Json",
    "change_document",
    "facts_document",
    "outcome_document",
    "plain",
    "reason_name",
    "record_document",
    "snapshot_document",
    "state_name",
    "status_document",
]

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Document = dict[str, Json]

_COMMON: Final = frozenset({"host", "key", "name", "origin", "observed_at", "revision", "seq", "before", "after"})
"""Fields of Changes that `change_document` writes itself."""


def state_name(state: DomainState) -> str:
    """libvirt's name in lower case: "shutoff"."""
    return state.name.lower()


def reason_name(reason: Reason) -> str:
    """libvirt's name in lower case: "destroyed"."""
    return reason.name.lower()


def plain(value: object) -> Json:
    """Any value of the model as JSON types: enums by value, uuids and versions as text, structs as objects."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return value.name.lower() if isinstance(value, int) else str(value)
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return {field: plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, Iterable):
        return [plain(item) for item in cast("Iterable[object]", value)]
    raise TypeError(f"no JSON form for {type(value).__name__}")


def record_document(record: DomainRecord) -> Document:
    """One domain."""
    return {
        "host": record.host,
        "name": record.name,
        "uuid": str(record.uuid),
        "id": record.id,
        "state": state_name(record.state),
        "reason": reason_name(record.reason),
        "transition": None if record.transition is None else str(record.transition),
        "active": record.active,
        "idle": record.idle,
        "needs_answer": record.needs_answer,
        "persistent": record.persistent,
        "autostart": record.autostart,
        "certainty": str(record.certainty),
        "stale_since": record.stale_since,
        "stale_why": record.stale_why or None,
        "observed_at": record.observed_at,
        "since": record.since,
        "revision": record.revision,
        "marker": record.marker,
        "native": dict(record.native),
    }


def _version(version: tuple[int, int, int] | None) -> str | None:
    return None if version is None else ".".join(map(str, version))


def facts_document(facts: HostFacts) -> Document:
    """What a host says of itself."""
    return {
        "uuid": str(facts.uuid),
        "hostname": facts.hostname,
        "product": facts.product,
        "version": _version(facts.version),
        "driver": facts.driver,
        "driver_version": _version(facts.driver_version),
        "read_only": facts.read_only,
    }


def status_document(status: HostStatus) -> Document:
    """Where the connection to a host stands."""
    return {
        "host": status.name,
        "state": str(status.state),
        "since": status.since,
        "why": status.why or None,
        "next_try": status.next_try,
        "synced": status.synced,
        "revision": status.revision,
        "facts": None if status.facts is None else facts_document(status.facts),
    }


def snapshot_document(host: str, records: Iterable[DomainRecord], token: str) -> Document:
    """The first line of a watched host: what there is, and where the stream goes on from."""
    domains: list[Json] = [record_document(record) for record in records]
    return {"kind": "snapshot", "host": host, "domains": domains, "token": token}


def change_document(item: Change | Gap) -> Document:
    """One Change, or a Gap. All kinds have the same first fields; those of the kind itself follow."""
    document: Document = {
        "kind": "gap",
        "host": None,
        "uuid": None,
        "name": None,
        "before": None,
        "after": None,
        "origin": None,
        "observed_at": None,
        "revision": None,
        "seq": item.seq,
    }
    if isinstance(item, Gap):
        document.update((field, plain(getattr(item, field))) for field in item.__struct_fields__)
        return document
    document["kind"] = item.kind
    document["origin"] = str(item.origin)
    document["observed_at"] = item.observed_at
    if not isinstance(item, StoreChange):
        document["host"] = item.host
        document["revision"] = item.revision
    if isinstance(item, DomainChange):
        document["uuid"] = str(item.uuid)
        document["name"] = item.name
    if isinstance(item, RecordChange):
        document["before"] = None if item.before is None else record_document(item.before)
        document["after"] = None if item.after is None else record_document(item.after)
    if isinstance(item, HostReplaced):
        document["before"] = facts_document(item.before)
        document["after"] = facts_document(item.after)
    for field in item.__struct_fields__:
        if field not in _COMMON:
            value = getattr(item, field)
            document[field] = facts_document(value) if isinstance(value, HostFacts) else plain(value)
    return document


def outcome_document(verb: str, host: str, outcome: Outcome, *, uuid: UUID | None = None, name: str = "") -> Document:
    """What a verb did. `uuid` and `name` are those of the domain it was given, which may be gone now."""
    record = outcome.record
    if record is not None:
        uuid, name = record.uuid, record.name
    return {
        "verb": verb,
        "host": host,
        "uuid": None if uuid is None else str(uuid),
        "name": name or None,
        "changed": outcome.changed,
        "observed": outcome.observed,
        "revision": outcome.revision,
        "domain": None if record is None else record_document(record),
    }
