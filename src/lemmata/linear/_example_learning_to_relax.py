"""A tiny stream for the gauntlet."""

from typing import Any

from ._learned_relaxation import LearnedRelaxation
from ._shifted import shifted_laplacian
from ._stationary import SOR
from ._tsallis import TsallisINF


def learning_to_relax() -> tuple[Any, Any]:
    """Fourteen shifted Laplacians on a 3 by 3 grid, five arms."""
    return shifted_laplacian(14, side=3), LearnedRelaxation(SOR(), TsallisINF(5))
