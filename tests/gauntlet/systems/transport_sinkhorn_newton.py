"""The gauntlet's knowledge of entropic transport: oracles in ball arithmetic."""

import jax.numpy as jnp
import numpy as np
from checker.tests import exact

from lemmata.core import run
from lemmata.transport import (
    DenseNewton,
    EntropicTransport,
    OptimalTransport,
    PointCost,
    Sinkhorn,
    SinkhornNewton,
    regularised_cost,
)
from tests.gauntlet.systems import System

COST = np.random.default_rng(0).uniform(size=(4, 3))
CLOSE = 0.2  # relative distance to a promise within which rounding may decide


def compare(figure: float, promised: float) -> bool | None:
    """Whether `figure <= promised`, None where the two are close."""
    if abs(figure - promised) <= CLOSE * abs(promised):
        return None
    return figure <= promised


def well_formed(problem, value) -> bool:
    """Scalings in (0, 1], remainders >= 0, and 0 on atoms of zero weight."""
    scalings = (value["row_scaling"], value["column_scaling"])
    remainders = (value["row_remainder"], value["column_remainder"])
    good = all(np.all((s > 0) & (s <= 1)) for s in scalings)
    weights = (problem.arrays["source"], problem.arrays["target"])
    for remainder, weight in zip(remainders, weights, strict=True):
        good = good and not np.any(remainder[weight == 0])
    return good and all(np.all(a >= 0) for a in remainders)


def marginals(problem, value, claim):
    if not well_formed(problem, value):
        return False
    with exact.precision():
        return compare(float(exact.violation(problem, value)), claim["promised"])


def enclosure(problem, value, claim, *, lower, epsilon, name):
    if not well_formed(problem, value):
        return False
    with exact.precision():
        low, stated = float(lower(problem, value)), float(value[name])
        violation = float(exact.violation(problem, value))
        high = float(exact.primal(problem, exact.plan(problem, value), epsilon))
    width, promised = max(high, stated) - min(low, stated), claim["promised"]
    if violation > 1e-12 and width <= promised:
        return None  # what the repair of an infeasible plan costs is the judge's affair
    return compare(width, promised)


def entropic_enclosure(problem, value, claim):
    return enclosure(
        problem,
        value,
        claim,
        lower=exact.dual,
        epsilon=problem.json["epsilon"],
        name="regularised_cost",
    )


def transport_enclosure(problem, value, claim):
    return enclosure(
        problem, value, claim, lower=exact.transform, epsilon=0.0, name="cost"
    )


def derivative():
    """The regularised cost; its gradient in the cost is the plan."""
    method = Sinkhorn(atol=1e-12)
    return lambda cost: regularised_cost(cost, epsilon=0.1, method=method), COST


def batch():
    def function(cost):
        problem = EntropicTransport(cost, jnp.ones(4), jnp.ones(3), epsilon=0.1)
        value, _, _ = run(problem, Sinkhorn(atol=1e-11), max_steps=500)
        return value.regularised_cost

    return function, np.stack([COST, COST[::-1] ** 2])


def problem(cost=COST, source=None, target=None, epsilon=0.1):
    return EntropicTransport(cost, source, target, epsilon=epsilon)


def with_entry(value):
    cost = COST.copy()
    cost[1, 2] = value
    return cost


SYSTEM = System(
    bad_inputs=(
        ("NaN cost", lambda: problem(with_entry(np.nan)), r"\.cost: .*finite"),
        ("infinite cost", lambda: problem(with_entry(np.inf)), r"\.cost: .*finite"),
        ("complex cost", lambda: problem(COST + 1j), r"\.cost: .*real"),
        ("a vector", lambda: problem(COST[0]), r"\.cost: .*shape"),
        ("negative", lambda: problem(source=[1, 1, 1, -1]), r"\.source: .*>= 0"),
        ("NaN weight", lambda: problem(source=[1, 1, 1, np.nan]), r"\.source"),
        ("zeros", lambda: problem(source=np.zeros(4)), r"\.source: .*positive sum"),
        ("length", lambda: problem(source=np.ones(5)), r"\.source: .*shape \(4,\)"),
        (
            "sums differ",
            lambda: problem(source=np.ones(4), target=np.ones(3)),
            r"\.target: .*4\.0.*3\.0",
        ),
        ("epsilon 0", lambda: problem(epsilon=0.0), r"\.epsilon: .*> 0"),
        ("epsilon tiny", lambda: problem(epsilon=1e-12), r"\.epsilon: .*at most"),
        (
            "dimensions",
            lambda: problem(PointCost(np.ones((4, 2)), np.ones((3, 3)))),
            r"target_points",
        ),
        ("no plan", lambda: OptimalTransport(COST).candidate(), "candidate"),
        ("relaxation", lambda: Sinkhorn(relaxation=2.5), r"Sinkhorn\.relaxation"),
        ("no sweeps", lambda: SinkhornNewton(n_warm=0), r"SinkhornNewton\.n_warm"),
        ("atol", lambda: DenseNewton(atol=-1.0), r"DenseNewton\.atol"),
    ),
    oracles={
        "transport.marginals/1": marginals,
        "transport.entropic_enclosure/1": entropic_enclosure,
        "transport.transport_enclosure/1": transport_enclosure,
    },
    derivative=derivative,
    batch=batch,
    easier="source_points",
)
