"""The gauntlet's knowledge of two-layer networks: fractions, and SciPy's own NNLS."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from scipy.optimize import nnls

from lemmata.core import run, solve
from lemmata.geometry import (
    ADMM,
    FGSM,
    AdversarialTraining,
    ConicSolver,
    ConvexReLU,
    Exact,
    Given,
    RandomizedBlockADMM,
    RobustConvexReLU,
    Sampled,
    SampledConvexProgram,
    SemismoothNewton,
    optimal_cost,
)
from lemmata.geometry._example_convex_relu import convex_relu
from tests.gauntlet.systems import System

NEAR, FAR = 0.1, 30.0  # times a promise: within, rounding and stale multipliers decide


def cost(problem, value) -> Fraction:
    """Squared loss and decay, exactly."""
    x = [[Fraction(v) for v in row] for row in problem.arrays["inputs"].tolist()]
    y = [Fraction(v) for v in problem.arrays["targets"].tolist()]
    u = [[Fraction(v) for v in row] for row in value["hidden_weights"].tolist()]
    a = [Fraction(v) for v in value["output_weights"].tolist()]
    total = Fraction(0)
    for row, target in zip(x, y, strict=True):
        heights = [sum(p * q for p, q in zip(row, w, strict=True)) for w in u]
        f = sum((max(h, 0) * b for h, b in zip(heights, a, strict=True)), Fraction(0))
        total += (f - target) ** 2 / 2
    size = sum(v * v for w in u for v in w) + sum(b * b for b in a)
    return total + Fraction(problem.json["weight_decay"]) * size / 2


def lower(problem, theta) -> float:
    """The dual bound with the best multipliers of every pattern and sign."""
    x, y = problem.arrays["inputs"], problem.arrays["targets"]
    active = np.unpackbits(problem.arrays["pattern_bits"], axis=1, count=len(y))
    norms = [
        nnls(((2.0 * d - 1.0)[:, None] * x).T, -sign * (x.T @ (d * theta)))[1]
        for d in active
        for sign in (1.0, -1.0)
    ]
    most = problem.json["weight_decay"] / max(norms)
    scale = min(most, theta @ y / (theta @ theta))
    return float(scale * (theta @ y) - scale**2 * (theta @ theta) / 2)


def compare(figure: float, promised: float) -> bool | None:
    if NEAR * promised < figure < FAR * promised:
        return None
    return figure <= promised


def network_cost(problem, value, claim):
    stated = Fraction(float(value["objective"]))
    return compare(float(cost(problem, value) / stated - 1), claim["promised"])


def gap(problem, value, claim):
    bound = lower(problem, value["dual"])
    return compare(float(cost(problem, value)) / bound - 1, claim["promised"])


PROBLEM, _ = convex_relu()
X, Y = np.asarray(PROBLEM.inputs)[:8], np.asarray(PROBLEM.targets)[:8]
PATTERNS = Given(np.asarray(PROBLEM.patterns)[:6, :8])
LABELS = np.where(Y > 0, 1.0, -1.0)
STEPS = 3000  # the tiny program is then solved to 1e-10


def derivative():
    """The optimum over targets and, in the last entry, the weight decay."""

    def function(data):
        problem = ConvexReLU(X, data[:8], weight_decay=data[8], patterns=PATTERNS)
        return optimal_cost(problem, max_steps=STEPS)

    return function, np.append(Y, 0.1)


def batch():
    def function(targets):
        problem = ConvexReLU(X, targets, weight_decay=0.1, patterns=PATTERNS)
        value, _, _ = run(problem, ADMM(look_every=STEPS + 1), max_steps=STEPS)
        return problem.predictions(value.hidden_weights, value.output_weights, jnp)

    return function, np.stack([Y, 2 * Y - 1])


def convex(inputs=X, targets=Y, **options):
    return ConvexReLU(inputs, targets, **({"weight_decay": 0.1} | options))


def robust(**options):
    return RobustConvexReLU(
        X, LABELS, **({"weight_decay": 0.1, "radius": 0.1} | options)
    )


HOLED = X.copy()
HOLED[2, 1] = np.nan

SYSTEM = System(
    bad_inputs=(
        ("no samples", lambda: convex(X[:0], Y[:0]), r"inputs: .*at least one"),
        ("nan", lambda: convex(HOLED), r"inputs: expected finite.*1 not finite"),
        ("vector outputs", lambda: convex(X, X), r"targets: expected shape \(8,\)"),
        ("labels", lambda: convex(loss="hinge"), r"targets: expected labels -1 or 1"),
        ("decay", lambda: convex(weight_decay=0.0), r"weight_decay: .*> 0, got 0"),
        ("loss", lambda: convex(loss="huber"), r"loss: expected squared \| hinge"),
        (
            "scale",
            lambda: convex(logit_scale=2.0),
            r"logit_scale: expected 1 unless the loss is logistic",
        ),
        (
            "pattern shape",
            lambda: convex(patterns=Given(np.ones((3, 5)))),
            r"Given\.active: expected shape \(P, 8\)",
        ),
        (
            "pattern entries",
            lambda: convex(patterns=Given(np.full((3, 8), 0.5))),
            r"entries 0 or 1",
        ),
        (
            "too many cells",
            lambda: convex(
                np.random.default_rng(0).normal(size=(60, 9)),
                np.ones(60),
                patterns=Exact(),
            ),
            r"at most 1000000 cells, got up to \d+",
        ),
        ("patterns", lambda: Sampled(0), r"Sampled\.count: expected an integer >= 1"),
        ("radius", lambda: robust(radius=-0.1), r"radius: .*> 0, got -0.1"),
        (
            "mask",
            lambda: robust(perturbed_columns=np.ones(5, bool)),
            r"perturbed_columns: expected shape \(2,\) of bool",
        ),
        ("ball", lambda: robust(ball="l1"), r"ball: expected linf \| l2"),
        ("option", lambda: ADMM(penalty=0.0), r"ADMM\.penalty"),
        ("steps", lambda: RandomizedBlockADMM(look_every=0), r"look_every"),
        ("features", lambda: SampledConvexProgram(0), r"features"),
        ("solver", lambda: ConicSolver("mosek"), r"solver: expected clarabel \| scs"),
        ("growth", lambda: SemismoothNewton(growth=1.0), r"growth"),
        (
            "attack on a problem without balls",
            lambda: solve(convex(), AdversarialTraining(FGSM())),
            r"expected RobustConvexReLU",
        ),
        (
            "candidate",
            lambda: PROBLEM.candidate(hidden_weights=X, output_weights=Y[:3]),
            r"candidate\.hidden_weights: expected shapes \(k, 2\)",
        ),
    ),
    oracles={
        "geometry.network_cost/1": network_cost,
        "geometry.network_gap/1": gap,
        "geometry.global_gap/1": gap,
    },
    derivative=derivative,
    batch=batch,
    easier="targets",
)
