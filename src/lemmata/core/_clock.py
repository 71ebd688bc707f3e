"""Seconds spent compiling, apart from seconds spent computing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import jax

_COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
_spent = threading.local()


@cache
def _listen() -> None:
    def record(event: str, duration_secs: float, **_: str | int) -> None:
        if event in _COMPILING and hasattr(_spent, "seconds"):
            _spent.seconds += duration_secs

    jax.monitoring.register_event_duration_secs_listener(record)


class CompileClock:
    """Reads how many seconds this thread has compiled since the clock was made."""

    def seconds(self) -> float:
        return _spent.seconds


@contextmanager
def compile_clock() -> Iterator[CompileClock]:
    _listen()
    outer = getattr(_spent, "seconds", None)
    _spent.seconds = 0.0
    try:
        yield CompileClock()
    finally:
        spent = _spent.seconds
        if outer is None:
            del _spent.seconds
        else:
            _spent.seconds = outer + spent
