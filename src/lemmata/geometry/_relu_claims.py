"""What a network is claimed to be worth; on the host."""

from typing import Any

import numpy as np

from lemmata_checker.errors import Malformed
from lemmata_checker.rules.geometry_relu_cells import regions, vectors

from ..core import Claim, Withheld
from ._relu_arrangement import lines
from ._relu_dual import cones_of, lower_bound
from ._relu_network import ReLUNetwork

COST_TOL = 1e-9  # share that rounding may add to a stated objective
_COST, _GAP = "geometry.network_cost/1", "geometry.network_gap/1"
_GLOBAL = "geometry.global_gap/1"


def claims(problem: Any, value: ReLUNetwork) -> tuple[Claim | Withheld, ...]:
    """Cost, gap over the patterns, and over all networks where they are complete."""
    cost = Claim(_COST, COST_TOL)
    if value.dual is None:
        reason = "the answer has no dual: use problem.candidate(...)"
        return cost, Withheld(_GAP, reason), Withheld(_GLOBAL, reason)
    witness = multipliers(problem, np.asarray(value.dual))
    tol = float(problem.gap_tol)
    gap = Claim(_GAP, tol, witness)
    if not complete(problem):
        reason = "the patterns are some of many: use patterns=Exact()"
        return cost, gap, Withheld(_GLOBAL, reason)
    return cost, gap, Claim(_GLOBAL, tol, witness)


def multipliers(problem: Any, dual: np.ndarray) -> dict[str, np.ndarray]:
    """Mu of the best bound that theta gives: a row for each pattern and sign."""
    loss, y = problem.criterion, np.asarray(problem.targets)
    share = loss.share(y.size)
    patterns = np.asarray(problem.patterns)
    cones = cones_of(problem.inputs, patterns)
    decay = float(problem.decay)
    found = lower_bound(loss, y, decay, cones, patterns, dual / share)
    start, rows, values = [0], [], []
    for block in range(len(found.pulls)):
        if cones.sets[block].any():
            row, mu = cones.multipliers(block, found.pulls[block])
            rows.append(row)
            values.append(mu * share)
        start.append(start[-1] + (len(rows[-1]) if cones.sets[block].any() else 0))
    none = np.zeros(0)
    return {
        "multiplier_indptr": np.array(start, np.int64),
        "multiplier_indices": np.concatenate([none, *rows]).astype(np.int64),
        "multipliers": np.concatenate([none, *values]),
    }


def complete(problem: Any) -> bool:
    """Whether there are as many patterns, with directions, as there are cells."""
    count = len(problem.patterns)
    x = np.asarray(problem.inputs)
    if problem.directions is None or count < 2 * len(lines(x)):
        return False
    try:
        return regions(vectors(x)) == count
    except Malformed:
        return False
