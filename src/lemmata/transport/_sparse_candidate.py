"""Values of sparse transport made of a plan and a potential, on the host."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from ..core import InvalidArgument, float64, solve
from ._sparse_plan import SparsePlan
from ._topk import Evaluation, semi_dual


def evaluated(problem: Any, potential: np.ndarray) -> Evaluation:
    """The semi-dual at a potential of the side without a cap; on the host."""
    with float64():
        return _semi_dual(problem.oriented(), jnp.asarray(potential))


_semi_dual = eqx.filter_jit(semi_dual)


def assemble(problem: Any, plan: sp.coo_array, potential: np.ndarray) -> SparsePlan:
    """The value of a plan (m, n) and a potential of the side without a cap."""
    found = evaluated(problem, potential)
    topk = found.topk
    indices = np.asarray(topk.indices)
    points = np.repeat(np.arange(indices.shape[0]), indices.shape[1])
    selection = indices.ravel(), points
    alpha, beta = np.asarray(potential), -np.asarray(topk.threshold)
    if problem.axis == "rows":
        selection, alpha, beta = selection[::-1], beta, alpha
    rows, columns = (np.asarray(k, dtype=np.int64) for k in plan.coords)
    mass = np.asarray(plan.data, dtype=np.float64)
    costs = problem.cost.entries(rows, columns)
    gamma = float(problem.gamma)
    used = mass != 0
    objective = costs[used] @ mass[used] + gamma / 2 * (mass @ mass)
    return SparsePlan(
        rows=rows,
        columns=columns,
        mass=mass,
        selection_rows=selection[0],
        selection_columns=selection[1],
        selection_mass=np.asarray(topk.mass).ravel(),
        alpha=alpha,
        beta=beta,
        objective=np.asarray(objective),
        dual_value=np.asarray(found.value),
    )


def sparse_candidate(problem: Any, plan: Any, alpha: Any) -> SparsePlan:
    """See `SparseTransport.candidate`."""
    coo = sp.coo_array(plan if sp.issparse(plan) else np.asarray(plan, np.float64))
    coo.sum_duplicates()
    shape = problem.cost.shape
    if coo.shape != shape:
        raise InvalidArgument("candidate.plan", f"shape {shape}", coo.shape)
    if alpha is None:
        alpha = _best_potential(problem)
    potential = np.asarray(alpha, dtype=np.float64)
    size = shape[0] if problem.axis == "columns" else shape[1]
    if potential.shape != (size,):
        raise InvalidArgument("candidate.alpha", f"shape ({size},)", potential.shape)
    return assemble(problem, coo, potential)


def _best_potential(problem: Any) -> np.ndarray:
    """A maximiser of the semi-dual; the plan that comes with it is not used."""
    value = solve(problem, throw=False).value
    return value.alpha if problem.axis == "columns" else value.beta
