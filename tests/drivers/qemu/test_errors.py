"""Every error of QMP becomes a typed one; texts decide only where the table says so."""

from __future__ import annotations

import pytest

from avirt import errors as e
from avirt.drivers.qemu.errors import ERRORS, TEXTS, native_error
from tests.drivers.qemu.golden import ERRORS as SEEN


@pytest.mark.parametrize(
    ("error_class", "cls"),
    [
        ("GenericError", e.NativeError),
        ("CommandNotFound", e.Unsupported),
        ("DeviceNotActive", e.InvalidOperation),
        ("DeviceNotFound", e.NotFound),
        ("KVMMissingCap", e.Unsupported),
        ("FromTheFuture", e.NativeError),
    ],
)
def test_error_class_becomes(error_class: str, cls: type[e.AvirtError]) -> None:
    """As the reference says; one that nobody knew yet is native."""
    error = native_error(error_class, "what QEMU said", verb="start", domain="web1", host="h1")
    assert type(error) is cls
    assert (error.code, error.native, str(error)) == (error_class, "what QEMU said", "what QEMU said")
    assert (error.driver, error.verb, error.domain, error.host) == ("qemu", "start", "web1", "h1")


def test_error_classes_are_total() -> None:
    """qapi/error.json, QapiErrorClass."""
    assert ERRORS.keys() == {"GenericError", "CommandNotFound", "DeviceNotActive", "DeviceNotFound", "KVMMissingCap"}


def test_error_without_a_text_names_its_class() -> None:
    """A message is never empty."""
    error = native_error("GenericError", "")
    assert (str(error), error.native) == ("QEMU's error GenericError", "")


@pytest.mark.parametrize(
    ("desc", "cls"),
    [
        ("Device n is already in the process of unplug", e.AlreadyInState),
        ("Resetting the Virtual Machine is required", e.InvalidOperation),
        ("Unable to wake up: guest is not in suspended state", e.InvalidOperation),
        ("wake-up from suspend is not supported by this guest", e.Unsupported),
        ("There's a migration process in progress", e.Busy),
        ("Duplicate device ID 'n'", e.AlreadyExists),
        ("Duplicate ID 'nd'", e.AlreadyExists),
        ("Duplicate nodes with node-name='b'", e.AlreadyExists),
        ("attempt to add duplicate property 'o' to object (type 'container')", e.AlreadyExists),
    ],
)
def test_generic_error_with_a_known_text_becomes(desc: str, cls: type[e.AvirtError]) -> None:
    """A last resort: only these, and only as GenericError."""
    assert type(native_error("GenericError", desc)) is cls
    assert type(native_error("DeviceNotFound", desc)) is e.NotFound
    assert sum(text in desc for text in TEXTS) == 1


def test_known_texts_are_those_of_a_real_qemu() -> None:
    """7.2 said each of them, but for the first, whose moment a test can't catch."""
    said = [desc for _, error_class, desc in SEEN if error_class == "GenericError"]
    assert [text for text in TEXTS if not any(text in desc for desc in said)] == ["is already in the process of unplug"]


def test_command_before_the_negotiation_says_so() -> None:
    """QEMU has no class of its own for it."""
    before = native_error("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'")
    unknown = native_error("CommandNotFound", "The command nonsense has not been found")
    assert isinstance(before, e.Unsupported)
    assert "negotiated" in before.hint
    assert "too old" in unknown.hint


@pytest.mark.parametrize(
    ("command", "cls"),
    [
        ("nonsense", e.Unsupported),
        ("query-balloon", e.InvalidOperation),
        ("device_del", e.NotFound),
        ("eject", e.NotFound),
        ("block-job-cancel", e.InvalidOperation),
        ("cont", e.InvalidOperation),
        ("job-dismiss", e.NativeError),
        ("migrate-continue", e.NativeError),
    ],
)
def test_error_of_a_real_qemu_becomes(command: str, cls: type[e.AvirtError]) -> None:
    """Refusals recorded from 7.2."""
    refusals = [(c, desc) for name, c, desc in SEEN if name == command and "negotiation" not in desc]
    assert refusals
    assert {type(native_error(*refusal)) for refusal in refusals} == {cls}
