"""Where SGD can stay: exact thresholds, flat minima, and what the trace alone says.

Source: Wu and Su, ICML 2023 (arXiv 2305.17490), sections 3 to 6.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import numpy as np

from ..certify import (
    DiagonalLinear,
    ExactMeanSquare,
    FrobeniusTest,
    GradientDescentTest,
    SGDStability,
    SGDTraining,
    SimulateLinearised,
    StabilitySweep,
    TraceTest,
)
from ._desk import Desk
from ._record import Expected, Plot, Series
from ._stability_networks import convolutional, digits, two_layer
from ._stability_plots import sweep_plot, sweep_row

NO_RELU: dict[str, Expected] = {"certify.sgd_trace_equivalence/1": "withheld"}
STABLE: dict[str, Expected] = {"certify.sgd_unstable/1": "withheld"}
UNSTABLE: dict[str, Expected] = {
    "certify.sgd_stable/1": "withheld",
    "certify.sgd_trace/1": "withheld",
    "certify.sgd_path_norm/1": "withheld",
}


@dataclass(frozen=True)
class _Size:
    batches: tuple[int, ...]
    samples: int
    features: int
    rates: tuple[float, ...]
    sweep_batches: tuple[int, ...]
    scales: tuple[float, ...]
    widths: tuple[int, ...]
    digits: int
    large: bool = False


SIZES = {
    "tour": _Size((1, 4), 40, 100, (0.005, 0.02, 0.04), (1,), (0.3,), (), 0),
    "quick": _Size(
        (1, 4, 16, 40),
        40,
        100,
        (0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05),
        (1, 4, 40),
        (0.3,),
        (50, 200),
        200,
    ),
    "paper": _Size(
        (1, 2, 4, 8, 16, 32, 40),
        40,
        100,
        (0.00125, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05),
        (1, 2, 4, 16, 40),
        (0.05, 0.1, 0.3, 1.0),
        (50, 200, 500),
        200,
        True,
    ),
}


def study(size: str, desk: Desk) -> None:
    """Thresholds, simulation, training, escape, and networks of other kinds."""
    chosen = SIZES[size]
    desk.say(
        "A minimum that fits the data is held by SGD only if it is flat enough for the "
        "learning rate and the batch. The exact limit in the mean square is an "
        "eigenvalue; the judge proves it from both sides. For batches of one it "
        "implies Tr G <= 2 / eta, and that bounds the l_1 or path norm of the network. "
        "Gradient descent knows lambda_max alone, and asks for far less."
    )
    _thresholds(desk, chosen)
    _simulation(desk)
    _sweep(desk, chosen)
    for width in chosen.widths:
        two_layer(desk, width)
    if chosen.digits:
        digits(desk, chosen.digits)
    if chosen.large:
        convolutional(desk)


def sparse(eta: float, batch: int, n: int = 40, d: int = 100) -> SGDStability:
    """A diagonal linear network with a predictor of five entries, at a minimum."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(n, d))
    truth = np.where(np.arange(d) < 5, 1.0, 0.0)
    first = np.where(truth > 0, 1.0, 0.2 * rng.normal(size=d))
    params = {"first": first, "second": truth / np.where(truth > 0, first, 1.0)}
    model = DiagonalLinear()
    targets = model.predictions(params, inputs)
    return SGDStability(model, params, inputs, targets, eta, batch)


def _thresholds(desk: Desk, size: _Size) -> None:
    """Stable a hundredth below, unstable a hundredth above, for every batch."""
    rows, exact = [], []
    for batch in size.batches:
        problem = sparse(0.01, batch)
        rate = float(desk.attempt(problem, ExactMeanSquare()).value.max_learning_rate)
        exact.append(rate)
        for factor, expect in ((0.99, STABLE), (1.01, UNSTABLE)):
            desk.solve(
                f"batch{batch}_{factor}",
                f"Batch {batch}, {factor} of the threshold",
                eqx.tree_at(lambda p: p.learning_rate, problem, factor * rate),
                ExactMeanSquare(),
                expect=NO_RELU | expect,
            )
        near = eqx.tree_at(lambda p: p.learning_rate, problem, rate)
        others = [
            float(desk.attempt(near, method).value.max_learning_rate)
            for method in (TraceTest(), FrobeniusTest(), GradientDescentTest())
        ]
        value = desk.attempt(problem, ExactMeanSquare()).value
        naive = 2 * batch / float(value.trace)
        rows.append((batch, *(f"{r:.5f}" for r in (rate, *others, naive))))
    desk.table(
        "Largest learning rate: exact, and by the necessary conditions",
        ("batch", "exact", "test matrix I", "Frobenius", "lambda_max", "2B / Tr G"),
        rows,
    )
    desk.plot(
        Plot(
            "thresholds",
            "xy",
            "Largest stable learning rate",
            caption="A point between the exact curve and another is one that the other "
            "condition would call stable.",
            x_label="batch size",
            y_label="learning rate",
            x_log=True,
            y_log=True,
            series=tuple(
                Series(
                    name,
                    [float(b) for b in size.batches],
                    [float(row[k]) for row in rows],
                    "line",
                    "ours" if k == 1 else "baseline",
                )
                for k, name in enumerate(
                    ("exact", "test matrix I", "Frobenius", "lambda_max"), start=1
                )
            ),
        )
    )
    desk.figure(
        "Trace condition for batches of one, over the exact limit",
        paper="Tr G <= 2 / eta is necessary",
        ours=f"{float(rows[0][5]) / exact[0]:.2f} times",
    )


