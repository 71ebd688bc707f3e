"""CVXPY's model of the inequality, and bounds that are stated but false.

The truth is brute force over the patterns of small random networks, none of which a
valid bound may undercut.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import lemmata as lm
from benchmarks.harness import false_successes
from lemmata.certify import Eigenvalue, GlobalLipschitz
from lemmata.certify._example_lipsdp import dense_network
from lemmata.certify._inequality import assemble
from lemmata.certify._multipliers import AbstractConstraints, Eliminated
from lemmata.core import run

SIZES = (2, 4, 2)
PEERS = 200  # networks on which the peers are asked
ROUNDING = 1e-12  # of brute force in floats, relative
SWAP = np.eye(2)[::-1]


def cvxpy_bound(
    problem: GlobalLipschitz, constraints: AbstractConstraints, solver: str
) -> dict[str, Any]:
    """One semidefinite constraint per block, one variable per multiplier."""
    import cvxpy

    with jax.enable_x64(True):
        inequality = assemble(problem.network, constraints)
    rows, base = np.asarray(inequality.rows), np.asarray(inequality.base)
    layout = inequality.layout
    owners, signs = np.asarray(layout.owners), np.asarray(layout.signs)
    theta = cvxpy.Variable(len(layout.kinds))
    spread = np.zeros((len(owners), len(layout.kinds)))
    spread[np.arange(len(owners)), owners] = signs
    limits: list[Any] = [theta[np.flatnonzero(layout.positive)] >= 0]
    for spans, entered in layout.parts:
        p, r = (np.concatenate([np.arange(*x) for x in y]) for y in (spans, entered))
        u = rows[np.ix_(r, p)]
        matrix = u.T @ cvxpy.diag(spread[r] @ theta) @ u + base[np.ix_(p, p)]
        limits.append((matrix + matrix.T) / 2 >> 0)
    model = cvxpy.Problem(cvxpy.Minimize(layout.cost @ theta), limits)
    try:
        model.solve(solver=solver)
    except cvxpy.SolverError:
        return {"bound": np.nan, "success": False, "theta": None, "layout": layout}
    found = theta.value
    bound = np.nan if found is None else float(layout.cost @ found) ** 0.5
    return {
        "bound": bound,
        "success": model.status == "optimal",
        "theta": found,
        "layout": layout,
    }


def judged(problem: GlobalLipschitz, answer: dict[str, Any], form: int) -> bool:
    """Whether the peer's own multipliers show the peer's own bound."""
    if answer["theta"] is None or not np.isfinite(answer["bound"]):
        return False
    layout, theta = answer["layout"], answer["theta"]
    multipliers = theta[layout.indices(0)]
    if np.any(multipliers < 0):
        return False
    coupling = None
    if form == 1:
        gamma = theta[layout.indices(1)]
        coupling = np.stack([gamma, 0 * gamma, 0 * gamma], axis=1)
    value = problem.candidate(
        multipliers=multipliers,
        form=form,
        coupling=coupling,
        lipschitz_upper=answer["bound"],
    )
    return lm.certify(problem, value).certificate["global_lipschitz_l2"].holds


def false_bounds(cases: int) -> dict[str, Any]:
    """Stated upper bounds below brute force; ours are stated if the judge accepts."""
    names = ("lemmata", "CVXPY, CLARABEL", "CVXPY, SCS")
    said: dict[str, list[bool | None]] = {name: [] for name in names}
    true: dict[str, list[bool]] = {name: [] for name in names}
    every = max(cases // PEERS, 1)
    for i, (problem, value, truth) in enumerate(_random(cases)):
        held = lm.certify(problem, value).certificate["global_lipschitz_l2"].holds
        said["lemmata"].append(held)
        true["lemmata"].append(held and float(value.lipschitz_upper) >= truth)
        if i % every == 0:
            for name in names[1:]:
                answer = cvxpy_bound(problem, Eliminated(), name.split(", ")[1])
                said[name].append(answer["success"])
                true[name].append(bool(answer["bound"] >= truth))
    return false_successes(cases, said, true)


def _random(cases: int) -> Iterator[tuple[GlobalLipschitz, Any, float]]:
    """Problem, answer and truth: sorted pairs, ReLUs and reflections in turn."""
    kinds = ({"op": "group_sort", "size": 2}, {"op": "relu"}, {"op": "householder"})
    bounds = np.linspace(0, cases, len(kinds) + 1).astype(int)
    for kind, first, end in zip(kinds, bounds, bounds[1:], strict=False):
        problems = [_problem(kind, seed) for seed in range(first, end)]
        values = _solved(problems)
        for i, problem in enumerate(problems):
            value = jax.tree.map(lambda leaf, i=i: leaf[i], values)
            yield problem, value, _truth(problem, kind["op"])


def _problem(kind: dict[str, Any], seed: int) -> GlobalLipschitz:
    vectors = None
    if kind["op"] == "householder":
        vectors = np.random.default_rng((seed, 1)).normal(size=(1, 2, 2))
    return GlobalLipschitz(dense_network(SIZES, kind, seed, vectors))


def _solved(problems: list[GlobalLipschitz]) -> Any:
    """Answers of all, in one compiled batch."""
    batched = jax.tree.map(lambda *leaves: np.stack(leaves), *problems)
    with jax.enable_x64(True):
        solve = eqx.filter_jit(
            eqx.filter_vmap(lambda p: run(p, Eigenvalue(), max_steps=60)[0])
        )
        values = solve(jax.tree.map(jnp.asarray, batched))
    return jax.tree.map(np.asarray, values)


def _truth(problem: GlobalLipschitz, op: str) -> float:
    """Largest norm over the patterns of one hidden layer of four."""
    first, last = (np.asarray(problem.network.weights[k]) for k in (0, 2))
    if op == "relu":
        pools = [[np.zeros((1, 1)), np.eye(1)]] * 4
    elif op == "group_sort":
        pools = [[np.eye(2), SWAP]] * 2
    else:
        vectors = np.asarray(problem.network.weights[1])
        pools = [[np.eye(2), np.eye(2) - 2 * np.outer(v, v) / (v @ v)] for v in vectors]
    patterns, start = [np.zeros((4, 4))], 0
    for pool in pools:
        size = len(pool[0])
        place = slice(start, start + size)
        grown = [pattern.copy() for pattern in patterns for _ in pool]
        for i, pattern in enumerate(grown):
            pattern[place, place] = pool[i % len(pool)]
        patterns, start = grown, start + size
    jacobians = np.stack([last @ pattern @ first for pattern in patterns])
    norms = np.linalg.norm(jacobians, 2, axis=(1, 2))
    return float(np.max(norms)) * (1 - ROUNDING)
