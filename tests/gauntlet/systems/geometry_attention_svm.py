"""The gauntlet's knowledge of the attention SVM: oracles in fractions."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np

from lemmata.core import run, solve
from lemmata.geometry import (
    AttentionSVM,
    AttentionTraining,
    ConicSVM,
    DualActiveSet,
    Factored,
    GeneralizedSVM,
    NormalizedGradient,
    NuclearADMM,
    RegularizationPath,
    ReluHead,
    max_margin_weights,
)
from lemmata.geometry._example_attention_svm import attention_svm
from tests.gauntlet.systems import System

CLOSE = 1e-10  # relative distance to a promise within which rounding may decide
TOKENS = np.random.default_rng(1).normal(size=(2, 3, 4))
QUERIES = TOKENS[:, 0].copy()
SELECTED = np.array([1, 2])


def exactly(array):
    return np.vectorize(Fraction, otypes=[object])(array)


def constraint_matrices(problem):
    """Every A_it in fractions, and the places of those that are asked."""
    arrays = problem.arrays
    tokens, queries = exactly(arrays["tokens"]), exactly(arrays["queries"])
    found = {}
    for i, (chosen, length) in enumerate(
        zip(arrays["selected"].tolist(), arrays["lengths"].tolist(), strict=True)
    ):
        for t in range(length):
            if t != chosen:
                rows = tokens[i, chosen] - tokens[i, t]
                found[i, t] = np.outer(rows, queries[i])
    return found


def inner(a, b) -> Fraction:
    return sum((a * b).reshape(-1).tolist(), Fraction(0))


def root(value: Fraction) -> float:
    return float(value) ** 0.5


def floor(problem, value) -> float | None:
    """sum mu / ||sum mu A||_F, or None if mu is no multiplier."""
    mu = exactly(value["multipliers"])
    matrices = constraint_matrices(problem)
    asked = sum((mu[place] for place in matrices), Fraction(0))
    total = sum(mu.reshape(-1).tolist(), Fraction(0))
    if min(mu.reshape(-1)) < 0 or asked != total:
        return None
    combined = sum(mu[place] * a for place, a in matrices.items())
    return float(total) / root(inner(combined, combined))


def least_norm(problem, value, claim):
    weights = exactly(value["weights"])
    bound = floor(problem, value)
    least = min(inner(a, weights) for a in constraint_matrices(problem).values())
    if least < 1 or bound is None:
        return None if bound is not None and 1 - least < CLOSE else False
    excess = root(inner(weights, weights)) / bound - 1
    promised = claim["promised"]
    if abs(excess - promised) <= CLOSE or least - 1 < 1e-14:
        return None
    return excess <= promised


def attention_rank(problem, value, claim):
    """The matrix has full numerical rank n = 3 of d = 5 at the start."""
    values = np.linalg.svd(value["weights"], compute_uv=False)
    r = claim["parameters"]["rank"]
    share = float(np.linalg.norm(values[r:]) / np.linalg.norm(values))
    if share <= 1e-14:  # a nudge within the span of the queries
        return True
    return (
        None if abs(share / claim["promised"] - 1) < 1e-2 else share < claim["promised"]
    )


def locally_optimal(problem, value, claim):
    """True of the problem alone; undecided where the altered answer is too far off."""
    weights, bound = exactly(value["weights"]), floor(problem, value)
    margins = {k: inner(a, weights) for k, a in constraint_matrices(problem).items()}
    if bound is None or min(margins.values()) < 1:
        return None if bound is not None else False
    size = float(inner(weights, weights))
    away = max(size - bound**2, 0.0) ** 0.5
    if away > 1e-6:
        return None
    support = [k for k, margin in margins.items() if margin < 1 + Fraction(1, 1000)]
    scores, chosen = problem.arrays["scores"], problem.arrays["selected"]
    leads = [scores[i, chosen[i]] - scores[i, t] for i, t in support]
    return min(leads) >= claim["promised"]


def derivative():
    weights = np.random.default_rng(2).normal(size=(5, 5))
    problem, _ = attention_svm()

    def function(tokens):
        found = max_margin_weights(
            tokens, problem.queries, problem.selected, problem.lengths, max_steps=30
        )
        return jnp.sum(weights * found)

    return function, np.asarray(problem.tokens)


def batch():
    problem, method = attention_svm()

    def function(tokens):
        other = AttentionSVM(
            tokens, problem.queries, problem.selected, lengths=problem.lengths
        )
        value, _, _ = run(other, method, max_steps=30)
        return value.weights

    tokens = np.asarray(problem.tokens)
    return function, np.stack([tokens, tokens[:, :, ::-1] * 1.1])


def svm(tokens=TOKENS, queries=QUERIES, selected=SELECTED, **options):
    return AttentionSVM(tokens, queries, selected, **options)


def training(labels=(1.0, -1.0), head=None, **options):
    head = np.ones(4) if head is None else head
    return AttentionTraining(TOKENS, QUERIES, labels, head, **options)


def changed(array, place, value):
    copy = np.array(array)
    copy[place] = value
    return copy


DUPLICATE = changed(TOKENS, (1, 0), TOKENS[1, 2])
SCORES = np.arange(6.0).reshape(2, 3)

SYSTEM = System(
    bad_inputs=(
        (
            "zero query",
            lambda: svm(queries=changed(QUERIES, 1, 0.0)),
            r"\.queries: .*z_1 = 0|\.queries: .*input 1",
        ),
        (
            "duplicate",
            lambda: svm(DUPLICATE),
            r"input 1: token 0 equals the selected token 2",
        ),
        ("one token", lambda: svm(TOKENS[:, :1]), r"\.tokens: .*T >= 2"),
        ("no batch", lambda: svm(TOKENS[0]), r"\.tokens: .*\(n, T, d\)"),
        (
            "selected out of range",
            lambda: svm(selected=[1, 3]),
            r"\.selected: .*3 for input 1",
        ),
        (
            "selected in the padding",
            lambda: svm(lengths=[3, 2]),
            r"\.selected: .*2 for input 1",
        ),
        ("selected not whole", lambda: svm(selected=[0.5, 1]), r"\.selected: .*whole"),
        ("nothing to select", lambda: svm(selected=None), r"\.selected: .*scores"),
        (
            "ties",
            lambda: svm(selected=None, scores=changed(SCORES, (1, 0), 5.0)),
            r"\.scores: .*input 1: tokens 0 and 2",
        ),
        ("scores", lambda: svm(scores=SCORES[:1]), r"\.scores: .*shape \(2, 3\)"),
        ("lengths", lambda: svm(lengths=[3, 1]), r"\.lengths: .*1 for input 1"),
        ("NaN", lambda: svm(TOKENS * np.nan), r"\.tokens: .*finite"),
        ("complex", lambda: svm(queries=QUERIES + 1j), r"\.queries: .*real"),
        ("query shape", lambda: svm(queries=QUERIES[:, :2]), r"\.queries: .*\(2, 4\)"),
        ("norm", lambda: svm(norm="spectral"), r"\.norm: .*nuclear"),
        ("width 0", lambda: svm(norm="nuclear", width=0), r"\.width: .*1 to d = 4"),
        ("width above d", lambda: svm(norm="nuclear", width=5), r"\.width"),
        ("width, Frobenius", lambda: svm(width=2), r"\.width: .*Frobenius"),
        ("gap_tol", lambda: svm(gap_tol=0.0), r"\.gap_tol: .*\(0, 1\)"),
        (
            "method of the other norm",
            lambda: solve(svm(), NuclearADMM()),
            r'NuclearADMM: .*norm="nuclear"',
        ),
        (
            "method of the other norm, too",
            lambda: solve(svm(norm="nuclear"), DualActiveSet()),
            r'DualActiveSet: .*norm="frobenius"',
        ),
        ("labels", lambda: training((1.0, 2.0)), r"\.labels: .*2.0 for input 1"),
        ("label shape", lambda: training((1.0,)), r"\.labels: .*shape \(2,\)"),
        ("head", lambda: training(head=np.ones(3)), r"\.head: .*\(4,\)"),
        ("relu head", lambda: training(head=ReluHead(np.ones((2, 3)))), r"\.head"),
        ("loss", lambda: training(loss="hinge"), r"\.loss: .*smooth .*hinge"),
        ("alignment", lambda: training(alignment=1.0), r"\.alignment"),
        ("steps", lambda: NormalizedGradient(steps=0), r"\.steps: .*>= 1"),
        ("step size", lambda: NormalizedGradient(step_size=0.0), r"\.step_size"),
        (
            "stationary start",
            lambda: NormalizedGradient(Factored(), start_scale=0.0),
            r"\.start_scale: .*stationary",
        ),
        (
            "factors too wide",
            lambda: solve(training(), NormalizedGradient(Factored(5))),
            r"Factored\.width: .*1 to d = 4",
        ),
        ("radii", lambda: RegularizationPath([2.0, 1.0]), r"\.radii: .*increasing"),
        (
            "path of a nonlinear head",
            lambda: solve(
                training(head=ReluHead(np.ones((2, 4)))), RegularizationPath()
            ),
            r"RegularizationPath: .*linear head",
        ),
        (
            "nothing trained",
            lambda: solve(training(), GeneralizedSVM()),
            r"GeneralizedSVM: .*start=solution",
        ),
        ("package", lambda: ConicSVM("mosek"), r"\.package: .*clarabel"),
    ),
    oracles={
        "geometry.least_norm/1": least_norm,
        "geometry.attention_rank/1": attention_rank,
        "geometry.locally_optimal/1": locally_optimal,
    },
    derivative=derivative,
    batch=batch,
    easier="tokens",
)