def _simulation(desk: Desk) -> None:
    """A tenth above the threshold the mean explodes while the median may shrink."""
    problem = sparse(0.01, 1)
    rate = float(desk.attempt(problem, ExactMeanSquare()).value.max_learning_rate)
    above = eqx.tree_at(lambda p: p.learning_rate, problem, 1.1 * rate)
    found = desk.attempt(above, SimulateLinearised()).stats.trace
    steps = [float(k + 1) for k in range(len(found["log10_mean_square"]))]
    desk.plot(
        Plot(
            "simulation",
            "xy",
            "400 runs of linearised SGD at 1.1 times the threshold",
            caption="Second moments grow, typical runs shrink: neither a sample mean "
            "nor a median decides stability in the mean square.",
            x_label="step",
            y_label="log10 of the squared distance",
            series=(
                Series("mean", steps, found["log10_mean_square"].tolist()),
                Series(
                    "median",
                    steps,
                    found["log10_median_square"].tolist(),
                    role="baseline",
                ),
            ),
        )
    )
    desk.figure(
        "Growth over 200 steps at 1.1 of the threshold, orders of magnitude",
        paper=None,
        ours=f"mean {found['log10_mean_square'][-1]:+.1f}, "
        f"median {found['log10_median_square'][-1]:+.1f}",
    )


def regression(size: _Size, **options: Any) -> StabilitySweep:
    """Sparse regression with fresh samples to test on."""
    rng = np.random.default_rng(0)
    truth = np.where(np.arange(size.features) < 5, 1.0, 0.0)
    inputs = rng.normal(size=(size.samples, size.features))
    fresh = rng.normal(size=(500, size.features))
    return StabilitySweep(
        DiagonalLinear(squares=True),
        inputs,
        inputs @ truth,
        options.pop("rates", size.rates),
        options.pop("batches", size.sweep_batches),
        options.pop("scales", size.scales),
        fresh,
        fresh @ truth,
        **options,
    )


def _sweep(desk: Desk, size: _Size) -> None:
    """SGD and gradient descent over learning rates, then out of a sharp minimum."""
    solution = desk.solve(
        "sweep",
        "Sparse regression by SGD and gradient descent",
        regression(size),
        SGDTraining(max_updates=40_000),
    )
    value = solution.value
    desk.table(
        "Minima that SGD reached",
        ("eta", "batch", "scale", "loss", "Tr G", "2B / eta", "l_1 norm", "test error"),
        [sweep_row(value, i) for i in range(len(value.loss))],
    )
    desk.plot(sweep_plot(value, size.sweep_batches, size.samples))
    figures = solution.certificate["sgd_flatter"].figures
    desk.figure(
        "l_1 norm at the smallest and at the largest learning rate, smallest batch",
        paper="smaller for larger rates, figure only",
        ours=f"{figures['norm at the smallest']:.2f} and "
        f"{figures['norm at the largest']:.2f}",
    )
    _escape(desk, size, value)


def _escape(desk: Desk, size: _Size, value: Any) -> None:
    """From the minimum of the smallest rate, on with one at which it is unstable."""
    start = value.params(0)
    trace = float(value.trace[0])
    solution = desk.solve(
        "escape",
        "Out of a sharp minimum: a learning rate above 2 / Tr G",
        regression(
            size, rates=(2.2 / trace,), batches=(1,), scales=(1e-3,), start=start
        ),
        SGDTraining(max_updates=40_000),
        expect={"certify.sgd_flatter/1": "withheld"},
    )
    after = solution.value
    desk.figure(
        "Trace before and after 2 / Tr G is exceeded by a tenth",
        paper="SGD escapes, figure only",
        ours=f"{trace:.1f}, then {float(after.trace[0]):.1f}",
        note=f"l_1 norm {float(value.norm[0]):.2f}, then {float(after.norm[0]):.2f}",
    )
