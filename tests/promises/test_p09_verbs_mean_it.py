"""Promise 9: a verb returns when its effect was observed. The cases are in `tests/avirt/test_domain.py`."""

from __future__ import annotations

import pytest

from avirt.model.command import VERBS, Verb
from avirt.model.state import DomainState
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.anyio

XML = "<domain type='sim'><name>made</name><memory>1024</memory></domain>"


def test_every_verb_has_a_row() -> None:
    assert set(VERBS) == set(Verb)


async def test_a_whole_life_by_verbs_each_observed_on_return() -> None:
    async with watched(make_world()) as host:
        dom = await host.define(XML)
        assert dom.record.persistent is True
        await dom.start()
        assert dom.state is DomainState.RUNNING
        await dom.suspend()
        assert host.view[dom.key].state is DomainState.PAUSED
        await dom.resume()
        await dom.reboot()
        await dom.reset()
        await dom.managed_save()
        assert host.view[dom.key].id is None
        await dom.managed_save_remove()
        await dom.start()
        await dom.save("/image")
        await host.restore("/image")
        assert host.view[dom.key].active
        await dom.set_autostart()
        await dom.shutdown()
        await dom.rename("other")
        await dom.start()
        await dom.destroy()
        await dom.undefine()
        assert not host.view
        transient = await host.create(XML)
        assert transient.record.persistent is False
        await transient.destroy()
        assert not host.view
