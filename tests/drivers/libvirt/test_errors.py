"""Every number libvirt has becomes a typed error."""

from __future__ import annotations

import errno

import pytest

from avirt import errors as e
from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.errors import ERRNOS, ERRORS, native_error
from avirt.drivers.libvirt.generated.types import RemoteError
from avirt.drivers.libvirt.protocol import Connection, Role
from tests.drivers.libvirt.golden import SCENES
from tests.drivers.libvirt.values import TABLE

NUMBERS: dict[str, int] = TABLE["public"]["enums"]["virErrorNumber"]

# reference/libvirt-wire.md §7, "Suggested classes"; 38, 39 and 40 are the connection's only on our own side.
CLASSES: list[tuple[type[e.AvirtError], set[int]]] = [
    (e.Unsupported, {3, 84, 74, 16}),
    (e.NotFound, {42, 43, 49, 50, 53, 57, 62, 66, 72, 80, 101, 103, 104, 107, 111, 99}),
    (e.AlreadyExists, {28, 37, 76, 90, 106}),
    (e.InvalidOperation, {55, 83}),
    (e.AccessDenied, {29, 88}),
    (e.AuthError, {45, 79, 94}),
    (e.InvalidArgument, {8, 27, 7, 36, 46, 47, 52, 58, 61, 65, 67, 71, 92, 102, 105, 114}),
    (e.Busy, {68, 86, 87, 97, 112}),
    (e.CannotConnect, {5}),
    (e.AmbiguousName, {59, 110}),
    (e.Aborted, {78}),
]


def remote(code: int, message: str | None = "text", *, domain: int = 10, int1: int = -1) -> RemoteError:
    return RemoteError(code, domain, message, 2, None, None, None, None, int1, -1, None)


def test_errors_are_total_over_libvirts_numbers() -> None:
    """Each number has a row under its name; warnings are named after what is missing."""
    assert ERRORS.keys() == set(NUMBERS.values())
    for name, number in NUMBERS.items():
        wanted = name.removeprefix("VIR_ERR_")
        if name.startswith("VIR_WAR_"):
            wanted = name.removeprefix("VIR_WAR_") + "_DRIVER"
        assert ERRORS[number].name == wanted


@pytest.mark.parametrize(("cls", "codes"), CLASSES, ids=lambda part: getattr(part, "__name__", ""))
def test_errors_of_a_kind_have_its_class(cls: type[e.AvirtError], codes: set[int]) -> None:
    """As the reference suggests."""
    for code in codes:
        assert type(native_error(remote(code))) is cls


@pytest.mark.parametrize("code", sorted(NUMBERS.values()))
def test_error_carries_what_is_known(code: int) -> None:
    """Number, text, verb, domain, host, driver."""
    error = native_error(remote(code, "what libvirt said"), verb="start", domain="web1", host="h1")
    assert (error.code, error.native, str(error)) == (code, "what libvirt said", "what libvirt said")
    assert (error.driver, error.verb, error.domain, error.host) == ("libvirt", "start", "web1", "h1")
    assert error.hint == ERRORS[code].hint


def test_error_without_text_names_its_number() -> None:
    """The message is optional on the wire."""
    assert str(native_error(remote(42, None))) == "libvirt's error 42 (NO_DOMAIN)"
    assert native_error(remote(42, None)).native == ""
    assert str(native_error(remote(999, None))) == "libvirt's error 999"


@pytest.mark.parametrize("code", [115, 999, -1, 2**31 - 1])
def test_error_of_unknown_number_is_a_native_error(code: int) -> None:
    """A newer libvirt's."""
    error = native_error(remote(code))
    assert type(error) is e.NativeError
    assert error.code == code
    assert "newer" in error.hint


def test_error_retryable_are_those_that_pass_by_themselves() -> None:
    """Locks and agents; never a refusal."""
    retryable = {code for code in ERRORS if native_error(remote(code)).retryable}
    assert retryable == {68, 86, 87, 97, 112}


@pytest.mark.parametrize("domain", [7, 13])
def test_error_unknown_procedure_is_unsupported(domain: int) -> None:
    """An old server; only from its RPC layer."""
    assert type(native_error(remote(39, "unknown procedure: 9999", domain=domain))) is e.Unsupported
    assert type(native_error(remote(39, "unknown procedure: 9999", domain=10))) is e.NativeError
    assert type(native_error(remote(1, "unknown procedure: 9999", domain=domain))) is e.NativeError
    assert type(native_error(remote(39, "authentication required", domain=domain))) is e.NativeError
    assert type(native_error(remote(39, None, domain=domain))) is e.NativeError


def test_error_unknown_program_is_unsupported() -> None:
    """A server without the qemu or lxc program."""
    error = native_error(remote(39, "Cannot find program 536903815 version 1", domain=7))
    assert type(error) is e.Unsupported


def test_error_of_the_system_is_told_by_its_errno() -> None:
    """What the host is out of, what is busy; the rest stays native."""
    for number, (cls, hint) in ERRNOS.items():
        error = native_error(remote(38, int1=number))
        assert (type(error), error.hint) == (cls, hint)
    assert type(native_error(remote(38, int1=errno.ENOENT))) is e.NativeError
    assert type(native_error(remote(1, int1=errno.ENOSPC))) is e.NativeError


def test_errors_of_real_daemons_have_the_class_that_was_seen() -> None:
    """From the golden frames: procedure, number, class."""
    seen = {
        (each.name, error.code, type(error))
        for scene in SCENES.values()
        for each in scene.sent_by("server")
        if each.status == "ERROR"
        for (message,) in [Connection(Role.CLIENT).receive_data(each.data)]
        for error in [native_error(codec.unpack_error(message.payload))]
    }
    assert {
        ("connect_open", 5, e.CannotConnect),
        ("domain_create_with_flags", 1, e.NativeError),
        ("domain_create_with_flags", 55, e.InvalidOperation),
        ("domain_get_state", 42, e.NotFound),
        ("domain_lookup_by_name", 42, e.NotFound),
        ("domain_managed_save", 3, e.Unsupported),
        ("unknown", 39, e.Unsupported),
    } <= seen
