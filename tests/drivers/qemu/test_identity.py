"""Key and name of a domain, given or made."""

from __future__ import annotations

from uuid import UUID

import pytest

from avirt.drivers.qemu.identity import identity
from tests.drivers.qemu.golden import SCENES

PLACE = "/run/vms/web1.qmp"
ZEROS = "00000000-0000-0000-0000-000000000000"


def test_identity_is_what_qemu_was_given() -> None:
    """-uuid and -name."""
    replies = [line.got["return"] for line in SCENES["identity"].lines if line.got and line.got.get("return")]
    who = identity(PLACE, replies[1]["UUID"], replies[0]["name"])
    assert (UUID(bytes=who.key), who.name) == (UUID("6f7f0e1c-1d3c-4a0e-9c05-0a6c1b7f2a11"), "web1")
    assert not who.synthetic


@pytest.mark.parametrize("uuid", [ZEROS, None, "", "nonsense"])
def test_identity_without_a_uuid_is_made_of_the_place(uuid: str | None) -> None:
    """The same at every connection, another one elsewhere, and marked."""
    who = identity(PLACE, uuid, None)
    assert (who.name, who.synthetic) == ("web1", True)
    assert UUID(bytes=who.key).version == 5
    assert who == identity(PLACE, ZEROS, "")
    assert who.key != identity("/run/vms/web2.qmp", ZEROS, None).key


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/run/vms/db.qmp", "db"),
        ("/run/vms/db", "db"),
        ("/run/vms/db.monitor.sock", "db.monitor"),
        ("h:4444", "h:4444"),
    ],
)
def test_name_that_qemu_was_not_given_is_the_files(place: str, name: str) -> None:
    """Without its suffix."""
    assert identity(place, None, None).name == name


def test_name_of_a_place_that_has_none_is_the_place() -> None:
    """Never empty."""
    assert identity("/", None, None).name == "/"
