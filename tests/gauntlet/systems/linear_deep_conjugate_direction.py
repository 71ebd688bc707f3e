"""The gauntlet's knowledge of the pressure equation: oracles in fractions."""

from fractions import Fraction
from functools import cache

import numpy as np

from lemmata.core import run
from lemmata.linear import (
    DeepConjugateDirection,
    DeflatedPCG,
    DirectionNetwork,
    DirectionTraining,
    GridPoisson,
    ResidualDirections,
    SavedDirections,
    TrainDirections,
    solution,
)
from tests.gauntlet.systems import System

CELLS = np.ones((5, 4), int)
CELLS[0, :2] = 2
CELLS[4, 3] = 0
RHS = np.random.default_rng(0).normal(size=CELLS.shape) * (CELLS == 1)
CLOSE = 0.2  # relative distance to a promise within which rounding may decide


def rows(problem) -> list[dict[int, Fraction]]:
    """The matrix, one dictionary a row, cell by cell as the docstring defines it."""
    cells = problem.arrays["cells"]
    scale = 1 / Fraction(problem.json["spacing"]) ** 2
    number = np.arange(cells.size).reshape(cells.shape)
    found = []
    for place in np.ndindex(cells.shape):
        row, degree = {}, 0
        for axis in range(cells.ndim):
            for step in (-1, 1):
                beside = list(place)
                beside[axis] += step
                inside = 0 <= beside[axis] < cells.shape[axis]
                code = cells[tuple(beside)] if inside else 0
                degree += code != 2
                if code == 1 and cells[place] == 1:
                    row[int(number[tuple(beside)])] = -scale
        live = cells[place] == 1 and degree > 0
        row = row if live else {}
        row[int(number[place])] = scale * (degree if live else 2 * cells.ndim)
        found.append(row)
    return found


def times(matrix, x) -> list[Fraction]:
    return [sum(c * x[j] for j, c in row.items()) for row in matrix]


def fractions(array) -> list[Fraction]:
    return [Fraction(v) for v in np.asarray(array).reshape(-1).tolist()]


def residual_of(problem, value):
    b, x = fractions(problem.arrays["rhs"]), fractions(value["solution"])
    return b, [u - v for u, v in zip(b, times(rows(problem), x), strict=True)]


def compare(figure, promised: float) -> bool | None:
    """Whether `figure <= promised`, None where the two are close."""
    if abs(figure - promised) <= CLOSE * abs(promised):
        return None
    return figure <= promised


def norm(vector) -> float:
    return float(sum(v * v for v in vector)) ** 0.5


def residual(problem, value, claim):
    b, r = residual_of(problem, value)
    return compare(norm(r) / norm(b), claim["promised"])


def residual_max(problem, value, claim):
    b, r = residual_of(problem, value)
    return compare(float(max(map(abs, r)) / max(map(abs, b))), claim["promised"])


@cache
def _spectrum(cells: bytes, shape: tuple, spacing: float):
    from lemmata_checker import Packed

    arrays = {"cells": np.frombuffer(cells, np.uint8).reshape(shape)}
    matrix = rows(Packed("", {"spacing": spacing}, arrays))
    dense = np.zeros((len(matrix), len(matrix)))
    for i, row in enumerate(matrix):
        for j, c in row.items():
            dense[i, j] = float(c)
    return dense, float(np.linalg.eigvalsh(dense)[0])


def spectrum(problem):
    """A as floats and its least eigenvalue."""
    cells = problem.arrays["cells"]
    return _spectrum(cells.tobytes(), cells.shape, problem.json["spacing"])


def error_bound(problem, value, claim):
    """False if the error itself is larger; true if even a third of lambda shows it."""
    dense, least = spectrum(problem)
    x = value["solution"]
    exact = np.linalg.solve(dense, problem.arrays["rhs"].reshape(-1))
    if np.linalg.norm(x - exact) > 1.01 * claim["promised"] * np.linalg.norm(x):
        return False
    _, r = residual_of(problem, value)
    shown = 3 * norm(r) / (least * float(np.linalg.norm(x))) <= claim["promised"]
    return True if shown else None


def descent(problem, x) -> Fraction:
    b, image = fractions(problem.arrays["rhs"]), times(rows(problem), x)
    pairs = zip(b, image, x, strict=True)
    return sum((v * (2 * u - w) for u, w, v in pairs), Fraction(0))


def energy_descent(problem, value, claim):
    """The decrements of the example's run against the descent from zero."""
    from tests.gauntlet.conftest import solved_example

    stats = solved_example("linear-deep-conjugate-direction").solution.stats
    total = sum(fractions(stats.trace["decrement"]))
    fallen = descent(problem, fractions(value["solution"]))
    if fallen <= 0:
        return False
    return compare(float(abs(total - fallen) / fallen), claim["promised"])


