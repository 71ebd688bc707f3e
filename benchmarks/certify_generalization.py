"""Generalization measures against NumPy re-implementations on the same networks."""

import math
from typing import Any

import numpy as np
import scipy.optimize

import lemmata as lm
from benchmarks.harness import Contender, Report, Table, false_successes, race
from lemmata.certify import (
    Constant,
    FrobeniusProduct,
    GeneralizationBounds,
    GeneralizationGame,
    LinearOverField,
    PACBayesSpectral,
    PathNorm,
    RandomLabelling,
    SpectralMargin,
    VCDimension,
)
from lemmata.certify._measure_tails import kl_inverse
from lemmata.studies._generalization_models import digits, trained
from lemmata_checker.rules.certify_generalization_numbers import labelling_floor

WIDTHS = (16, 64, 256)
MEASURES = (SpectralMargin(), PACBayesSpectral(), PathNorm(), FrobeniusProduct())


def benchmark() -> Report:
    """All tables; under a minute on two cores."""
    report = Report("certify-generalization")
    report.tables.append(_norms())
    report.tables.append(_floors())
    report.tables.append(_rounds())
    report.tables.append(_inverses())
    report.false_successes = _false_bounds()
    return report


def _problems() -> list[GeneralizationBounds]:
    inputs, labels = digits()
    train, test = (inputs[:900], labels[:900]), (inputs[900:], labels[900:])
    found = []
    for width in WIDTHS:
        before, after = trained(*train, width)
        found.append(GeneralizationBounds(after, train, test, MEASURES, initial=before))
    return found


def _norms() -> Table:
    """Values of four norm measures of three networks, from weights and data."""
    problems = _problems()
    right = np.array([_by_numpy(p) for p in problems])

    def ours() -> np.ndarray:
        rows = []
        for problem in problems:
            model, sample = problem.model, problem.sample
            rows.append([m.value(model, sample).bound for m in MEASURES])
        return np.array(rows)

    def away(values: Any) -> float:
        return float(np.max(np.abs(values / right - 1)))

    def judged() -> np.ndarray:
        solutions = [lm.solve(p, throw=False) for p in problems]
        assert all(s.certified for s in solutions)
        return np.array([s.value.values for s in solutions])

    contenders = [
        Contender("lemmata, values alone", "ours", ours, away),
        Contender(
            "lemmata, solved and judged", "ours", judged, away,
            certified=lambda _: True,
        ),
        Contender(
            "NumPy, by hand", "peer",
            lambda: np.array([_by_numpy(p) for p in problems]), away,
            note="no certificate: norms as SVD returns them",
        ),
    ]  # fmt: skip
    title = f"Four norm measures of networks of width {', '.join(map(str, WIDTHS))}"
    return race(title, "relative difference from NumPy by hand", contenders)


def _by_numpy(problem: GeneralizationBounds) -> list[float]:
    arrays = problem.pack().arrays
    w = [arrays["network_0_weight"], arrays["network_2_weight"]]
    b = [arrays["network_0_bias"], arrays["network_2_bias"]]
    start, sizes = arrays["initial"], [w[0].size, w[0].size + b[0].size]
    first = np.c_[w[0], b[0]]
    first_moved = (
        first - np.c_[start[: sizes[0]].reshape(w[0].shape), start[sizes[0] : sizes[1]]]
    )
    second = np.c_[w[1], b[1]]
    last = start[sizes[1] :]
    second_moved = (
        second - np.c_[last[: w[1].size].reshape(w[1].shape), last[w[1].size :]]
    )
    a = [np.r_[first, np.eye(first.shape[1])[-1:]], second]
    moved = [first_moved, second_moved]
    x = np.c_[arrays["train_inputs"], np.ones(900)]
    s = [np.linalg.svd(m, compute_uv=False)[0] for m in a]
    n, width = len(x), max(max(m.shape) for m in a)
    rows = [np.linalg.norm(m, axis=1).sum() for m in moved]
    powers = sum((r / t) ** (2 / 3) for r, t in zip(rows, s, strict=True)) ** 1.5
    spectral = np.linalg.norm(x) * s[0] * s[1] * powers * math.log(width) / n
    big = np.linalg.norm(x, axis=1).max()
    ratio = sum(np.sum(m**2) / t**2 for m, t in zip(moved, s, strict=True))
    pbs = big * 2 * math.sqrt(width * math.log(2 * width) * ratio / n) * s[0] * s[1]
    paths = big * math.sqrt(np.sum(a[1] ** 2 @ a[0] ** 2) / n)
    f = np.maximum(x @ a[0].T, 0) @ a[1].T
    y = arrays["train_labels"].astype(int)
    own = f[np.arange(n), y]
    f[np.arange(n), y] = -np.inf
    loss = np.mean(own - f.max(axis=1) < 1)
    j = math.ceil(math.log2(np.linalg.norm(a[0]) * np.linalg.norm(a[1])))
    deviation = 3 * math.sqrt(math.log(3 * (j + 1) * (j + 2) / 0.05) / (2 * n))
    peeled = (math.sqrt(4 * math.log(2)) + 1) * np.linalg.norm(x) / n
    frobenius = loss + 2 * 20 * 2.0**j * peeled + deviation
    return [spectral, pbs, paths, frobenius]


