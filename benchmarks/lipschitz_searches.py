"""Searches and small exact cases of `certify_local_lipschitz`; all are judged."""

import time
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import lemmata as lm
from benchmarks.certify_local_lipschitz_milp import exact_constant
from benchmarks.harness import Contender, Row, Table, false_successes, race
from lemmata.certify import (
    BoundPropagation,
    BranchAndBound,
    ExactEnumeration,
    LocalLipschitz,
    Network,
    PointSearch,
    SignPrograms,
)
from lemmata.certify._example_local_lipschitz import small_network
from lemmata.numerics.linear_bounds import bound_values, gradient_rows

SEARCH = PointSearch(candidates=8, steps=10)
SAMPLES = 512


def judge_time(network: Network, point: np.ndarray) -> Table:
    """Time to decide a tree of splits over the bound propagations it stands for."""
    problem = LocalLipschitz.around(network, point, 0.03, 0)
    method = BranchAndBound(BoundPropagation(search=SEARCH), max_domains=1_000)
    lm.solve(problem, method, throw=False, max_steps=1)  # compiles
    solution = lm.solve(problem, method, throw=False)
    leaves, domains = solution.value.leaves, solution.value.split_tree.size
    search, judge = (solution.stats.seconds[k] for k in ("run", "certify"))
    table = Table(
        "Deciding a tree of splits again",
        "seconds per leaf over one propagation of the solver",
        f"{leaves} leaves, {domains} domains; all claims of the certificate",
    )
    each = search / domains
    for who, role, taken in (("solver", "ours", search), ("judge", "baseline", judge)):
        ratio = taken / leaves / each
        certified = solution.certified
        table.rows.append(
            Row(who, role, taken, taken / search, None, None, ratio, None, certified)
        )
    return table


def splitting(network: Network, points: Any, radius: float, seconds: float) -> Table:
    """What is left of the gap after a time limit, one class per point."""
    table = Table(
        f"Branch and bound, eps = {radius}, at most {seconds:g} s per instance",
        "gap left: (upper - lower) over that of one pass, with the lower bound found",
        "64-32-32-10; point i, class i; with one linear program per domain split",
    )
    method = BranchAndBound(BoundPropagation(search=SEARCH), prune=SignPrograms())
    for i, point in enumerate(points):
        problem = LocalLipschitz.around(network, point, radius, i)
        lm.solve(problem, method, throw=False, max_steps=1)  # compiles
        solution = lm.solve(problem, method, throw=False, time_limit=seconds)
        root = lm.solve(problem, BoundPropagation(search=SEARCH), throw=False)
        value, whole = solution.value, root.value
        first = float(whole.lipschitz_upper[0])
        low, high = float(value.lipschitz_lower[0]), float(value.lipschitz_upper[0])
        left = (high - low) / (first - low)
        taken, trace = solution.stats.seconds["run"], solution.stats.trace
        domains = int(trace["domains"][-1]) if len(trace) else 1
        note = f"{first:.1f} -> {high:.1f}, attained {low:.1f}; {domains} domains"
        widths = [np.sum(v.jacobian_upper - v.jacobian_lower) for v in (value, whole)]
        note += f"; Jacobian intervals {widths[0] / widths[1]:.2f} as wide"
        figures = taken, 1.0, None, None, left, solution.result.name == "converged"
        row = Row(f"point {i}", "ours", *figures, solution.certified, note)
        table.rows.append(row)
    return table


def kept_bounds(network: Network, points: Any, radius: float, seconds: float) -> Table:
    """What `fix_preactivation` buys: leaves for the time, and the bound they leave."""
    table = Table(
        f"Bounds on values in leaves, eps = {radius}, at most {seconds:g} s each",
        "mean over points of the bound left",
        "64-32-32-10; point i, class i; no linear programs; the judge decides trees of "
        "1,000 domains; seconds: mean, less where no leaf is left to split",
    )
    bounds, times = [], []
    for who, kept in (("computed again", False), ("kept (fix_preactivation)", True)):
        inner = BoundPropagation(search=SEARCH)
        method = BranchAndBound(inner, max_domains=10**8, fix_preactivation=kept)
        found = np.array(
            [
                _searched(LocalLipschitz.around(network, x, radius, i), method, seconds)
                for i, x in enumerate(points)
            ]
        )
        bounds.append(found[:, 0])
        small = replace(method, max_domains=1_000)
        problem = LocalLipschitz.around(network, points[0], radius, 0)
        certified = lm.solve(problem, small, throw=False).certified
        below = int(np.sum(found[:, 0] < bounds[0] * (1 - 1e-6)))
        above = int(np.sum(found[:, 0] > bounds[0] * (1 + 1e-6)))
        note = f"{found[:, 1].sum() / found[:, 2].sum():,.0f} leaves per second"
        note += f"; below the first in {below}, above in {above}" if kept else ""
        bound = float(found[:, 0].mean())
        times.append(float(found[:, 2].mean()))
        figures = times[-1], times[-1] / times[0], None, None, bound, None
        role = "baseline" if kept else "ours"
        table.rows.append(Row(who, role, *figures, certified, note))
    return table


