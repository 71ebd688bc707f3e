"""A tiny constrained problem, for the gauntlet."""

from typing import Any

from ._pde_control import PDEControl
from ._sketched_newton import SketchedNewton


def sketched_newton() -> tuple[Any, Any]:
    """Control of an elliptic equation on 2 x 2 points: 8 unknowns, 4 equations."""
    return PDEControl(2), SketchedNewton(record=64)
