"""URI → socket and name (reference/libvirt-wire.md §12, §13)."""

from __future__ import annotations

import pytest

from avirt.drivers.libvirt.sockets import (
    CLIENT_PARAMETERS,
    HYPERVISORS,
    SECONDARIES,
    Surroundings,
    find_hypervisors,
    open_name,
    resolve,
)
from avirt.errors import InvalidURI, Unsupported
from avirt.uri import parse_uri

RUN = "/run/user/1000"


def around(*files: str, uid: int = 0, **environ: str) -> Surroundings:
    return Surroundings(environ=environ, uid=uid, exists=frozenset(files).__contains__)


ROOT = around()
USER = around(uid=1000, XDG_RUNTIME_DIR=RUN)


@pytest.mark.parametrize(
    ("uri", "place", "read_only", "path", "daemon"),
    [
        ("qemu:///system", ROOT, False, "/var/run/libvirt/libvirt-sock", "libvirtd"),
        ("qemu:///system", ROOT, True, "/var/run/libvirt/libvirt-sock-ro", "libvirtd"),
        ("QEMU+UNIX:///system", ROOT, False, "/var/run/libvirt/libvirt-sock", "libvirtd"),
        ("qemu:///system", USER, False, "/var/run/libvirt/libvirt-sock", "libvirtd"),
        ("qemu:///session", USER, False, f"{RUN}/libvirt/libvirt-sock", "libvirtd"),
        # a session daemon has no -ro socket
        ("qemu:///session", USER, True, f"{RUN}/libvirt/libvirt-sock", "libvirtd"),
        # root with /session talks to the system socket
        ("qemu:///session", ROOT, False, "/var/run/libvirt/libvirt-sock", "libvirtd"),
        # the test driver is the session's but for root
        ("test+unix:///default", USER, False, f"{RUN}/libvirt/libvirt-sock", "libvirtd"),
        ("test:///default", ROOT, False, "/var/run/libvirt/libvirt-sock", "libvirtd"),
        ("remote:///", ROOT, False, "/var/run/libvirt/libvirt-sock", "libvirtd"),
        ("openvz:///system", ROOT, False, "/var/run/libvirt/libvirt-sock", "libvirtd"),
        ("qemu:///system?mode=legacy", around("/var/run/libvirt/virtqemud-sock"), False,
         "/var/run/libvirt/libvirt-sock", "libvirtd"),
        ("qemu:///system?mode=DIRECT", ROOT, True, "/var/run/libvirt/virtqemud-sock-ro", "virtqemud"),
        ("qemu:///session?mode=direct", USER, True, f"{RUN}/libvirt/virtqemud-sock", "virtqemud"),
        ("parallels:///system?mode=direct", ROOT, False, "/var/run/libvirt/virtvzd-sock", "virtvzd"),
        # auto looks for the socket that it would use
        ("xen:///system", around("/var/run/libvirt/virtxend-sock"), True, "/var/run/libvirt/libvirt-sock-ro",
         "libvirtd"),
        ("nwfilter:///session", around(f"{RUN}/libvirt/virtnwfilterd-sock", uid=7, XDG_RUNTIME_DIR=RUN), False,
         f"{RUN}/libvirt/libvirt-sock", "libvirtd"),
        # XDG_RUNTIME_DIR unset: the cache folder
        ("qemu:///session", around(uid=7, XDG_CACHE_HOME="/c"), False, "/c/libvirt/libvirt-sock", "libvirtd"),
        ("qemu:///session", around(uid=7, HOME="/home/u"), False, "/home/u/.cache/libvirt/libvirt-sock", "libvirtd"),
        ("qemu+unix:///system?socket=/tmp/s", ROOT, True, "/tmp/s", "libvirtd"),
        ("qemu+unix:///system?Socket=@abstract", ROOT, False, "@abstract", "libvirtd"),
    ],
)  # fmt: skip
def test_resolve_gives_the_socket_of_the_table(
    uri: str, place: Surroundings, read_only: bool, path: str, daemon: str
) -> None:
    """Every row of §12's table of unix sockets."""
    target = resolve(parse_uri(uri), place, read_only=read_only)
    assert (target.path, target.daemon, target.read_only) == (path, daemon, read_only)


@pytest.mark.parametrize("driver", [*HYPERVISORS, *SECONDARIES])
@pytest.mark.parametrize("suffix", ["-sock", "-sock-ro"])
def test_resolve_prefers_a_modular_socket_that_exists(driver: str, suffix: str) -> None:
    """mode=auto, for each daemon that there is."""
    path = f"/var/run/libvirt/virt{driver}d{suffix}"
    target = resolve(parse_uri(f"{driver}:///system"), around(path), read_only=suffix.endswith("ro"))
    assert (target.path, target.daemon) == (path, f"virt{driver}d")


