"""Games that no measure wins, and what bounds say of trained networks.

Source: Gastpar, Nachum, Shafer and Weinberger, ICLR 2024 (arXiv 2309.13658); the sweep
follows Jiang et al., ICLR 2020 (arXiv 1912.02178).
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..certify import (
    Compression,
    Constant,
    ExactNoGo,
    FinitePACBayes,
    FiniteRademacher,
    GeneralizationBounds,
    GeneralizationGame,
    HoldOut,
    LinearOverField,
    Occam,
    PACBayes,
    PlayGame,
    RandomLabelling,
    Unseen,
    VCDimension,
)
from ._desk import Desk
from ._generalization_models import binary, digits, trained
from ._generalization_sweep import Sweep, neural, ranking
from ._record import Expected, Plot, Series

_NO_CAPACITY: dict[str, Expected] = {"certify.measure_values/1": "withheld"}
_NOT_PLAYED: dict[str, Expected] = {"certify.measure_fails/1": "withheld"}
ACCURACY = "1/8"


@dataclass(frozen=True)
class _Size:
    games: tuple[tuple[int, int], ...]
    rounds: int
    every_measure: bool
    fields: tuple[int, ...]
    widths: tuple[int, ...]
    posterior: bool
    sweep: Sweep
    neural: int


_SIZES = {
    "tour": _Size(
        ((50, 25),),
        500,
        False,
        (2,),
        (16,),
        False,
        ((16,), (64,), (0.003, 0.01), (0.0,)),
        0,
    ),
    "quick": _Size(
        ((50, 25), (100, 50), (200, 100), (200, 20)),
        4000,
        True,
        (2, 3, 5),
        (16, 64, 512),
        True,
        ((16, 32, 64), (32, 128), (0.003, 0.01), (0.0, 0.2)),
        20,
    ),
    "paper": _Size(
        ((50, 25), (100, 50), (200, 100), (200, 20)),
        4000,
        True,
        (2, 3, 5),
        (16, 32, 64, 128, 256, 512),
        True,
        (
            (16, 32, 64, 128, 256),
            (16, 32, 64, 128),
            (0.001, 0.003, 0.01),
            (0, 0.2, 0.5),
        ),
        60,
    ),
}


def study(size: str, desk: Desk) -> None:
    """Plays games, evaluates bounds, and ranks measures over a sweep."""
    chosen = _SIZES.get(size, _SIZES["quick"])
    _games(desk, chosen)
    _fields(desk, chosen)
    _bounds(desk, chosen)
    ranking(desk, chosen.sweep)
    neural(desk, chosen.neural)


def _measures(every: bool) -> tuple[tuple[str, Any], ...]:
    few = (
        ("constant", Constant(0.0)),
        ("best", Constant(0.12499)),
        ("vc", VCDimension()),
    )
    if not every:
        return few
    return (
        *few,
        ("unseen", Unseen(0.5)),
        ("quarter", Unseen(0.25)),
        ("occam", Occam()),
        ("compression", Compression()),
        ("pac-bayes", FinitePACBayes()),
        ("rademacher", FiniteRademacher()),
        ("hold-out", HoldOut(fresh_samples=600)),
    )


def _games(desk: Desk, chosen: _Size) -> None:
    rows, bars, floors = [], [], []
    for points, samples in chosen.games:
        world = RandomLabelling(points, samples)
        for name, measure in _measures(chosen.every_measure):
            game = GeneralizationGame(world, measure, ACCURACY, chosen.rounds)
            title = f"{name} on {samples} samples of {points} points"
            solution = desk.solve(f"game-{points}-{samples}-{name}", title, game)
            share = float(np.mean(game.failures(solution.value)))
            floor = float(solution.value.no_go)
            rows.append((name, points, samples, f"{share:.4f}", f"{floor:.4f}"))
            bars.append(share)
            floors.append(floor)
    columns = ("measure", "points", "samples", "fails", "floor")
    desk.table(f"Failure at accuracy {ACCURACY}, {chosen.rounds} rounds", columns, rows)
    place = [float(i) for i in range(len(bars))]
    caption = "One bar per row of the table. Only hold-out data get below the floor."
    series = (
        Series("measure", place, bars, "bars"),
        Series("no measure fails less", place, floors, "markers", "bound"),
    )
    desk.plot(
        Plot(
            "games",
            "xy",
            "How often measures miss the loss",
            caption,
            "row of the table",
            "frequency of failure",
            series=series,
        )
    )
    first = GeneralizationGame(RandomLabelling(50, 25), Constant(), ACCURACY)
    desk.figure(
        "least failure, 25 samples of 50 points",
        paper=None,
        ours=f"{float(first.no_go() or 0):.10f}",
        note="exact; the paper states the limit 1/2 for accuracy 1/4",
    )


def _fields(desk: Desk, chosen: _Size) -> None:
    rows = []
    for order in chosen.fields:
        for levels in (1, 2):
            world = LinearOverField(order, 20, 8, levels)
            game = GeneralizationGame(world, Constant(0.0), ACCURACY, chosen.rounds)
            name = f"linear-{order}-{levels}"
            title = f"linear functions modulo {order}, {levels} preferred subspaces"
            if levels == 1:
                solution = desk.solve(name, title, game, PlayGame())
                share = f"{np.mean(game.failures(solution.value)):.4f}"
            else:
                solution = desk.solve(
                    name, title, game, ExactNoGo(), expect=_NOT_PLAYED
                )
                share = ""
            floor = float(solution.value.no_go)
            rows.append((order, levels, f"{floor:.6f}", share))
    columns = ("order", "levels", "floor", "constant 0 fails")
    desk.table(
        "Linear functions over a field, 8 samples of dimension 20", columns, rows
    )


def _bounds(desk: Desk, chosen: _Size) -> None:
    inputs, labels = digits()
    mixed = np.random.default_rng(1).integers(0, 10, len(labels)).astype(np.float64)
    half, rows = 900, []
    for width, (kind, y) in itertools.product(
        chosen.widths, (("true", labels), ("random", mixed))
    ):
        before, after = trained(inputs[:half], y[:half], width)
        train, test = (inputs[:half], y[:half]), (inputs[half:], y[half:])
        problem = GeneralizationBounds(after, train, test, initial=before)
        title = f"{kind} labels, width {width}"
        solution = desk.solve(f"digits-{kind}-{width}", title, problem)
        risk = np.asarray(solution.value.risk)
        for row in problem.table(solution.value):
            said = "vacuous" if row["vacuous"] else row["kind"]
            value = f"{row['value']:.4g}"
            rows.append((width, kind, row["measure"], value, said, f"{risk[1]:.4f}"))
    columns = ("width", "labels", "measure", "value", "is", "risk at most")
    desk.table("Digits, one hidden layer", columns, rows)
    if chosen.posterior:
        _posteriors(desk)


def _posteriors(desk: Desk) -> None:
    for name in ("digits", "breast_cancer"):
        inputs, y = binary(name)
        n = 2 * len(y) // 3
        before, after = trained(inputs[:n], y[:n], 8, outputs=1, steps=400)
        problem = GeneralizationBounds(
            after,
            (inputs[:n], y[:n]),
            (inputs[n:], y[n:]),
            (PACBayes(draws=500, steps=2000), VCDimension()),
            initial=before,
        )
        title = f"PAC-Bayes on {name}, two classes"
        solution = desk.solve(f"pac-bayes-{name}", title, problem, expect=_NO_CAPACITY)
        value = float(np.asarray(solution.value.values)[0])
        word = "not vacuous" if value < 1 else "vacuous"
        desk.say(
            f"PAC-Bayes bounds the stochastic network on {name} by {value:.3f}: {word}."
        )
