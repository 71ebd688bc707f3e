"""Instances on which solvers like to be wrong: made here, the same for everybody."""

import numpy as np

from lemmata.transport import EntropicTransport, OptimalTransport


def entropic() -> dict[str, EntropicTransport]:
    """Small epsilon, ties, bad scales, zero weights."""
    rng = np.random.default_rng(11)
    cases = {}
    for epsilon in (1e-3, 1e-4, 1e-5):
        cost = rng.uniform(size=(40, 40))
        cases[f"random, epsilon {epsilon:g}"] = EntropicTransport(cost, epsilon=epsilon)
    for levels in (2, 3, 5):
        cost = rng.integers(0, levels, size=(30, 30)).astype(float)
        cases[f"ties, {levels} values"] = EntropicTransport(cost, epsilon=2e-3)
    line = np.arange(30.0)
    distance = np.abs(line[:, None] - line)
    cases["points on a line"] = EntropicTransport(distance / 29, epsilon=1e-3)
    for scale in (1e-8, 1e8):
        cost = scale * rng.uniform(size=(30, 30))
        cases[f"costs times {scale:g}"] = EntropicTransport(cost, epsilon=1e-3 * scale)
    offset = rng.uniform(size=(30, 30)) + 1e6
    cases["costs plus 1e6"] = EntropicTransport(offset, epsilon=1e-2)
    spread = 10.0 ** rng.uniform(-6, 3, size=(30, 30))
    cases["costs over nine decades"] = EntropicTransport(spread, epsilon=1e-2)
    for share in (0.1, 0.5):
        source, target = rng.uniform(size=(2, 40))
        source[rng.uniform(size=40) < share] = 0.0
        target[rng.uniform(size=40) < share] = 0.0
        cost = rng.uniform(size=(40, 40))
        weights = source / source.sum(), target / target.sum()
        cases[f"{share:.0%} zero weights"] = EntropicTransport(
            cost, *weights, epsilon=5e-3
        )
    tiny = np.full(30, 1.0)
    tiny[0] = 1e-12
    cost = rng.uniform(size=(30, 30))
    cases["one weight of 1e-12"] = EntropicTransport(
        cost, tiny / tiny.sum(), np.full(30, 1 / 30), epsilon=5e-3
    )
    return cases


def linear() -> dict[str, OptimalTransport]:
    """Huge costs stand for forbidden pairs (POT issue 229), ties, bad scales.

    Everybody is asked for a gap of a millionth of the costs that no plan can avoid.
    """
    rng = np.random.default_rng(229)
    cases = {}
    for number in range(12):
        cost, plan = _forbidden(rng, 10.0 ** rng.integers(16, 33))
        cases[f"forbidden pairs {number}"] = OptimalTransport(
            cost, plan.sum(axis=1), plan.sum(axis=0), gap_tol=1e-6
        )
    for levels in (2, 3):
        cost = rng.integers(0, levels, size=(30, 30)).astype(float)
        cases[f"ties, {levels} values"] = OptimalTransport(cost)
    for scale in (1e-10, 1e10):
        cases[f"costs times {scale:g}"] = OptimalTransport(
            scale * rng.uniform(size=(30, 30))
        )
    weights = rng.uniform(size=(2, 30)) ** 8
    weights /= weights.sum(axis=1, keepdims=True)
    cases["weights over many decades"] = OptimalTransport(
        rng.uniform(size=(30, 30)), *weights
    )
    return cases


def _forbidden(rng: np.random.Generator, huge: float) -> tuple[np.ndarray, np.ndarray]:
    """Costs of order 1 to 1e3, one row and column joined to the rest only by `huge`.

    Weights are multiples of an eighth of a total, so that marginals are exact.
    """
    n = int(rng.integers(4, 8))
    cost = 10.0 ** rng.uniform(-3, 3, size=(n, n))
    alone, partner = rng.integers(n), rng.integers(n)
    inside = cost[alone, partner]
    cost[alone, :], cost[:, partner] = huge, huge
    cost[alone, partner] = inside
    if rng.uniform() < 0.5:
        cost[alone, (partner + 1) % n] = huge / 4
    order = rng.permutation(np.delete(np.arange(n), partner))
    plan = np.zeros((n, n))
    plan[alone, partner] = 1.0
    plan[np.delete(np.arange(n), alone), order] = 1.0
    last = np.delete(np.arange(n), alone)[-1]
    plan[last, order[-1]] += 3.0
    return cost, plan / plan.sum()
