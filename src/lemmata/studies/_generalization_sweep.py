"""Parts of the study of generalization that train many networks.

Source: the sweep follows Jiang et al., ICLR 2020 (arXiv 1912.02178).
"""

import itertools

import numpy as np

from ..certify import (
    FrobeniusProduct,
    GeneralizationBounds,
    HoldOut,
    Occam,
    PACBayesSpectral,
    PathNorm,
    SpectralMargin,
    VCDimension,
    measure_ranking,
)
from ._desk import Desk
from ._generalization_models import digits, trained

Sweep = tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...], tuple[float, ...]]
"""Widths, batch sizes, learning rates, shares of labels drawn anew."""


def ranking(desk: Desk, sweep: Sweep) -> None:
    """Kendall's coefficient of four measures over networks of a grid of settings."""
    inputs, labels = digits()
    half = 900
    capacities = (SpectralMargin(), PACBayesSpectral(), PathNorm(), FrobeniusProduct())
    settings: dict[str, list[float]] = {
        name: [] for name in ("width", "batch", "learning rate", "label noise")
    }
    values, gaps = [], []
    rng = np.random.default_rng(3)
    for setting in itertools.product(*sweep):
        width, batch, rate, noise = setting
        y = labels.copy()
        wrong = rng.random(len(y)) < noise
        y[wrong] = rng.integers(0, 10, int(wrong.sum()))
        before, after = trained(
            inputs[:half], y[:half], int(width), batch=int(batch), rate=rate
        )
        train, test = (inputs[:half], y[:half]), (inputs[half:], y[half:])
        problem = GeneralizationBounds(after, train, test, capacities, initial=before)
        model, sample = problem.model, problem.sample
        errors, tested = problem.test_errors()
        gaps.append(errors / tested - model.errors(sample) / half)
        values.append([m.value(model, sample).bound for m in capacities])
        for name, value in zip(settings, setting, strict=True):
            settings[name].append(value)
    rows = []
    for measure, column in zip(capacities, np.array(values).T, strict=True):
        found = measure_ranking(column, gaps, settings)
        parts = [f"{found.by_setting[name]:.2f}" for name in settings]
        name = type(measure).__name__
        rows.append((name, f"{found.overall:.2f}", *parts, f"{found.granulated:.2f}"))
    columns = ("measure", "overall", *settings, "granulated")
    desk.table(f"Kendall's coefficient over {len(gaps)} networks", columns, rows)


def neural(desk: Desk, count: int) -> None:
    """A trained network instead of an oracle; two truths share sample and model."""
    if not count:
        return
    points = np.array(list(itertools.product((-1.0, 1.0), repeat=8)))
    far, rows, rng = [], [], np.random.default_rng(0)
    for seed in range(count):
        rule = (points @ rng.normal(size=8) > 0).astype(np.float64)
        seen = rng.choice(len(points), 80, replace=False)
        _, after = trained(points[seen], rule[seen], 16, outputs=1, seed=seed)
        problem = GeneralizationBounds(
            after, (points[seen], rule[seen]), (points, rule), (HoldOut(),)
        )
        first = problem.test_errors()[0] / len(points)
        other = rng.integers(0, 2, len(points)).astype(np.float64)
        other[seen] = rule[seen]
        changed = GeneralizationBounds(
            after, (points[seen], other[seen]), (points, other), (HoldOut(),)
        )
        second = changed.test_errors()[0] / len(points)
        far.append(abs(first - second) >= 0.25)
        if seed < 3:
            rows.append((seed, f"{first:.3f}", f"{second:.3f}"))
    columns = ("network", "loss, simple rule", "loss, fair labels outside the sample")
    desk.table("Same sample, same network, two truths", columns, rows)
    share = float(np.mean(far))
    desk.say(
        f"Of {len(far)} trained networks, {share:.0%} have two truths with the same "
        "sample whose losses lie 1/4 apart: there any measure misses one of them by "
        "1/8. This is evidence about these networks, not a theorem."
    )


def random_label_violations(repeats: int) -> dict[str, float]:
    """Share of runs on randomly labelled digits in which a bound lies below the risk.

    Labels are uniform and independent of the images, so the risk of any model is 0.9.
    Networks are trained for a few steps on 100 of them.
    """
    inputs, _ = digits()
    rng, n = np.random.default_rng(7), 100
    measures = (Occam(), VCDimension(), FrobeniusProduct())
    below = dict.fromkeys((m.name for m in measures), 0)
    for seed in range(repeats):
        rows = rng.choice(len(inputs), n, replace=False)
        y = rng.integers(0, 10, n).astype(np.float64)
        _, after = trained(inputs[rows], y, 16, steps=50, seed=seed)
        problem = GeneralizationBounds(after, (inputs[rows], y), measures=measures)
        for m in measures:
            bound = m.value(problem.model, problem.sample).bound
            below[m.name] += bound < 0.9
    return {name: count / repeats for name, count in below.items()}
