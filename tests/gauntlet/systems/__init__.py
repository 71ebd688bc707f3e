"""What the gauntlet must be told about each system: one module per slug.

A module `systems/<slug with underscores>.py` defines `SYSTEM = System(...)`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lemmata_checker.packed import Packed

Oracle = Callable[[Packed, dict[str, np.ndarray], dict[str, Any]], bool | None]
"""`(problem, value, claim) -> is the claim true?`, by arithmetic independent of the
judge (fractions, balls, brute force); None where rounding alone decides."""


@dataclass(frozen=True)
class System:
    """The system-specific part of the gauntlet.

    - `bad_inputs`: name, a function that must raise, the message's pattern.
    - `oracles`: claim id to an independent oracle.
    - `derivative`: returns `(function, point)`: a scalar function of one float64 array,
      differentiable by `jax.grad`, checked against central differences.
    - `batch`: returns `(function, stacked point)` for jit and vmap of `run`.
    - `easier`: name of a problem array whose change makes another problem.
    """

    bad_inputs: tuple[tuple[str, Callable[[], Any], str], ...]
    oracles: dict[str, Oracle] = field(default_factory=dict)
    derivative: Callable[[], tuple[Callable[[Any], Any], np.ndarray]] | None = None
    batch: Callable[[], tuple[Callable[[Any], Any], np.ndarray]] | None = None
    easier: str = ""


def system(slug: str) -> System:
    """What is known of one system; a system without a module fails the gauntlet."""
    name = slug.replace("-", "_")
    return importlib.import_module(f"tests.gauntlet.systems.{name}").SYSTEM
