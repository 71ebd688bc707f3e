"""Learning and numerical algorithms whose every answer comes with a certificate.

Nothing heavy is imported here: rooms and the contract are loaded on first touch, so
`import lemmata` neither imports JAX nor starts a backend.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        catalogue as catalogue,
        core as core,
        data as data,
        geometry as geometry,
        linear as linear,
        optimize as optimize,
        transport as transport,
    )
    from .core import (
        Certificate as Certificate,
        Solution as Solution,
        certify as certify,
        compare as compare,
        load as load,
        run as run,
        solve as solve,
    )

__version__ = "0.1.0"

__all__ = [
    "Certificate",
    "Solution",
    "catalogue",
    "certify",
    "compare",
    "core",
    "data",
    "geometry",
    "linear",
    "load",
    "optimize",
    "run",
    "solve",
    "transport",
]
# The room `certify` can be called like the function of that name.
_PACKAGES = (
    "catalogue",
    "certify",
    "core",
    "data",
    "geometry",
    "linear",
    "optimize",
    "transport",
)


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f".{name}", __name__)
    if name in __all__:
        return getattr(importlib.import_module(".core", __name__), name)
    raise AttributeError(f"module 'lemmata' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
