"""Promise 13: no secret in what is printed or logged; XML with DTDs refused; read-only means it."""

from __future__ import annotations

import logging

import pytest

from avirt.drivers.wire.xml import parse
from avirt.errors import AvirtError, InvalidArgument
from avirt.host import connect
from avirt.log import get_logger, redact
from tests.avirt.worlds import make_world, watched

CANARY = "canary-7d1f"


@pytest.mark.anyio
async def test_no_credential_of_a_uri_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    for uri in (
        f"sim://user:{CANARY}@x/path",
        f"qemu+unix://u:{CANARY}@/system?socket=/nonexistent",
        f"test+unix:///default?socket=/nonexistent&password={CANARY}",
        f"nonsense://u:{CANARY}@h/x?token={CANARY}",
    ):
        with pytest.raises(AvirtError) as caught:
            async with connect(uri):
                pass
        error = caught.value
        shown += [str(error), repr(error), error.hint, error.native, error.host]
    assert CANARY not in "".join(shown) + caplog.text


def test_log_lines_are_redacted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    get_logger("test").warning("lost", uri=f"qemu://u:{CANARY}@h/", why=f"password={CANARY} refused")
    assert CANARY not in caplog.text
    assert "lost" in caplog.text
    assert CANARY not in redact(f"https://user:{CANARY}@host/?token={CANARY}")


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE d [<!ENTITY a "b">]><d>&a;</d>',
        '<!DOCTYPE d SYSTEM "file:///etc/passwd"><d/>',
        '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><d>&b;</d>',
    ],
)
def test_xml_with_a_dtd_is_refused(document: str) -> None:
    with pytest.raises(AvirtError):
        parse(document)


@pytest.mark.anyio
async def test_read_only_refuses_every_verb() -> None:
    world = make_world("a", running=("a",))
    async with watched(world, readonly=True) as host:
        dom = await host.lookup(name="a")
        for verb in (
            dom.start, dom.shutdown, dom.destroy, dom.reboot, dom.reset, dom.suspend, dom.resume, dom.managed_save,
            dom.managed_save_remove, dom.undefine, dom.set_autostart,
        ):  # fmt: skip
            with pytest.raises(AvirtError, match="read-only"):
                await verb()
        with pytest.raises(AvirtError, match="read-only"):
            await dom.rename("b")
        with pytest.raises(AvirtError, match="read-only"):
            await dom.save("/x")
        with pytest.raises(InvalidArgument):
            await host.lookup()
