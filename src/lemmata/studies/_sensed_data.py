"""Real matrices, sensed: a photograph's patch and a table of digits."""

from typing import Any

import numpy as np

from ..core import Solution
from ..data.samples import photograph
from ..optimize import (
    AcceleratedAsymmetricGradientDescent,
    GaussianOperator,
    LowRank,
    MaskOperator,
    Planted,
)
from ._desk import Desk
from ._record import Expected

_EXPECT: dict[str, Expected] = {
    "optimize.recovery/1": "withheld",  # fewer measurements than entries
    "optimize.exact_parameterisation/1": "withheld",
}
_BARS = 2  # pixels of white between two pictures


def sensed_photograph(desk: Desk, side: int, count: int) -> None:
    """A patch of a photograph, truncated to rank 4, from Gaussian measurements."""
    grey = photograph("china").mean(axis=2)[100 : 100 + side, 200 : 200 + side]
    truth = LowRank.of(grey - grey.mean(), 4)
    operator = GaussianOperator((side, side), count, key=2)
    problem = Planted.of(operator, truth, rtol=1e-6, held_out=100)
    solution = desk.solve(
        "photograph",
        f"A {side} x {side} patch of rank 4, width 8, {count - 100} measurements",
        problem,
        AcceleratedAsymmetricGradientDescent(8),
        expect=_EXPECT,
    )
    seen = problem.sensing.measurements[: problem.sensing.used]
    stored = np.asarray(operator.stored)[: problem.sensing.used]
    first = (seen @ stored).reshape(side, side) / len(seen)
    pictures = (truth.matrix(), first, solution.value.matrix())
    desk.image(
        "patch",
        "A patch of a photograph from Gaussian measurements of it",
        _side_by_side([p + grey.mean() for p in pictures]),
        caption="Left the patch of rank 4, middle what one back-projection shows, "
        "right the answer in factors of width 8.",
        alt="A roof of a Chinese temple, noise, and the same roof",
    )
    size = float(np.linalg.norm(truth.matrix()))
    bound = solution.certificate["held_out_error"].measured
    desk.figure(
        "Relative error of the photograph's patch, bounded by 100 fresh measurements",
        paper=None,
        ours=f"at most {bound / size:.1e} (true: {_error(solution, truth) / size:.1e})",
        note="holds for 99 of 100 draws of the fresh measurements",
    )


def completion(desk: Desk) -> None:
    """Handwritten digits with entries missing: no isometry, so no recovery claim."""
    from ..data.samples import _sklearn

    pixels = _sklearn("sklearn.datasets", "load_digits")().data[:200]
    truth = LowRank.of(pixels - pixels.mean(axis=0), 5)
    chosen = np.random.default_rng(0).permutation(pixels.size)[: pixels.size * 6 // 10]
    columns = pixels.shape[1]
    operator = MaskOperator(pixels.shape, chosen // columns, chosen % columns)
    problem = Planted.of(operator, truth, rtol=1e-6)
    expect: dict[str, Expected] = {"optimize.held_out_error/1": "withheld"}
    solution = desk.solve(
        "digits",
        "200 digits of 64 pixels, rank 5, width 10, three entries of five seen",
        problem,
        AcceleratedAsymmetricGradientDescent(10),
        expect=_EXPECT | expect,
    )
    unseen = np.ones(pixels.size, bool)
    unseen[chosen] = False
    away = (solution.value.matrix() - truth.matrix()).reshape(-1)[unseen]
    level = np.linalg.norm(truth.matrix().reshape(-1)[unseen])
    mean = pixels.mean(axis=0)
    answers = (truth.matrix() + mean, solution.value.matrix() + mean)
    hidden = np.where(unseen.reshape(pixels.shape), 0.0, answers[0])
    desk.image(
        "completed",
        "Digits with two pixels of five missing",
        np.concatenate([_tiles(table / 16) for table in (hidden, *answers)]),
        caption="Top what is seen (missing pixels black), middle the digits at rank 5, "
        "bottom the answer.",
        alt="Three rows of coarse grey digits, the first with black pixels missing",
    )
    desk.figure(
        "Relative error on the entries that were not seen",
        paper=None,
        ours=f"{np.linalg.norm(away) / level:.1e}",
        note="nothing certifies it: a spike between the entries seen would not show",
    )


def _error(solution: Solution, truth: LowRank) -> float:
    return float(np.linalg.norm(solution.value.matrix() - truth.matrix()))


def _side_by_side(pictures: list[Any], zoom: int = 4) -> np.ndarray:
    parts = []
    for picture in pictures:
        if parts:
            parts.append(np.ones((len(picture), _BARS)))
        parts.append(np.clip(picture, 0, 1))
    return np.kron(np.concatenate(parts, axis=1), np.ones((zoom, zoom)))


def _tiles(table: np.ndarray, count: int = 12, zoom: int = 6) -> np.ndarray:
    """The first digits of a table, 8 x 8 each, in one row."""
    tiles = [np.pad(row.reshape(8, 8), 1) for row in table[:count]]
    return np.kron(np.concatenate(tiles, axis=1), np.ones((zoom, zoom)))