def test_resolve_knows_a_session() -> None:
    """For hints; never for root."""
    assert resolve(parse_uri("qemu:///session"), USER).is_session
    assert not resolve(parse_uri("qemu:///session"), ROOT).is_session


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("qemu+unix://host/system", "no host"),
        ("qemu+unix://:99/system", "no host"),
        ("qemu+unix://me@/system", "no host"),
        ("qemu+carrier://host/system", "'carrier' is no transport"),
        ("qemu:///system?mode=some", "mode=some"),
        ("test:///default?mode=direct", "no daemon of its own"),
        ("nwfilter:///session?mode=direct", "no daemon of its own"),
        ("qemu:///system?auth=magic", "auth=magic"),
        ("qemu:///system?socket=rel/path", "no absolute path"),
        ("qemu:///system?socket=", "no absolute path"),
    ],
)
def test_resolve_refuses_what_makes_no_sense(uri: str, problem: str) -> None:
    """With a hint that says what to write."""
    with pytest.raises(InvalidURI, match=problem) as caught:
        resolve(parse_uri(uri), USER)
    assert caught.value.hint


@pytest.mark.parametrize(
    "uri", ["qemu://host/system", "remote://host", *(f"qemu+{t}://host/system" for t in ("ssh", "tls", "tcp", "ext"))]
)
def test_resolve_says_which_transports_are_missing(uri: str) -> None:
    """And what to do instead."""
    with pytest.raises(Unsupported, match="not available") as caught:
        resolve(parse_uri(uri), ROOT)
    assert "ssh -N -L" in caught.value.hint


@pytest.mark.parametrize("auth", ["", "none", "polkit", "sasl", "sasl.SCRAM-SHA-256"])
def test_resolve_passes_the_wish_for_authentication_on(auth: str) -> None:
    """As written."""
    assert resolve(parse_uri(f"qemu:///system?auth={auth}"), ROOT).auth == auth


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("qemu+ssh://u@h:22/system?keyfile=k&x=1", "qemu:///system?x=1"),
        ("test:///default", "test:///default"),
        ("test+unix:///default?socket=/tmp/s", "test:///default"),
        ("qemu:///system", "qemu:///system"),
        ("vbox:///session?MODE=auto", "vbox:///session"),
        ("remote:///", ""),
        ("remote:///?name=lxc:///system", "lxc:///system"),
        ("qemu:///system?name=test:///default&x=1", "test:///default"),
        ("test:///etc/a file.xml", "test:///etc/a%20file.xml"),
    ],
)
def test_open_name_is_the_drivers_own_uri(uri: str, name: str) -> None:
    """Without transport, host and what is for the client (§13)."""
    assert open_name(parse_uri(uri)) == name


def test_open_name_drops_every_client_parameter() -> None:
    """The whole list of §12."""
    query = "&".join(f"{name}=1" for name in sorted(CLIENT_PARAMETERS - {"name"}))
    assert open_name(parse_uri(f"qemu:///system?{query}&kept=yes")) == "qemu:///system?kept=yes"


def uris(place: Surroundings) -> list[str]:
    return [str(found.uri) for found in find_hypervisors(place)]


def test_find_without_anything_finds_nothing() -> None:
    """No error: there is no hypervisor."""
    assert find_hypervisors(ROOT) == []


def test_find_obeys_the_environment_first() -> None:
    """AVIRT_URI, then LIBVIRT_DEFAULT_URI, then the sockets."""
    files = ("/var/run/libvirt/libvirt-sock",)
    both = around(*files, AVIRT_URI="sim://demo", LIBVIRT_DEFAULT_URI="xen:///system")
    assert [(str(f.uri), f.source) for f in find_hypervisors(both)] == [("sim://demo", "AVIRT_URI")]
    assert uris(around(*files, AVIRT_URI="", LIBVIRT_DEFAULT_URI="xen:///system")) == ["xen:///system"]
    with pytest.raises(InvalidURI):
        find_hypervisors(around(AVIRT_URI="nonsense"))


def test_find_lists_all_sockets_of_the_system_for_root() -> None:
    """Modular ones in libvirt's order, the monolithic one unless virtqemud is there."""
    assert uris(around("/var/run/libvirt/libvirt-sock")) == ["qemu:///system"]
    modular = ("/var/run/libvirt/virtlxcd-sock", "/var/run/libvirt/virtxend-sock", "/var/run/libvirt/virtqemud-sock")
    assert uris(around(*modular)) == ["xen:///system", "qemu:///system", "lxc:///system"]
    assert uris(around(modular[0], "/var/run/libvirt/libvirt-sock")) == ["lxc:///system", "qemu:///system"]
    assert uris(around(*modular, "/var/run/libvirt/libvirt-sock")) == [
        "xen:///system",
        "qemu:///system",
        "lxc:///system",
    ]


def test_find_lists_the_users_session_before_the_system() -> None:
    """As libvirt's own client prefers it for a user."""
    place = around(f"{RUN}/libvirt/libvirt-sock", "/var/run/libvirt/virtqemud-sock", uid=1000, XDG_RUNTIME_DIR=RUN)
    assert uris(place) == ["qemu:///session", "qemu:///system"]
    assert [found.path for found in find_hypervisors(place)] == [
        f"{RUN}/libvirt/libvirt-sock",
        "/var/run/libvirt/virtqemud-sock",
    ]
