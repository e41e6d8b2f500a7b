"""The lifecycle of a host against a model of a hypervisor: whatever the order of events and replies, at rest the view
is what is true; replaying the Changes gives the view; no step is illegal and unmarked.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from avirt.lifecycle.transitions import Legality, legality
from avirt.model.change import Change, Origin, RecordChange, StateChanged
from avirt.model.observation import LinkLost
from avirt.model.record import Key
from avirt.model.state import DomainState, Transition
from tests.avirt.lifecycle.hypervisor import ACTIONS, KEYS, Hypervisor, Link, Speech, differences
from tests.avirt.lifecycle.lab import FACTS, Lab

actions = st.sampled_from(ACTIONS)
keys = st.sampled_from(KEYS)


def check_step(change: Change) -> None:
    """A step that an event told is legal, or marked."""
    if not isinstance(change, StateChanged) or change.origin is not Origin.EVENT:
        return
    before, after = change.before, change.after
    assert before is not None
    assert after is not None
    if after.active:
        known = before.state if before.active else DomainState.SHUTOFF
        assert legality(known, after.state) is Legality.LEGAL, change


class LifecycleMachine(RuleBasedStateMachine):
    """One host, three domains, a link with delays."""

    @initialize(
        speech=st.builds(Speech, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
        before=st.lists(st.tuples(actions, keys), max_size=6),
    )
    def connect(self, speech: Speech, before: list[tuple[object, Key]]) -> None:
        self.hypervisor = Hypervisor(speech)
        for action, key in before:
            action(self.hypervisor, key)  # type: ignore[operator]
        self.lab = Lab(connected=False)
        self.wanted: set[Key] = set()
        self.link_up()

    def link_up(self) -> None:
        self.hypervisor.told.clear()
        self.link = Link(self.hypervisor)
        self.wanted.clear()
        self.lab.link_up(FACTS)
        self.link.ask(None)

    def took(self, changes: list[Change]) -> None:
        self.wanted.update(self.lab.probes)
        for change in changes:
            check_step(change)

    @rule(action=actions, key=keys)
    def something_happens(self, action: object, key: Key) -> None:
        action(self.hypervisor, key)  # type: ignore[operator]

    @rule()
    def event_arrives(self) -> None:
        event = self.link.event()
        if event is not None:
            self.took(self.lab.step(event))

    @rule(key=keys)
    def probe_is_sent(self, key: Key) -> None:
        self.wanted.discard(key)
        self.link.ask(key)

    @rule()
    def listing_is_sent(self) -> None:
        self.link.ask(None)

    @precondition(lambda self: self.link.calls)
    @rule(data=st.data())
    def call_is_processed(self, data: st.DataObject) -> None:
        self.link.process(data.draw(st.sampled_from(self.link.calls)))

    @precondition(lambda self: self.link.calls)
    @rule(data=st.data(), events_between=st.booleans())
    def reply_arrives(self, data: st.DataObject, events_between: bool) -> None:
        for item in self.link.reply(data.draw(st.sampled_from(self.link.calls))):
            self.took(self.lab.step(item))
            if events_between:
                self.event_arrives()

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 40.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.took(self.lab.wake(seconds))

    @rule(key=keys, transition=st.sampled_from([None, *Transition]), within=st.sampled_from([None, 5.0]))
    def verb_is_accepted(self, key: Key, transition: Transition | None, within: float | None) -> None:
        self.took(self.lab.accepted(transition, within, key=key))

    @rule()
    def link_is_lost_and_made_again(self) -> None:
        self.lab.step(LinkLost("cut"))
        self.link_up()

    @rule()
    def rest(self) -> None:
        """All events and replies arrive, and what was asked for is read."""
        self.settle()
        assert differences(self.hypervisor, self.lab.view) == []

    def settle(self) -> None:
        while self.hypervisor.told or self.link.calls or self.wanted:
            while self.hypervisor.told:
                self.event_arrives()
            for key in sorted(self.wanted):
                self.probe_is_sent(key)
            for call in reversed(list(self.link.calls)):  # the oldest answers come last
                for item in self.link.reply(call):
                    self.took(self.lab.step(item))

    def teardown(self) -> None:
        if not hasattr(self, "lab"):
            return
        self.rest()
        self.lab.wake(600)
        self.settle()
        assert differences(self.hypervisor, self.lab.view) == []
        held = [change for change in self.lab.all if isinstance(change, RecordChange)]
        assert all(change.key in KEYS for change in held)


LifecycleMachine.TestCase.settings = settings(stateful_step_count=50)
TestLifecycleMachine = pytest.mark.slow(LifecycleMachine.TestCase)
