"""Settings for every test: one LAPACK thread, slow tests on request, work grouped."""

import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Workers and runs share what they compile; only what takes long is worth a file.
cache = Path(__file__).parent / ".cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import pytest

MAPPINGS = 12_000  # of the 65,530 memory mappings that Linux gives a process


@pytest.fixture(autouse=True, scope="module")
def _few_executables():
    """Each compiled function maps memory; a process that runs out of it crashes."""
    yield
    maps = Path("/proc/self/maps")
    if "jax" in sys.modules and maps.exists():
        with maps.open("rb") as lines:
            mapped = sum(1 for _ in lines)
        if mapped > MAPPINGS:
            sys.modules["jax"].clear_caches()
            gc.collect()


def pytest_addoption(parser):
    parser.addoption("--run-slow", action="store_true", help="run tests marked slow")


def pytest_configure(config):
    """Small instances compile twice as fast without LLVM's optimisation."""
    if not config.getoption("--run-slow"):
        flags = ["--xla_backend_optimization_level=0", os.environ.get("XLA_FLAGS", "")]
        os.environ["XLA_FLAGS"] = " ".join(flags).strip()


def pytest_collection_modifyitems(config, items):
    for item in items:
        # One worker for what shares compiled code: a system in the gauntlet, a file.
        slug = getattr(item, "callspec", None) and item.callspec.params.get("slug")
        item.add_marker(pytest.mark.xdist_group(slug or str(item.path)))
    if config.getoption("--run-slow"):
        return
    skip = pytest.mark.skip(reason="slow: run with --run-slow (make test-slow)")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)