def conjugacy(problem, value, claim):
    """About directions alone: no change of the answer makes it false."""
    del problem, value, claim
    return True


def contraction(problem, value, claim):
    dense, least = spectrum(problem)
    exact = np.linalg.solve(dense, problem.arrays["rhs"].reshape(-1))
    error = value["solution"] - exact
    first, last = exact @ dense @ exact, error @ dense @ error
    if (last / first) ** 0.5 > 1.01 * claim["promised"]:
        return False
    _, r = residual_of(problem, value)
    bound = 3 * norm(r) ** 2 / least
    fallen = float(descent(problem, fractions(value["solution"])))
    if fallen <= 0:
        return None
    shown = (bound / (fallen + bound)) ** 0.5 <= claim["promised"]
    return True if shown else None


def derivative():
    """A weighted sum of the pressure, in the right-hand side."""
    weights = np.random.default_rng(1).normal(size=CELLS.size)

    def function(rhs):
        masked = rhs * (CELLS == 1)
        return weights @ solution(GridPoisson(CELLS, masked, rtol=1e-12))

    return function, RHS


def batch():
    method = DeepConjugateDirection(ResidualDirections())

    def function(rhs):
        found = GridPoisson(CELLS, rhs, rtol=1e-11)
        value, _, _ = run(found, method, max_steps=100)
        return value.x

    return function, np.stack([RHS, RHS[::-1] ** 2 * (CELLS == 1)])


def problem(cells=CELLS, rhs=RHS, **options):
    return GridPoisson(cells, rhs, **options)


def with_cell(code):
    cells = CELLS.copy()
    cells[2, 2] = code
    return cells


def closed(total):
    """One region walled in on all sides."""
    cells = np.full((4, 4), 2)
    cells[1:3, 1:3] = 1
    rhs = np.zeros((4, 4))
    rhs[1, 1], rhs[2, 2] = 1.0, total - 1.0
    return GridPoisson(cells, rhs)


def space():
    return GridPoisson(np.ones((3, 3, 3)), np.ones((3, 3, 3)))


def solve(found, method):
    from lemmata import solve as lm_solve

    return lm_solve(found, method)


SYSTEM = System(
    bad_inputs=(
        ("unknown code", lambda: problem(with_cell(7)), r"\.cells: .*got 7"),
        ("half a cell", lambda: problem(CELLS * 0.5), r"\.cells: .*codes 0"),
        ("no fluid", lambda: problem(0 * CELLS, 0 * RHS), r"\.cells: .*fluid"),
        ("a line", lambda: problem(CELLS[0], RHS[0]), r"\.cells: .*shape"),
        ("shapes differ", lambda: problem(rhs=RHS[:3]), r"\.rhs: .*shape \(5, 4\)"),
        ("NaN", lambda: problem(rhs=RHS * np.nan), r"\.rhs: .*finite"),
        ("complex", lambda: problem(rhs=RHS + 1j), r"\.rhs: .*real"),
        ("off the fluid", lambda: problem(rhs=RHS + 1), r"\.rhs: .*zero off the fluid"),
        ("spacing 0", lambda: problem(spacing=0.0), r"\.spacing: .*> 0"),
        ("rtol 1", lambda: problem(rtol=1.0), r"\.rtol: .*\(0, 1\)"),
        ("inconsistent", lambda: closed(0.5), r"\.rhs: .*region 1.*sum of 0\.5"),
        ("window", lambda: DeepConjugateDirection(window=-1), r"\.window: .*>= 0"),
        ("no network", lambda: DeepConjugateDirection(3), r"\.network: "),
        (
            "network of the plane in space",
            lambda: solve(space(), DeepConjugateDirection()),
            r"\.network: .*dim = 3.*dim = 2",
        ),
        ("levels", lambda: DirectionNetwork(levels=0), r"\.levels: "),
        ("depths", lambda: DirectionNetwork(depths=(3, 2, 2)), r"\.depths: .*even"),
        (
            "missing file",
            lambda: solve(problem(), DeepConjugateDirection(SavedDirections("no.npz"))),
            r"no\.npz",
        ),
        ("vectors 0", lambda: DeflatedPCG(vectors=0), r"\.vectors: .*>= 1"),
        ("batch", lambda: TrainDirections(batch=0), r"\.batch: "),
        (
            "zero vector",
            lambda: DirectionTraining(CELLS, np.zeros((2, 20)), np.ones((1, 20))),
            r"\.vectors: .*none zero",
        ),
    ),
    oracles={
        "linear.residual/1": residual,
        "linear.residual_max/1": residual_max,
        "linear.error_bound/1": error_bound,
        "linear.energy_descent/1": energy_descent,
        "linear.conjugacy/1": conjugacy,
        "linear.contraction/1": contraction,
    },
    derivative=derivative,
    batch=batch,
    easier="rhs",
)
