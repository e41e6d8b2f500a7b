"""The oracle reads virsh's words aright."""

from __future__ import annotations

import pytest

from tests.lab.virsh import REASONS, STATES, parse

SAID = """\
Id:             7
Name:           a: b
UUID:           452b57f0-1a8f-45e7-8538-00d638286e24
OS Type:        hvm
State:          running
CPU(s):         1
Persistent:     yes
Autostart:      disable
Managed save:   no

running (event wakeup)

Id:             -
Name:           off
UUID:           452b57f0-1a8f-45e7-8538-00d638286e25
State:          shut off
Persistent:     no
Autostart:      enable

shut off (destroyed)
"""


def test_dominfo_and_domstate_become_rows() -> None:
    """Domain after domain; no id is None."""
    assert parse(SAID) == [
        {
            "name": "a: b",
            "uuid": "452b57f0-1a8f-45e7-8538-00d638286e24",
            "id": 7,
            "state": "running",
            "reason": "wakeup",
            "persistent": True,
            "autostart": False,
        },
        {
            "name": "off",
            "uuid": "452b57f0-1a8f-45e7-8538-00d638286e25",
            "id": None,
            "state": "shutoff",
            "reason": "destroyed",
            "persistent": False,
            "autostart": True,
        },
    ]


@pytest.mark.parametrize("word", [*STATES.values(), *REASONS.values()])
def test_every_word_is_one_of_the_model(word: str) -> None:
    """What virsh's words are turned into are names of libvirt's enums."""
    from avirt.model.state import REASONS as MODEL
    from avirt.model.state import DomainState

    known = {state.name.lower() for state in DomainState} | {
        reason.name.lower() for reasons in MODEL.values() for reason in reasons
    }
    assert word in known