def _searched(problem: Any, method: BranchAndBound, seconds: float) -> Any:
    """Bound, leaves and seconds of a search that nobody judges."""
    with jax.enable_x64(True):
        state = method.init(problem, jax.random.key(0))
        method.step(problem, state)  # compiles
        begun = time.perf_counter()
        taken = 0.0
        while taken < seconds and not method.done(problem, state):
            state = method.step(problem, state)
            taken = time.perf_counter() - begun
    return float(state.upper[0]), int(np.sum(state.neuron < 0)), taken


def exact() -> Table:
    """Exact constants of small networks: pruned search against HiGHS."""
    instances = []
    for seed in range(3):
        network = small_network((3, 7, 6, 1), seed)
        problem = LocalLipschitz.around(network, [0.1, -0.2, 0.3], 0.5)
        instances.append(problem)

    def ours():
        return [lm.solve(p, ExactEnumeration(), throw=False) for p in instances]

    def theirs():
        found = []
        for p in instances:
            arrays = p.network
            pairs = zip(arrays.weights, arrays.biases, strict=True)
            layers = [(w, b) for w, b in pairs if w is not None]
            found.append(exact_constant(layers, p.lower, p.upper, 0))
        return found

    exact = [float(s.value.lipschitz_upper[0]) for s in ours()]
    contenders = [
        Contender(
            "ExactEnumeration",
            "ours",
            ours,
            lambda found: 0.0,
            lambda found: all(s.result.name == "converged" for s in found),
            lambda found: all(s.certified for s in found),
            rounds=3,
        ),
        Contender(
            "MILP (SciPy, HiGHS)",
            "peer",
            theirs,
            lambda found: max(
                abs(bound / e - 1) for (_, bound), e in zip(found, exact, strict=True)
            ),
            lambda found: all(optimal for optimal, _ in found),
            rounds=3,
        ),
    ]
    note = "three networks 3-7-6-1; times of ours include certification"
    return race(
        "Exact local Lipschitz constants", "relative difference", contenders, note
    )


@eqx.filter_jit
def _many(weights: Any, key: Any) -> Any:
    """Bounds, and norms of gradients at random points, of a batch of networks."""
    like = small_network((3, 6, 5, 2), 0)
    rows = jnp.eye(2)

    def one(weights, key):
        network = eqx.tree_at(_arrays, like, weights)
        centre = 0.5 * jax.random.normal(key, (3,), dtype=jnp.float64)
        radius = 10.0 ** jax.random.uniform(key, (), jnp.float64, -2, 0)
        values = bound_values(network, centre - radius, centre + radius)
        ours = gradient_rows(network, values, rows, "envelope").norm
        share = jax.random.uniform(key, (SAMPLES, 3), jnp.float64, -1, 1)
        slopes = jax.vmap(jax.jacrev(network))(centre + radius * share)
        return ours, jnp.abs(slopes).sum(axis=2)

    return jax.vmap(one)(weights, key)


def _arrays(network: Network) -> list[Any]:
    return [a for a in (*network.weights, *network.biases) if a is not None]


def false_bounds(count: int) -> dict[str, Any]:
    """A bound is false where a gradient of the other half of the samples is longer."""
    rng, step = np.random.default_rng(0), 500
    names = ("envelopes (ours)", "sampled maximum", "sampled maximum + 10%")
    said: dict[str, list[bool | None]] = {name: [] for name in names}
    true: dict[str, list[bool]] = {name: [] for name in names}
    like = _arrays(small_network((3, 6, 5, 2), 0))
    for start in range(0, count, step):
        size = min(step, count - start)
        weights = [rng.normal(size=(size, *a.shape)) / a.shape[-1] ** 0.5 for a in like]
        with jax.enable_x64(True):
            keys = jax.random.split(jax.random.key(start), size)
            ours, slopes = map(np.asarray, _many(weights, keys))
        shown, seen = slopes[:, ::2].max(axis=1), slopes[:, 1::2].max(axis=1)
        bounds = (ours * (1 + 1e-9), shown, shown * 1.1)
        for name, bound in zip(names, bounds, strict=True):
            said[name] += [True] * size
            true[name] += np.all(bound >= seen, axis=1).tolist()
    return false_successes(count, said, true)
