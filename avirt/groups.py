"""Exception groups end here: no bare one leaves a public call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import anyio

from avirt.errors import AvirtError, InternalError

__all__ = ["foremost", "holds_cancellation"]


def holds_cancellation(error: BaseException) -> bool:
    """Whether an exception is a cancellation, or a group with one in it."""
    cancelled = anyio.get_cancelled_exc_class()
    return any(isinstance(leaf, cancelled) for leaf in leaves(error))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The single exceptions of a group, in order."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(inner)
    else:
        yield error


def foremost(group: BaseException) -> BaseException:
    """The one exception that says most: a cancellation of ours, a foreign BaseException, a bug, then the first error.

    A bug, that is anything which is no AvirtError, becomes one InternalError.
    """
    found = list(leaves(group))
    cancelled = anyio.get_cancelled_exc_class()
    for error in found:
        if isinstance(error, cancelled) or not isinstance(error, Exception):
            return error
    for error in found:
        if isinstance(error, InternalError):
            return error
        if not isinstance(error, AvirtError):
            bug = InternalError(
                f"internal error: {type(error).__name__}: {error}", hint="this is a bug in avirt: please report it"
            )
            bug.__cause__ = error
            return bug
    return found[0]
