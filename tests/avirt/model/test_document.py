"""The JSON contract of docs/json.md, field by field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
import pytest

from avirt.model import change as changes
from avirt.model import native_event as native
from avirt.model.command import Outcome
from avirt.model.document import (
    change_document,
    facts_document,
    outcome_document,
    plain,
    reason_name,
    record_document,
    snapshot_document,
    state_name,
    status_document,
)
from avirt.model.record import Certainty, DomainRecord, HostFacts, HostState, HostStatus, key_of
from avirt.model.state import (
    REASONS,
    DomainState,
    PausedReason,
    RunningReason,
    ShutoffReason,
    Transition,
)

UUID_TEXT = "6695eb01-f6a4-8304-79aa-97f2502e193f"
KEY = key_of(UUID_TEXT)

DOWN = DomainRecord(
    host="h1",
    key=KEY,
    name="web1",
    state=DomainState.SHUTOFF,
    reason=ShutoffReason.DESTROYED,
    persistent=True,
    autostart=False,
    observed_at=1700000000.5,
    since=1700000000.25,
    revision=7,
    native=MappingProxyType({"state": 5, "reason": 2}),
)
UP = msgspec.structs.replace(
    DOWN, state=DomainState.RUNNING, reason=RunningReason.BOOTED, id=12, active=True, marker="m", revision=8
)
FACTS = HostFacts(
    uuid=UUID(UUID_TEXT),
    hostname="node1",
    product="QEMU",
    version=(7, 2, 22),
    driver="libvirt",
    driver_version=(9, 0, 0),
)

DOWN_DOCUMENT: dict[str, Any] = {
    "host": "h1",
    "name": "web1",
    "uuid": UUID_TEXT,
    "id": None,
    "state": "shutoff",
    "reason": "destroyed",
    "transition": None,
    "active": False,
    "idle": False,
    "needs_answer": False,
    "persistent": True,
    "autostart": False,
    "certainty": "live",
    "stale_since": None,
    "stale_why": None,
    "observed_at": 1700000000.5,
    "since": 1700000000.25,
    "revision": 7,
    "marker": None,
    "native": {"state": 5, "reason": 2},
}
UP_DOCUMENT = DOWN_DOCUMENT | {
    "id": 12,
    "state": "running",
    "reason": "booted",
    "active": True,
    "marker": "m",
    "revision": 8,
}
FACTS_DOCUMENT = {
    "uuid": UUID_TEXT,
    "hostname": "node1",
    "product": "QEMU",
    "version": "7.2.22",
    "driver": "libvirt",
    "driver_version": "9.0.0",
    "read_only": False,
}
HEAD: Any = {"host": "h1", "origin": "event", "observed_at": 3.5, "revision": 8, "seq": 40}
NOBODY: Any = {"uuid": None, "name": None, "before": None, "after": None}
SOMEBODY: Any = {"uuid": UUID_TEXT, "name": "web1", "merged": 1, "before": None, "after": None}
STAMP: Any = {"host": "h1", "observed_at": 3.5, "revision": 8, "seq": 40}


def test_record_of_an_inactive_domain_has_every_field_and_a_null_id() -> None:
    assert record_document(DOWN) == DOWN_DOCUMENT


def test_record_of_an_active_domain_has_its_id_and_marker() -> None:
    assert record_document(UP) == UP_DOCUMENT


def test_record_that_is_stale_says_since_when_and_why() -> None:
    record = msgspec.structs.replace(
        DOWN, certainty=Certainty.STALE, stale_since=9.0, stale_why="lost", transition=Transition.STARTING, idle=True
    )
    assert record_document(record) == DOWN_DOCUMENT | {
        "certainty": "stale",
        "stale_since": 9.0,
        "stale_why": "lost",
        "transition": "starting",
        "idle": True,
    }


def test_states_and_reasons_are_libvirts_names_in_lower_case() -> None:
    assert [state_name(state) for state in DomainState if state < 8] == [
        "nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended",
    ]  # fmt: skip
    assert reason_name(PausedReason.STARTING_UP) == "starting_up"
    assert reason_name(ShutoffReason.FROM_SNAPSHOT) == "from_snapshot"
    for reasons in REASONS.values():
        assert all(re.fullmatch("[a-z_]+", reason_name(reason)) for reason in reasons if int(reason) < 90)


def test_states_of_the_future_keep_their_number() -> None:
    record = msgspec.structs.replace(DOWN, state=DomainState(99), reason=RunningReason(98))
    document = record_document(record)
    assert (document["state"], document["reason"]) == ("unknown_99", "unknown_98")


def test_facts_without_versions_have_nulls() -> None:
    assert facts_document(FACTS) == FACTS_DOCUMENT
    bare = msgspec.structs.replace(FACTS, version=None, driver_version=None, read_only=True)
    assert facts_document(bare) == FACTS_DOCUMENT | {"version": None, "driver_version": None, "read_only": True}


def test_status_has_every_field() -> None:
    lost = HostStatus(name="h1", state=HostState.LOST, since=1.0, why="gone", next_try=2.0, facts=FACTS, revision=3)
    assert status_document(lost) == {
        "host": "h1",
        "state": "lost",
        "since": 1.0,
        "why": "gone",
        "next_try": 2.0,
        "synced": False,
        "revision": 3,
        "facts": FACTS_DOCUMENT,
    }
    assert status_document(HostStatus(name="h1")) == {
        "host": "h1",
        "state": "connecting",
        "since": 0.0,
        "why": None,
        "next_try": None,
        "synced": False,
        "revision": 0,
        "facts": None,
    }


def test_snapshot_is_one_object_with_all_domains_and_a_token() -> None:
    assert snapshot_document("h1", [DOWN, UP], "e:1") == {
        "kind": "snapshot",
        "host": "h1",
        "domains": [DOWN_DOCUMENT, UP_DOCUMENT],
        "token": "e:1",
    }


CHANGES: list[tuple[changes.Change, dict[str, object]]] = [
    (
        changes.Added(**STAMP, key=KEY, name="web1", after=DOWN),
        {"kind": "added", **SOMEBODY, "after": DOWN_DOCUMENT},
    ),
    (
        changes.Removed(**STAMP, key=KEY, name="web1", before=DOWN),
        {"kind": "removed", **SOMEBODY, "before": DOWN_DOCUMENT},
    ),
    (
        changes.StateChanged(**STAMP, key=KEY, name="web1", before=DOWN, after=UP, merged=3),
        {"kind": "state_changed", **SOMEBODY, "before": DOWN_DOCUMENT, "after": UP_DOCUMENT, "merged": 3},
    ),
    (
        changes.Rebooted(**STAMP, key=KEY, name="web1", before=UP, after=UP),
        {"kind": "rebooted", **SOMEBODY, "before": UP_DOCUMENT, "after": UP_DOCUMENT},
    ),
    (
        changes.Renamed(**STAMP, key=KEY, name="web1", before=DOWN, after=DOWN, old="a", new="web1"),
        {
            "kind": "renamed",
            **SOMEBODY,
            "before": DOWN_DOCUMENT,
            "after": DOWN_DOCUMENT,
            "old": "a",
            "new": "web1",
        },
    ),
    (
        changes.Updated(**STAMP, key=KEY, name="web1", before=DOWN, after=DOWN),
        {"kind": "updated", **SOMEBODY, "before": DOWN_DOCUMENT, "after": DOWN_DOCUMENT},
    ),
    (
        changes.Migrated(**STAMP, key=KEY, name="web1", source="h0", target="h1"),
        {"kind": "migrated", **SOMEBODY, "source": "h0", "target": "h1"},
    ),
    (
        changes.SplitBrain(**STAMP, key=KEY, name="web1", hosts=("h0", "h1")),
        {"kind": "split_brain", **SOMEBODY, "hosts": ["h0", "h1"]},
    ),
    (changes.HostConnected(**STAMP, facts=FACTS), {"kind": "host_connected", **NOBODY, "facts": FACTS_DOCUMENT}),
    (changes.HostLost(**STAMP, why="gone"), {"kind": "host_lost", **NOBODY, "why": "gone", "refused": False}),
    (changes.HostResynced(**STAMP, domains=5), {"kind": "host_resynced", **NOBODY, "domains": 5}),
    (
        changes.HostReplaced(**STAMP, before=FACTS, after=FACTS),
        {"kind": "host_replaced", **NOBODY, "before": FACTS_DOCUMENT, "after": FACTS_DOCUMENT},
    ),
    (changes.DuplicateHost(**STAMP, other="h2"), {"kind": "duplicate_host", **NOBODY, "other": "h2"}),
    (
        native.Graphics(
            **STAMP,
            key=KEY,
            name="web1",
            phase="connect",
            local=native.GraphicsAddress("ipv4", "::", "1"),
            remote=native.GraphicsAddress("ipv6", "::1", "2"),
            auth_scheme="none",
            subject=(("dn", "x"),),
        ),
        {
            "kind": "graphics",
            **SOMEBODY,
            "phase": "connect",
            "local": {"family": "ipv4", "node": "::", "service": "1"},
            "remote": {"family": "ipv6", "node": "::1", "service": "2"},
            "auth_scheme": "none",
            "subject": [["dn", "x"]],
        },
    ),
    (
        native.Tunable(**STAMP, key=KEY, name="web1", params=MappingProxyType({"cpu": 1, "on": True, "f": 0.5})),
        {"kind": "tunable", **SOMEBODY, "params": {"cpu": 1, "on": True, "f": 0.5}},
    ),
    (
        native.IOError(**STAMP, key=KEY, name="web1", path="/d", device="vda", action="pause", reason="enospc"),
        {"kind": "io_error", **SOMEBODY, "path": "/d", "device": "vda", "action": "pause", "reason": "enospc"},
    ),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=lambda value: getattr(value, "kind", ""))
def test_change_has_exactly_these_fields(change: changes.Change, expected: dict[str, object]) -> None:
    assert change_document(change) == HEAD | expected


def test_gap_has_the_fields_of_a_change_and_its_own() -> None:
    document = change_document(changes.Gap(lost=4, since=2.5, seq=9))
    own = {"kind": "gap", "host": None, "origin": None, "observed_at": None, "revision": None, "seq": 9}
    assert document == NOBODY | own | {"lost": 4, "since": 2.5, "reset": False}


def test_change_of_the_store_is_of_no_host() -> None:
    document = change_document(
        changes.JournalLost(host="", why="full", epoch="e2", aside="/j.db.aside", renewed=True, observed_at=2.5, seq=9)
    )
    own = {"kind": "journal_lost", "host": None, "origin": "event", "observed_at": 2.5, "revision": None, "seq": 9}
    assert document == NOBODY | own | {"why": "full", "epoch": "e2", "aside": "/j.db.aside", "renewed": True}


def test_every_kind_of_change_has_the_promised_fields_and_is_json() -> None:
    promised = {"kind", "host", "uuid", "name", "before", "after", "origin", "observed_at", "revision", "seq"}
    for change, _ in CHANGES:
        document = change_document(change)
        assert promised <= document.keys()
        assert json.loads(json.dumps(document)) == document


def test_outcome_names_the_domain_of_its_record() -> None:
    outcome = Outcome(changed=True, observed=True, record=UP, revision=8)
    assert outcome_document("start", "h1", outcome) == {
        "verb": "start",
        "host": "h1",
        "uuid": UUID_TEXT,
        "name": "web1",
        "changed": True,
        "observed": True,
        "revision": 8,
        "domain": UP_DOCUMENT,
    }


def test_outcome_without_record_names_what_it_was_given() -> None:
    outcome = Outcome(changed=True, observed=True, record=None, revision=8)
    document = outcome_document("undefine", "h1", outcome, uuid=UUID(UUID_TEXT), name="web1")
    assert (document["uuid"], document["name"], document["domain"]) == (UUID_TEXT, "web1", None)
    unknown = outcome_document("restore", "h1", outcome)
    assert (unknown["uuid"], unknown["name"]) == (None, None)


def test_plain_refuses_what_has_no_json_form() -> None:
    with pytest.raises(TypeError, match="no JSON form for object"):
        plain(object())


def test_plain_writes_enums_by_name_or_value() -> None:
    assert plain({DomainState.PAUSED: Certainty.LIVE}) == {"3": "live"}
    assert plain([DomainState.PAUSED, None, UUID(UUID_TEXT)]) == ["paused", None, UUID_TEXT]


def documented(title: str) -> set[str]:
    """Field names in the first column of the table under a heading of docs/json.md."""
    text = (Path(__file__).resolve().parents[3] / "docs" / "json.md").read_text()
    section = text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`[^|]*`) +\|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_documentation_names_exactly_the_fields_of_a_domain() -> None:
    assert documented("A domain") == DOWN_DOCUMENT.keys()


def test_documentation_names_exactly_the_fields_of_a_host() -> None:
    assert documented("A host's facts") == FACTS_DOCUMENT.keys()


def test_documentation_names_exactly_the_first_fields_of_a_change() -> None:
    assert documented("Changes: `watch`") == change_document(changes.Change(host="h1")).keys()


def test_documentation_names_every_kind() -> None:
    kinds: dict[str, type[changes.Change]] = {}
    waiting: list[type[changes.Change]] = [changes.HostChange, changes.DomainChange, changes.StoreChange]
    while waiting:
        one = waiting.pop()
        below: list[type[changes.Change]] = one.__subclasses__()
        waiting += below
        if not below:
            kinds[changes.snake_case(one.__name__)] = one
    assert documented("Kinds of changes") | documented("The hypervisor's other events") == kinds.keys() | {"gap"}


def test_documentation_names_exactly_the_fields_of_an_outcome() -> None:
    outcome = Outcome(changed=True, observed=True, record=None, revision=8)
    assert documented("What a verb did") == outcome_document("start", "h1", outcome).keys()
