"""Records: a host's records as a mapping."""

from __future__ import annotations

import pytest

from avirt.events.policies import Latest
from avirt.events.records import Records
from avirt.model.change import Origin
from avirt.model.record import DomainRecord, Key

from .world import key, running


def test_records_show_what_is_behind_them() -> None:
    one, two = running("h0", 1), running("h0", 2)
    behind: dict[Key, Latest[DomainRecord]] = {}
    records = Records(behind)
    assert (len(records), list(records), list(records.values()), dict(records)) == (0, [], [], {})
    behind[one.key] = Latest(one, Origin.EVENT, 1, 1, 1, 1, 1)
    behind[two.key] = Latest(two, Origin.EVENT, 2, 2, 2, 2, 1)
    assert len(records) == 2
    assert list(records) == [one.key, two.key]
    assert list(records.values()) == [one, two]
    assert dict(records.items()) == {one.key: one, two.key: two}
    assert one in records.values()
    assert key(2) in records
    assert key(3) not in records
    assert records[key(2)] is two
    assert records.get(key(3)) is None
    with pytest.raises(KeyError):
        records[key(3)]
    assert records == {one.key: one, two.key: two}
