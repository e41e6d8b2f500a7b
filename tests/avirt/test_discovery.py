"""Which hypervisors this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from avirt.discovery import default_uri, discover
from avirt.errors import CannotConnect, InvalidURI


def test_discover_the_environment_decides_avirt_uri_first() -> None:
    environ = {"AVIRT_URI": "sim://demo", "LIBVIRT_DEFAULT_URI": "qemu:///system"}
    assert [str(found.uri) for found in discover(environ, 0)] == ["sim://demo"]
    del environ["AVIRT_URI"]
    assert str(default_uri(environ, 0)) == "qemu:///system"


def test_discover_finds_the_sockets_of_a_users_session(tmp_path: Path) -> None:
    (tmp_path / "libvirt").mkdir()
    (tmp_path / "libvirt" / "virtqemud-sock").touch()
    found = discover({"XDG_RUNTIME_DIR": str(tmp_path)}, 1000)
    assert str(found[0].uri) == "qemu:///session"


def test_discover_a_malformed_uri_in_the_environment_is_typed() -> None:
    with pytest.raises(InvalidURI):
        discover({"AVIRT_URI": "nonsense"}, 0)


def test_default_uri_of_an_empty_machine_says_what_to_do() -> None:
    with pytest.raises(CannotConnect) as caught:
        default_uri({}, 0, lambda _path: False)
    assert "AVIRT_URI" in caught.value.hint
