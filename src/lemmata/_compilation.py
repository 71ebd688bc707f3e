"""JAX's persistent compilation cache, for programs that start anew each time."""

import os
import sys
import warnings
from pathlib import Path

HALF_WRITTEN = "Error reading persistent compilation cache entry"


def keep_compiled_code() -> None:
    """Lets JAX keep compiled code between runs; a no-op once JAX is imported.

    Only commands and worker processes call this: a library that is merely imported
    leaves the process's settings alone.
    """
    if "jax" in sys.modules:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache / "lemmata" / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # Processes share it without a lock: an entry read half written is compiled again.
    warnings.filterwarnings("ignore", HALF_WRITTEN, UserWarning)