def _floors() -> Table:
    """The exact floor against a simulation of the best estimate."""

    def exact() -> float:
        labelling_floor.cache_clear()
        game = GeneralizationGame(RandomLabelling(100, 50), Constant(), "1/8")
        return float(game.no_go() or 0)

    def simulated() -> float:
        rng = np.random.default_rng(0)
        points = rng.integers(0, 100, (100_000, 50))
        points.sort(axis=1)
        unseen = 99 - np.sum(points[:, 1:] != points[:, :-1], axis=1)
        return float(np.mean(rng.binomial(unseen, 0.5) >= 25) / 2)

    right = exact()
    contenders = [
        Contender("lemmata, exact fraction", "ours", exact, lambda v: abs(v - right)),
        Contender(
            "100,000 simulated rounds", "baseline", simulated, lambda v: abs(v - right)
        ),
    ]
    title = "Least failure, 50 samples of 100 points, accuracy 1/8"
    return race(title, "distance from the exact floor", contenders)


def _rounds() -> Table:
    """1000 rounds of F_2, n = 8, d = 20: drawing and solving alone."""
    world = LinearOverField(2, 20, 8)
    judged = world.judged()

    def zero(rounds: Any) -> float:
        return float(np.mean(rounds.place[rounds.world == 0] == 0))

    contenders = [
        Contender("lemmata, JAX int32", "ours", lambda: world.rounds(0, 0, 1000), zero),
        Contender("judge, NumPy", "baseline", lambda: judged.draw(0, 0, 1000), zero),
    ]
    title = "1000 rounds of linear functions over F_2"
    return race(title, "share of loss 0 in world 0 (0.611)", contenders)


def _inverses() -> Table:
    """The inverse relative entropy of 1000 pairs."""
    import jax

    rng = np.random.default_rng(0)
    q, c = rng.uniform(0.01, 0.9, 1000), rng.uniform(0.001, 0.5, 1000)

    def entropy(p: float, q: float) -> float:
        return q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))

    def peer() -> np.ndarray:
        return np.array(
            [
                scipy.optimize.brentq(
                    lambda p, a=a, b=b: entropy(p, a) - b, a, 1 - 1e-16, xtol=1e-15
                )
                for a, b in zip(q, c, strict=True)
            ]
        )

    def ours() -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(jax.jit(kl_inverse)(q, c))

    def away(p: Any) -> float:
        found = [abs(entropy(v, a) - b) for v, a, b in zip(p, q, c, strict=True)]
        return float(max(found))

    contenders = [
        Contender("lemmata", "ours", ours, away),
        Contender("SciPy brentq", "peer", peer, away),
    ]
    return race("1000 inverses of kl", "largest residual", contenders)


def _false_bounds() -> dict[str, Any]:
    """Random labels have risk 1/2: a bound below it is false."""
    rng = np.random.default_rng(1)
    said: dict[str, list[bool | None]] = {"VCDimension": [], "training error": []}
    true: dict[str, list[bool]] = {"VCDimension": [], "training error": []}
    runs = 20
    for seed in range(runs):
        x, y = rng.normal(size=(60, 4)), rng.integers(0, 2, 60).astype(float)
        _, after = trained(x, y, 16, outputs=1, steps=200, seed=seed)
        problem = GeneralizationBounds(after, (x, y), measures=(VCDimension(),))
        model, sample = problem.model, problem.sample
        bound = VCDimension().value(model, sample).bound
        for who, value in (
            ("VCDimension", bound),
            ("training error", model.errors(sample) / 60),
        ):
            said[who].append(True)
            true[who].append(value >= 0.5)
    return false_successes(runs, said, true)
