"""Domains of a branch and bound that have no point, and points of those that have.

A domain is tested when its turn has come to be split: many never come that far.
"""

from typing import Any, final

import equinox as eqx
import jax
import numpy as np

from lemmata_checker.network import network_of

from ._box_question import rows_of
from ._point_search import SLACK, strict_norm
from ._sign_programs import decide_signs
from ._split_tree import TreeState


class AbstractPruning(eqx.Module):
    """Whether domains without a point are looked for."""


@final
class NoPruning(AbstractPruning):
    """No sign pattern is tested: the bound may stay above the exact constant."""


@final
class SignPrograms(AbstractPruning):
    """One linear program per domain: has the box a point with these signs?"""


def possible(problem: Any, state: TreeState, taken: np.ndarray, batch: int) -> Any:
    """Those of these open domains that may have a point.

    The tree notes the others as empty; points found become lower bounds, `batch` of
    them evaluated at once.
    """
    records = network_of(*problem.network.records())
    box, left = (problem.lower, problem.upper), []
    points, rows = [], []
    known = state.open.known(taken)
    for i, *parts in zip(taken, known.signs, known.lower, known.upper, strict=True):
        node = state.open.node[i]
        verdict = decide_signs(records, box, *parts)
        if verdict.multipliers is not None:
            state.neuron[node] = -2 - len(state.infeasible)
            table = (state.infeasible, verdict.multipliers[None])
            state.infeasible = np.concatenate(table)
            continue
        left.append(i)
        if verdict.point is not None:
            points.append(verdict.point)
            rows.append(int(state.row[node]))
    if points:
        _raise_lower(problem, state, np.stack(points), np.asarray(rows), batch)
    return np.asarray(left, dtype=np.int64)


@eqx.filter_jit
def _strict(network: Any, points: Any, rows: Any) -> Any:
    return jax.vmap(lambda x, row: strict_norm(network, x, row))(points, rows)


def _raise_lower(problem, state, points, rows, size) -> None:
    full = np.concatenate([points, np.repeat(points[:1], -len(points) % size, axis=0)])
    wide = np.concatenate([rows, np.repeat(rows[:1], -len(rows) % size)])
    every = rows_of(problem)
    for start in range(0, len(full), size):
        part = full[start : start + size]
        norms = _strict(problem.network, part, every[wide[start : start + size]])
        for i, norm in enumerate(np.asarray(norms) * (1 - SLACK)):
            r = wide[start + i]
            if norm > state.norms[r]:
                state.norms[r], state.points[r] = norm, part[i]
