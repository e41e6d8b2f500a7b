"""The judges: each is shown what it must find, and a sound recording in which none finds anything."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from avirt.model.change import (
    Added,
    Change,
    Gap,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    JournalLost,
    Origin,
    Removed,
    Renamed,
    StateChanged,
    Updated,
)
from avirt.model.native_event import DeviceAdded
from avirt.model.record import Certainty, DomainRecord, HostFacts, Key
from avirt.model.state import DomainState, RunningReason, ShutoffReason
from avirt.testing.checkers import CHECKERS, LEGAL, InvalidStream, Recording, findings, validate

A = Key(bytes([1] * 16))
B = Key(bytes([2] * 16))
FACTS = HostFacts(uuid=UUID(int=1), hostname="h", product="SIM", driver="sim")


def off(key: Key = A, **fields: Any) -> DomainRecord:
    return DomainRecord(
        **{
            "host": "h",
            "key": key,
            "name": "a",
            "state": DomainState.SHUTOFF,
            "reason": ShutoffReason.UNKNOWN,
            "persistent": True,
            **fields,
        }
    )


def up(key: Key = A, **fields: Any) -> DomainRecord:
    return off(key, **{"state": DomainState.RUNNING, "reason": RunningReason.BOOTED, "id": 1, "active": True, **fields})


class Script:
    """Numbers changes as a store does, and records what it numbered."""

    def __init__(self) -> None:
        self.stream: list[Change | Gap] = []
        self.revision = 0

    def say(self, kind: type[Any], *, key: Key = A, **fields: Any) -> Any:
        self.revision += 1
        number = {"host": "h", "revision": self.revision, "seq": self.revision}
        after = fields.get("after")
        if isinstance(after, DomainRecord):
            fields["after"] = replace(after, revision=self.revision)
        known = after or fields.get("before")
        domain = {"key": key, "name": getattr(known, "name", "")} if hasattr(kind, "uuid") else {}
        change = kind(**{**number, **domain, **fields})
        self.stream.append(change)
        return fields.get("after")

    def found(self, **fields: Any) -> set[str]:
        return {each.checker for each in findings(Recording(stream=self.stream, **fields))}


def sound() -> tuple[Script, list[DomainRecord], list[DomainRecord]]:
    script = Script()
    snapshot = [off()]
    a = script.say(StateChanged, before=off(), after=up())
    b = script.say(Added, key=B, after=off(B, name="b"), origin=Origin.LIST)
    script.say(DeviceAdded, device="d")
    script.say(HostLost, why="cut")
    script.say(HostConnected, facts=FACTS)
    a = script.say(Updated, before=a, after=replace(a, autostart=True), origin=Origin.RESYNC)
    script.say(HostResynced, domains=2)
    b = script.say(Renamed, key=B, before=b, after=replace(b, name="c"), old="b", new="c")
    script.say(Removed, key=B, before=b)
    a = script.say(StateChanged, before=a, after=replace(off(autostart=True)))
    return script, snapshot, [a]


def test_sound_recording_passes_every_judge() -> None:
    script, snapshot, view = sound()
    validate(script.stream, snapshot=snapshot, view=view, start=0)


def test_breaches_are_listed_in_one_error() -> None:
    script, snapshot, _ = sound()
    with pytest.raises(InvalidStream) as caught:
        validate(script.stream, snapshot=snapshot, view=[], start=0)
    assert [each.checker for each in caught.value.findings] == ["replay_gives_view"]
    assert "replay_gives_view: h/01010101" in str(caught.value)


def test_many_breaches_are_cut_short() -> None:
    script = Script()
    for _ in range(30):
        script.say(Removed, before=off())
    with pytest.raises(InvalidStream, match=r"… and \d+ more"):
        validate(script.stream)


def test_judges_have_names_and_say_what_they_hold() -> None:
    assert all(checker.__doc__ and name == checker.__name__ for name, checker in CHECKERS.items())


def test_legal_steps_are_total() -> None:
    assert set(LEGAL) == set(DomainState)


def test_seq_must_rise_by_one_unless_something_may_be_missing() -> None:
    script, _, _ = sound()
    del script.stream[2]
    assert "seq_rises" in script.found(start=0)
    assert "seq_rises" not in script.found(start=0, complete=False)
    script.stream[0], script.stream[1] = script.stream[1], script.stream[0]
    assert "seq_rises" in script.found(complete=False)
    assert "seq_rises" in script.found(start=99, complete=False)


def test_numbers_of_what_has_settled_must_rise_for_each_domain() -> None:
    """Others may come in between, in any order; steps are merged."""

    def judged(*stream: Change) -> list[str]:
        recording = Recording(stream=stream, snapshot=[off(), off(B)], settled=True)
        return [each.checker for each in findings(recording)]

    def change(key: Key, number: int, before: DomainRecord, after: DomainRecord | None, merged: int = 3) -> Change:
        kind = Removed if after is None else Updated if before == after else StateChanged
        return kind(
            host="h",
            key=key,
            name="a",
            seq=number,
            revision=number,
            merged=merged,
            before=before,
            after=None if after is None else replace(after, revision=number),
        )

    assert judged(change(B, 9, off(B), up(B)), change(A, 4, off(), up()), change(B, 20, up(B), off(B))) == []
    assert judged(change(A, 9, off(), up()), change(A, 4, up(), off())) == ["seq_rises", "revision_steps"]
    assert judged(change(A, 4, off(), up()), change(A, 9, off(), up())) == ["chain_holds"]
    fleeting = Removed(host="h", key=Key(bytes(16)), name="b", seq=5, revision=5, merged=2)
    assert judged(fleeting) == []
    assert judged(replace(fleeting, key=A)) == ["presence_holds"]


def test_revision_must_rise_by_one_for_each_host() -> None:
    script = Script()
    script.say(HostLost)
    script.say(HostLost, host="other", revision=1)
    script.say(JournalLost, host="", why="w", revision=0)
    script.say(JournalLost, host="", why="w", revision=0)
    script.say(HostConnected, facts=FACTS, revision=2)
    assert "revision_steps" not in script.found()
    script.say(HostResynced, revision=4)
    assert "revision_steps" in script.found()
    assert "revision_steps" not in script.found(complete=False)
    script.say(HostResynced, revision=4)
    assert "revision_steps" in script.found(complete=False)


@pytest.mark.parametrize("gap", [Gap(lost=0, since=0, seq=2), Gap(lost=3, since=0, seq=0)])
def test_gap_must_count_and_go_forward(gap: Gap) -> None:
    script = Script()
    script.say(HostLost)
    script.stream.append(gap)
    assert "gaps_are_said" in script.found(complete=False)


def test_gap_has_no_place_in_a_complete_recording() -> None:
    script = Script()
    script.stream.append(Gap(lost=3, since=0, seq=3))
    assert script.found() == {"gaps_are_said"}
    assert script.found(complete=False) == set()


def test_gap_that_resets_forgets_what_was_known() -> None:
    script = Script()
    script.stream.append(Gap(lost=3, since=0, seq=3, reset=True))
    assert script.found(complete=False, snapshot=[off()], view=[]) == set()


def test_before_must_be_what_was_known() -> None:
    script = Script()
    script.say(StateChanged, before=off(persistent=False), after=up())
    assert script.found(snapshot=[off()]) == {"chain_holds"}
    assert script.found(snapshot=[off()], complete=False) == set()


def test_before_may_differ_in_age_only() -> None:
    script = Script()
    script.say(StateChanged, before=off(certainty=Certainty.STALE, observed_at=9.0), after=up())
    assert script.found(snapshot=[off()]) == set()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Added, {"after": off()}),
        (Removed, {"before": off(B), "key": B}),
        (Updated, {"before": off(B), "after": off(B, autostart=True), "key": B}),
        (Removed, {"before": off(), "after": off()}),
        (Updated, {"before": off()}),
        (Updated, {"after": off()}),
    ],
)
def test_presence_and_records_must_fit_the_kind(kind: type[Any], fields: dict[str, Any]) -> None:
    script = Script()
    script.say(kind, **fields)
    assert "presence_holds" in script.found(snapshot=[off()])
    assert "presence_holds" not in script.found(snapshot=[off()], complete=False)


def test_added_after_the_host_was_replaced_is_no_second_time() -> None:
    script = Script()
    script.say(HostReplaced, before=FACTS, after=FACTS)
    script.say(Added, after=off())
    assert script.found(snapshot=[off()]) == set()


@pytest.mark.parametrize("record", [off(id=7), up(active=False, id=None), off(active=True)])
def test_id_and_activity_must_fit_the_state(record: DomainRecord) -> None:
    script = Script()
    script.say(Updated, before=off(), after=record)
    assert "ids_only_while_active" in script.found(snapshot=[off()])
    assert findings(Recording(stream=[], snapshot=[record]), checkers=["ids_only_while_active"])
    assert findings(Recording(stream=[], view=[record]), checkers=["ids_only_while_active"])


def test_step_no_event_can_tell_must_be_marked() -> None:
    script = Script()
    script.say(StateChanged, before=off(), after=up(state=DomainState.PMSUSPENDED))
    assert script.found(snapshot=[off()]) == {"illegal_steps_are_marked"}
    for changed in ({"origin": Origin.INFERRED}, {"origin": Origin.POLL}, {"merged": 2}):
        script = Script()
        script.say(StateChanged, before=off(), after=up(state=DomainState.PMSUSPENDED), **changed)
        assert script.found(snapshot=[off()]) == set()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Updated, {"before": off(), "after": off(B)}),
        (Updated, {"before": off(B), "after": off()}),
        (Renamed, {"before": off(), "after": off(name="b"), "old": "a", "new": "c"}),
        (Renamed, {"before": off(), "after": off(), "old": "a", "new": "a"}),
        (StateChanged, {"before": off(), "after": off(autostart=True)}),
    ],
)
def test_kind_must_mean_it(kind: type[Any], fields: dict[str, Any]) -> None:
    script = Script()
    script.say(kind, **fields)
    assert "kinds_mean_it" in script.found()


def test_record_must_carry_the_revision_of_its_change() -> None:
    script = Script()
    script.say(Added, after=off())
    (change,) = script.stream
    assert isinstance(change, Added)
    script.stream = [replace(change, revision=5)]
    assert script.found() == {"kinds_mean_it"}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(HostLost, {}), (HostResynced, {}), (Added, {"after": off()}), (DeviceAdded, {"device": "d"})],
)
def test_lost_host_is_silent(kind: type[Any], fields: dict[str, Any]) -> None:
    script = Script()
    script.say(HostLost)
    script.say(kind, **fields)
    assert script.found() == {"losses_are_bracketed"}
    assert script.found(complete=False) == set()


def test_lost_host_may_still_have_conclusions() -> None:
    script = Script()
    script.say(HostLost)
    script.say(Updated, before=off(), after=off(autostart=True), origin=Origin.INFERRED)
    assert script.found(snapshot=[off()]) == set()


def test_replay_must_give_the_view() -> None:
    script = Script()
    script.say(Added, after=off())
    assert script.found(view=[off(revision=1)]) == set()
    assert script.found(view=[off(revision=1, name="x")]) == {"replay_gives_view"}
    assert script.found(view=[off(revision=1), off(B)]) == {"replay_gives_view"}
    assert script.found(view=[off(revision=1, certainty=Certainty.STALE)]) == {"replay_gives_view"}


def test_replay_of_a_lost_host_may_differ_in_certainty() -> None:
    script = Script()
    script.say(HostLost)
    stale = off(certainty=Certainty.STALE, stale_since=1.0, stale_why="cut")
    assert script.found(snapshot=[off()], view=[stale]) == set()
    script.say(HostConnected, facts=FACTS)
    script.say(HostResynced)
    assert script.found(snapshot=[off()], view=[stale]) == {"replay_gives_view"}


def test_finding_says_where() -> None:
    script = Script()
    script.say(Removed, before=off())
    assert "presence_holds at 0: removed of a, which is not there" in {
        str(each) for each in findings(Recording(stream=script.stream))
    }


def test_brief_words_name_transition_and_persistence() -> None:
    from avirt.model.state import Transition

    script = Script()
    script.say(Updated, before=up(transition=Transition.STOPPING, persistent=False), after=off())
    script.say(Updated, before=up(persistent=None), after=off())
    texts = " ".join(each.text for each in findings(Recording(stream=script.stream, snapshot=[off()])))
    assert "a RUNNING BOOTED id=1 stopping transient" in texts
    assert "a SHUTOFF UNKNOWN id=None persistent" in texts
