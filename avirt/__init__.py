"""avirt: watch and control hypervisors from async Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from avirt.model.state import DomainState

__version__ = "0.1.0"

__all__ = ["DomainState", "__version__"]

_LAZY: Final[dict[str, str]] = {"DomainState": "avirt.model.state"}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'avirt' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
