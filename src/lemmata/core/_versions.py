"""Which versions computed an answer."""

import platform
from functools import cache
from importlib.metadata import version


@cache
def versions() -> dict[str, str]:
    """Versions that decide the bits of an answer."""
    names = ("lemmata", "lemmata-checker", "jax", "jaxlib", "equinox", "numpy", "scipy")
    found = {name: version(name) for name in names}
    return found | {"python": platform.python_version(), "machine": platform.machine()}
