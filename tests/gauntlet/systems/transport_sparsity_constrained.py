"""The gauntlet's knowledge of transport with a cap: oracles in fractions."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from checker.tests import exact
from checker.tests.exact_sparse import conjugates, objective, plan, semi_dual

from lemmata.core import run
from lemmata.transport import (
    Direct,
    Routing,
    Selection,
    SemiDual,
    SparseMatchingRouter,
    SparseTransport,
    SparsityPath,
    matching_loss,
)
from tests.gauntlet.systems import System

COST = np.random.default_rng(0).uniform(size=(6, 4))
ROUNDING = 1e-12  # the capped side is met to this, by construction
CLOSE = 0.2  # relative distance to a promise within which rounding may decide


def well_formed(problem, value, prefix="") -> bool:
    """Entries sorted by column and row, each once, mass > 0, indices in range."""
    rows, columns, mass = (value[prefix + k] for k in ("rows", "columns", "mass"))
    m, n = problem.arrays["cost"].shape
    inside = np.all((rows >= 0) & (rows < m) & (columns >= 0) & (columns < n))
    return bool(inside and np.all(np.diff(columns * m + rows) > 0) and np.all(mass > 0))


def errors(problem, value, prefix="") -> tuple[Fraction, Fraction]:
    """L1 errors of row and column sums, exactly."""
    found = plan(value, prefix)
    total = []
    for axis, name in ((0, "source"), (1, "target")):
        gaps = list(exact.shares(problem.arrays[name]))
        for place, mass in found.items():
            gaps[place[axis]] -= mass
        total.append(sum((abs(gap) for gap in gaps), Fraction(0)))
    return total[0], total[1]


def largest_count(value, prefix="") -> int:
    return int(np.bincount(value[prefix + "columns"]).max())


def cardinality(problem, value, claim):
    return well_formed(problem, value) and largest_count(value) <= claim["promised"]


def sparse_marginals(problem, value, claim):
    prefix = "selection_" if claim["parameters"]["plan"] == "selection" else ""
    if not well_formed(problem, value, prefix):
        return False
    rows, columns = errors(problem, value, prefix)
    if columns > 2 * ROUNDING:
        return False
    if columns > ROUNDING / 2 or abs(rows / Fraction(claim["promised"]) - 1) < CLOSE:
        return None
    return rows <= claim["promised"]


def selection_optimality(problem, value, claim):
    prefix = "selection_"
    if not well_formed(problem, value, prefix):
        return False
    if largest_count(value, prefix) > problem.json["cap"]:
        return False
    columns = errors(problem, value, prefix)[1]
    if columns > ROUNDING / 2:
        return False if columns > 2 * ROUNDING else None
    chosen = plan(value, prefix)
    alpha = value["alpha"].tolist()
    linear = sum(Fraction(alpha[i]) * mass for (i, _), mass in chosen.items())
    bound = linear - conjugates(problem, value["alpha"])
    off = abs(objective(problem, chosen) - bound)
    close = abs(off / Fraction(claim["promised"]) - 1) < CLOSE
    return None if close else off <= claim["promised"]


def sparse_gap(problem, value, claim):
    """What exact repair does to a plan is the judge's affair: None where it matters."""
    if not well_formed(problem, value) or largest_count(value) > problem.json["cap"]:
        return False
    dual = semi_dual(problem, value["alpha"])
    low = min(dual, Fraction(float(value["dual_value"])))
    stated = Fraction(float(value["objective"]))
    gap = max(stated, BEST) - low  # no plan within the cap costs less than BEST
    if gap > claim["promised"] * (1 + CLOSE):
        return False
    if sum(errors(problem, value)) > ROUNDING:
        return None
    gap = max(objective(problem, plan(value)), stated) - low
    return True if gap < claim["promised"] * (1 - CLOSE) else None


def sparse_lower_bound(problem, value, claim):
    dual = semi_dual(problem, value["alpha"])
    room = dual - max(Fraction(0), Fraction(float(value["dual_value"])) - dual)
    room -= Fraction(claim["promised"])
    return None if abs(room) < 1e-13 else room >= 0


def best() -> Fraction:
    """A lower bound on the optimum of the example, by a potential of the gauntlet's."""
    from tests.gauntlet.conftest import solved_example

    found = solved_example("transport-sparsity-constrained")
    return semi_dual(found.problem.pack(), found.solution.value.pack()["alpha"])


class _Best:
    """`best()`, computed when it is first compared with."""

    value: Fraction | None = None

    def __gt__(self, other):
        self.value = best() if self.value is None else self.value
        return self.value > other

    def __sub__(self, other):
        self.value = best() if self.value is None else self.value
        return self.value - other


BEST = _Best()


def derivative():
    """The dual value as a loss; its gradient in the cost is the selection plan."""
    source, target = jnp.full(6, 1 / 6), jnp.full(4, 1 / 4)
    alpha = np.random.default_rng(1).uniform(size=6)

    def loss(cost):
        return matching_loss(cost, source, target, alpha, gamma=1.0, cap=3)

    return loss, COST


def batch():
    method = SemiDual(path=Direct(), recovery=Selection())

    def function(cost):
        found = SparseTransport(cost, jnp.ones(6), jnp.full(4, 1.5), gamma=1.0, cap=3)
        value, _, _ = run(found, method, max_steps=60)
        return value.dual_value

    return function, np.stack([COST, COST[::-1] ** 2])


def problem(cost=COST, source=None, target=None, gamma=1.0, cap=3):
    return SparseTransport(cost, source, target, gamma=gamma, cap=cap)


def forbidding(rows, columns):
    cost = COST.copy()
    cost[rows, columns] = np.inf
    return cost


def router(**options):
    return SparseMatchingRouter(8, 4, key=jax.random.key(0), **options)


SYSTEM = System(
    bad_inputs=(
        ("cap 0", lambda: problem(cap=0), r"\.cap: .*\[1, 6\]"),
        ("cap too large", lambda: problem(cap=7), r"\.cap: .*\[1, 6\]"),
        ("cap not whole", lambda: problem(cap=2.5), r"\.cap: .*integer"),
        ("rows uncovered", lambda: problem(cap=1), r"\.cap: .*2 rows cannot"),
        ("gamma 0", lambda: problem(gamma=0.0), r"\.gamma: .*> 0"),
        ("NaN cost", lambda: problem(COST * np.nan), r"\.cost: "),
        (
            "zero weight",
            lambda: problem(source=[0, 1, 1, 1, 1, 2], target=[2, 2, 1, 1]),
            r"\.source: .*> 0",
        ),
        (
            "sums differ",
            lambda: problem(source=np.ones(6), target=np.ones(4)),
            r"\.target: .*6\.0.*4\.0",
        ),
        (
            "nothing allowed",
            lambda: problem(forbidding(2, slice(None))),
            r"\.cost: .*finite entry in every row",
        ),
        ("caps fall", lambda: SparsityPath(caps=(4, 2)), r"SparsityPath\.caps"),
        ("logits", lambda: Routing(np.full((4, 2), np.nan), 2), r"Routing\.logits"),
        (
            "buffers too small for plan weights",
            lambda: router(combine="plan", capacity_factor=0.5),
            r"capacity_factor",
        ),
    ),
    oracles={
        "transport.cardinality/1": cardinality,
        "transport.sparse_marginals/1": sparse_marginals,
        "transport.selection_optimality/1": selection_optimality,
        "transport.sparse_gap/1": sparse_gap,
        "transport.sparse_lower_bound/1": sparse_lower_bound,
    },
    derivative=derivative,
    batch=batch,
    easier="cost",
)
