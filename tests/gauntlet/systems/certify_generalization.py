"""The gauntlet's knowledge of generalization measures: SciPy and plain formulas."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats

from lemmata.certify import (
    Compression,
    Constant,
    FiniteFamily,
    GeneralizationBounds,
    GeneralizationGame,
    LinearOverField,
    Occam,
    PACBayes,
    PlayGame,
    RandomLabelling,
    clopper_pearson,
    kl_inverse,
)
from lemmata.certify._example_generalization import _network, generalization
from lemmata.core import solve
from tests.gauntlet.systems import System
from tests.gauntlet.systems._generalization_kernels import KERNELS

CLOSE = 1e-7  # relative: between a formula in floats and the promise's own room
BOUNDS, PAC, HELD = (0, 1, 2), 6, 7  # places in the example's list of measures


def kl(q: float, p: float) -> float:
    one = q * math.log(q / p) if q else 0.0
    return one + (1 - q) * math.log((1 - q) / (1 - p))


def inverse(q: float, c: float) -> float:
    if kl(q, 1 - 1e-15) < c:
        return 1.0
    root: Any = scipy.optimize.brentq(lambda p: kl(q, p) - c, q + 1e-300, 1 - 1e-15)
    return float(root)


def scores(weights, inputs):
    first, second = weights
    return np.maximum(inputs @ first.T, 0) @ second[0]


def part(problem, name: str):
    arrays = problem.arrays
    inputs, labels = arrays[f"{name}_inputs"], arrays[f"{name}_labels"]
    weights = [arrays["network_0_weight"], arrays["network_2_weight"]]
    margin = np.where(labels == 1, 1, -1) * scores(weights, inputs)
    return inputs, labels, margin


def moved(problem):
    own = [problem.arrays[f"network_{k}_weight"] for k in (0, 2)]
    start = problem.arrays["initial"]
    before = [start[:6].reshape(3, 2), start[6:].reshape(1, 3)]
    return own, [a - b for a, b in zip(own, before, strict=True)]


def formulas(problem, value) -> np.ndarray:
    """Every measure of the example, from its text-book formula."""
    inputs, _, margin = part(problem, "train")
    n, gamma, delta = len(margin), 0.1, 0.05
    own, away = moved(problem)
    loss = np.mean(margin <= 0)
    occam = loss + math.sqrt((64 * 9 * math.log(2) + math.log(20)) / (2 * n))
    r = 1 * 3 + 2 * 1
    v = 2 + (6 + 9) * math.log2(4 * math.e * r * math.log2(2 * math.e * r))
    growth = 2 * n * math.log(2)
    if 2 * n >= v:
        growth = min(growth, v * math.log(2 * math.e * n / v))
    vc = loss + math.sqrt(8 * (growth + math.log(80)) / n)
    product = np.linalg.norm(own[0]) * np.linalg.norm(own[1]) / gamma
    j = math.ceil(math.log2(product))
    share = delta / (1.5 * (abs(j) + 1) * (abs(j) + 2))
    reach = np.linalg.norm(inputs)
    peeled = math.sqrt(4 * math.log(2)) + 1
    frobenius = np.mean(margin < gamma) + 2 * 2.0**j * peeled * reach / n
    frobenius += 3 * math.sqrt(math.log(2 / share) / (2 * n))
    s = [np.linalg.svd(a)[1][0] for a in own]
    rows = [np.sqrt((a**2).sum(axis=1)).sum() for a in away]
    powers = sum((b / c) ** (2 / 3) for b, c in zip(rows, s, strict=True)) ** 1.5
    spectral = reach * s[0] * s[1] * powers * math.log(3) / (gamma * n)
    big = np.sqrt((inputs**2).sum(axis=1)).max()
    ratio = sum((np.linalg.norm(b) / c) ** 2 for b, c in zip(away, s, strict=True))
    pbs = big * 2 * math.sqrt(3 * math.log(6)) * s[0] * s[1] * math.sqrt(ratio)
    paths = np.sqrt((own[1] ** 2 @ own[0] ** 2).sum()) * big / (gamma * math.sqrt(n))
    pbs /= gamma * math.sqrt(n)
    held = float(scipy.stats.beta.ppf(0.95, *upper_shape(problem)))
    pac = pac_bayes(problem, value, away)
    return np.array([occam, vc, frobenius, spectral, pbs, paths, pac, held])


def upper_shape(problem):
    margin = part(problem, "test")[2]
    errors = int(np.sum(margin <= 0))
    return errors + 1, len(margin) - errors


def pac_bayes(problem, value, away) -> float:
    inputs, labels, margin = part(problem, "train")
    n, draws = len(margin), 20
    s, j, key = value["posterior_deviation"], value["prior_index"], value["key"]
    if np.any(s <= 0) or j < 1 or key < 0:
        return math.inf
    v = 0.1 * math.exp(-int(j) / 100)
    distance = sum(float(np.sum(a**2)) for a in away)
    kl_term = 0.5 * float(np.sum(s**2 / v - 1 - np.log(s**2 / v))) + distance / (2 * v)
    raw = np.random.Philox(key=int(key)).random_raw(draws * 12)
    unit = ((raw >> np.uint64(11)).astype(float) + 0.5) / 2**53
    unit = unit.reshape(draws, 2, 6)
    size, angle = np.sqrt(-2 * np.log(unit[:, 0])), 2 * np.pi * unit[:, 1]
    noise = np.concatenate([size * np.cos(angle), size * np.sin(angle)], axis=1)[:, :9]
    centre = np.concatenate(
        [problem.arrays[f"network_{k}_weight"].reshape(-1) for k in (0, 2)]
    )
    errors = 0
    for row in centre + s * noise:
        f = scores([row[:6].reshape(3, 2), row[6:].reshape(1, 3)], inputs)
        errors += int(np.sum(np.where(labels == 1, f, -f) <= 0))
    loss = inverse(errors / (draws * n), math.log(100) / draws)
    share = math.log(math.pi**2 * int(j) ** 2 / 0.3)
    return inverse(loss, (kl_term + math.log(2 * math.sqrt(n)) + share) / n)


def bound_holds(problem, value, claim) -> bool | None:
    right, stated = formulas(problem, value), value["values"]
    kept = [*BOUNDS, PAC, HELD]
    ratio = max(right[i] / stated[i] for i in kept)
    low = scipy.stats.beta.ppf(0.025, upper_shape(problem)[0] - 1, 41)
    if min(stated[i] for i in BOUNDS) < low:
        return False
    room = ratio - claim["promised"]
    return None if 0 < abs(room + 1e-9) < 1e-11 else bool(room <= 5e-10)


def measure_values(problem, value, claim) -> bool | None:
    right, stated = formulas(problem, value)[3:6], value["values"][3:6]
    away = float(np.max(np.abs(stated / right - 1)))
    return (
        None
        if abs(away / claim["promised"] - 1) < 0.01
        else (away <= claim["promised"])
    )


def bound_gap(problem, value, claim) -> bool | None:
    high = float(scipy.stats.beta.ppf(0.975, *upper_shape(problem)))
    gap = float(np.min(value["values"][:3])) - high
    room = gap - claim["promised"]
    return None if abs(room) < 1e-10 else room > 0


def derivative():
    return lambda x: jnp.sum(kl_inverse(x[0], x[1])), np.array([0.2, 0.3])


def batch():
    points = np.array([[0.1, 0.4], [0.5, 0.02]])
    return lambda x: kl_inverse(x[0], x[1]), points


def bounds(**changed) -> Any:
    problem, _ = generalization()
    given: dict[str, Any] = {
        "train": (problem.train_inputs, problem.train_labels),
        "test": (problem.test_inputs, problem.test_labels),
        "measures": (Occam(),),
        "network": problem.network,
    }
    return GeneralizationBounds(**(given | changed))


def wider() -> Any:
    return _network([np.ones((4, 2)), np.ones((1, 4))])


def game(measure=None, eps: Any = "1/8", **options) -> Any:
    measure = Constant() if measure is None else measure
    return GeneralizationGame(RandomLabelling(4, 2), measure, eps, **options)


def play(measure) -> Any:
    return solve(game(measure, rounds=3), PlayGame())


def family(weights, **options) -> Any:
    return FiniteFamily(np.asarray(weights, dtype=float), 2, **options)


X, Y = np.ones((9, 2)), np.zeros(9)


SYSTEM = System(
    bad_inputs=(
        ("n >= d", lambda: RandomLabelling(4, 4), r"\.points: .*\(4, "),
        ("n >= d, linear", lambda: LinearOverField(2, 4, 4), r"\.dimension: .*= 5"),
        ("composite", lambda: LinearOverField(6, 9, 4), r"\.order: .*prime"),
        (
            "singular basis",
            lambda: LinearOverField(2, 3, 1, basis=np.zeros((3, 3))),
            r"\.basis: .*invertible",
        ),
        ("eps 0", lambda: game(eps=0.0), r"\.accuracy: .*\(0, 1/2\)"),
        ("eps 1/2", lambda: game(eps="1/2"), r"\.accuracy: .*\(0, 1/2\)"),
        ("eps text", lambda: game(eps="x"), r"\.accuracy: .*\(0, 1/2\)"),
        ("rounds", lambda: game(rounds=0), r"\.rounds: .*\[1"),
        ("no measure", lambda: game(3), r"measure: expected a measure"),
        ("NaN", lambda: play(lambda h, s: np.nan), r"value: .*one finite number"),
        ("vector", lambda: play(lambda h, s: np.ones(2)), r"value: .*one finite"),
        ("delta", lambda: Occam(delta=0.0), r"Occam\.delta: .*\(0, 1\)"),
        ("delta 1", lambda: PACBayes(delta=1.0), r"PACBayes\.delta: .*\(0, 1\)"),
        ("empty", lambda: family(np.ones((0, 2, 2))), r"\.distributions: .*k >= 1"),
        (
            "not realizable",
            lambda: family([[[1, 0], [0, 1]], [[1, 0], [1, 1]]]),
            r"distributions\[1\]: .*one label",
        ),
        ("no mass", lambda: family([[[0, 0]]]), r"distributions\[0\]: .*mass"),
        (
            "one sub-family",
            lambda: family([[[1, 0]], [[0, 1]]], succeeds=(0,)),
            r"\.succeeds: .*both",
        ),
        ("labels", lambda: bounds(train=(X, Y + 2)), r"\.train_labels: .*\[0, 2\)"),
        ("labels 0.5", lambda: bounds(train=(X, Y + 0.5)), r"\.train_labels: .*whole"),
        ("rows", lambda: bounds(train=(X, Y[:3])), r"\.train_labels: .*9 inputs"),
        ("width", lambda: bounds(train=(np.ones((9, 3)), Y)), r"\.train_inputs: .*2"),
        ("no pair", lambda: bounds(train=X), r"\.train: .*pair"),
        ("NaN", lambda: bounds(train=(X * np.nan, Y)), r"\.train_inputs: .*finite"),
        ("not a model", lambda: bounds(network=3), r"\.network: .*Network"),
        (
            "does not fit",
            lambda: bounds(measures=(Compression(),)),
            r"\.measures\[0\]: .*Compression, size",
        ),
        ("no test", lambda: bounds(test=None, measures="hold_out"), r"measures: "),
        ("initial", lambda: bounds(initial=wider()), r"\.initial: .*model's shape"),
        *KERNELS,
        ("counts", lambda: clopper_pearson(3, 2), r"clopper_pearson: .*<= trials"),
        ("batch", lambda: PlayGame(batch=0), r"PlayGame\.batch: .*>= 1"),
    ),
    oracles={
        "certify.bound_holds/1": bound_holds,
        "certify.measure_values/1": measure_values,
        "certify.bound_gap/1": bound_gap,
    },
    derivative=derivative,
    batch=batch,
    easier="train_inputs",
)  # fmt: skip
