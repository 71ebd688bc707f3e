"""A thin door to conic solvers: min x'P x / 2 + q'x subject to b - A x in a cone.

Clarabel (interior point) and SCS (first order) take the same form; here is what they
differ in: the order of rows and of a symmetric matrix's entries, and their words for
how a run ended. No modelling language. Nothing that a solver says is trusted: answers
are hints, for a judge to decide.

Needs `pip install lemmata[cones]`.
"""

import importlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from ..core import InvalidArgument, LemmataError

CONES = ("zero", "nonnegative", "second_order", "semidefinite")
SOLVERS = ("clarabel", "scs")


class ConicSolverNotFound(LemmataError, ImportError):
    """The package of a conic solver is not installed."""


@dataclass(frozen=True)
class ConeProgram:
    """min x'P x / 2 + q'x subject to b - A x in K.

    **Fields:**

    - `linear`: q, (n,).
    - `matrix`: A, (m, n), sparse (any scipy format).
    - `rhs`: b, (m,).
    - `cones`: K as consecutive parts (name, size): "zero", "nonnegative",
      "second_order" (t, x) with ||x|| <= t, each with `size` rows; "semidefinite" with
      matrices of order `size`, in size (size + 1) / 2 rows: the upper triangle
      column by column, entries off the diagonal times the square root of 2.
    - `quadratic`: P, (n, n) symmetric, both triangles, sparse; None for 0.

    **Raises:** `InvalidArgument` where shapes or numbers do not fit.
    """

    linear: np.ndarray
    matrix: Any
    rhs: np.ndarray
    cones: tuple[tuple[str, int], ...]
    quadratic: Any = None

    def __post_init__(self) -> None:
        n, m = np.size(self.linear), np.size(self.rhs)
        _fits("linear", np.ndim(self.linear) == 1, "shape (n,)", np.shape(self.linear))
        _fits("rhs", np.ndim(self.rhs) == 1, "shape (m,)", np.shape(self.rhs))
        given: list[tuple[str, Any, tuple[int, int]]] = [
            ("matrix", self.matrix, (m, n))
        ]
        if self.quadratic is not None:
            given.append(("quadratic", self.quadratic, (n, n)))
        for name, matrix, shape in given:
            sparse = scipy.sparse.issparse(matrix)
            _fits(name, sparse, "a scipy sparse matrix", type(matrix).__name__)
            _fits(name, matrix.shape == shape, f"shape {shape}", matrix.shape)
            _finite(name, matrix.tocoo().data)
        _finite("linear", self.linear)
        _finite("rhs", self.rhs)
        rows = sum(_rows(name, size) for name, size in self.cones)
        _fits("cones", rows == m, f"{m} rows together", f"{rows} rows")


@dataclass(frozen=True)
class ConeAnswer:
    """What a solver returned; to be judged, not believed.

    **Fields:**

    - `x`: (n,). - `dual`: y, (m,), with P x + q + A'y = 0 and y in the dual cone.
    - `status`: "solved", "almost_solved", "primal_infeasible", "dual_infeasible",
      "max_iterations", "max_time" or "failed".
    - `iterations`, `seconds`: of the solver alone.
    """

    x: np.ndarray
    dual: np.ndarray
    status: str
    iterations: int
    seconds: float

    @property
    def usable(self) -> bool:
        """Whether there are numbers near an optimum to go on with."""
        finite = np.all(np.isfinite(self.x)) and np.all(np.isfinite(self.dual))
        return bool(finite and self.status in ("solved", "almost_solved"))


def solve_cone_program(
    program: ConeProgram,
    *,
    tol: float = 1e-9,
    max_iterations: int = 200,
    time_limit: float | None = None,
    solver: str = "clarabel",
) -> ConeAnswer:
    """The solver's answer.

    **Arguments:**

    - `tol`: absolute and relative, for feasibility and gap, > 0.
    - `max_iterations`: of the solver: interior-point steps of Clarabel, operator
      splittings of SCS (which needs thousands), >= 1.
    - `time_limit`: seconds, or None.
    - `solver`: "clarabel" or "scs".

    **Raises:** `InvalidArgument`, `ConicSolverNotFound`. A run that fails is an answer
    with that status.
    """
    _fits("tol", tol > 0, "> 0", tol)
    _fits("max_iterations", max_iterations >= 1, ">= 1", max_iterations)
    _fits("time_limit", time_limit is None or time_limit > 0, "> 0", time_limit)
    _fits("solver", solver in SOLVERS, " or ".join(SOLVERS), repr(solver))
    run = _clarabel if solver == "clarabel" else _scs
    return run(program, _package(solver), tol, max_iterations, time_limit)


def svec_order(size: int) -> tuple[np.ndarray, np.ndarray]:
    """(row, column) of each entry of a semidefinite part, upper triangle by columns."""
    column, row = np.tril_indices(size)
    return row, column


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"the conic solver {name} is missing: pip install 'lemmata[cones]'"
        raise ConicSolverNotFound(message) from error


def _clarabel(
    program: ConeProgram,
    clarabel: Any,
    tol: float,
    max_iterations: int,
    time_limit: float | None,
) -> ConeAnswer:
    kinds = {
        "zero": clarabel.ZeroConeT,
        "nonnegative": clarabel.NonnegativeConeT,
        "second_order": clarabel.SecondOrderConeT,
        "semidefinite": clarabel.PSDTriangleConeT,
    }
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_iter = max_iterations
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tol
    if time_limit is not None:
        settings.time_limit = time_limit
    cones = [kinds[name](size) for name, size in program.cones if size > 0]
    begun = time.perf_counter()
    found = clarabel.DefaultSolver(
        scipy.sparse.csc_matrix(scipy.sparse.triu(_quadratic(program))),
        _vector(program.linear),
        scipy.sparse.csc_matrix(program.matrix, dtype=np.float64),
        _vector(program.rhs),
        cones,
        settings,
    ).solve()
    seconds = time.perf_counter() - begun
    status = {
        "Solved": "solved",
        "AlmostSolved": "almost_solved",
        "PrimalInfeasible": "primal_infeasible",
        "AlmostPrimalInfeasible": "primal_infeasible",
        "DualInfeasible": "dual_infeasible",
        "AlmostDualInfeasible": "dual_infeasible",
        "MaxIterations": "max_iterations",
        "MaxTime": "max_time",
    }.get(str(found.status), "failed")
    x, y = np.array(found.x), np.array(found.z)
    return ConeAnswer(x, y, status, int(found.iterations), seconds)


def _scs(
    program: ConeProgram,
    scs: Any,
    tol: float,
    max_iterations: int,
    time_limit: float | None,
) -> ConeAnswer:
    order, cone = _scs_order(program.cones)
    matrix = scipy.sparse.csc_matrix(program.matrix, dtype=np.float64)[order]
    data = {"A": matrix, "b": _vector(program.rhs)[order], "c": _vector(program.linear)}
    if program.quadratic is not None:
        data["P"] = scipy.sparse.csc_matrix(scipy.sparse.triu(_quadratic(program)))
    options = {"eps_abs": tol, "eps_rel": tol, "max_iters": max_iterations}
    if time_limit is not None:
        options["time_limit_secs"] = time_limit
    begun = time.perf_counter()
    found = scs.SCS(data, cone, verbose=False, **options).solve()
    seconds = time.perf_counter() - begun
    info = found["info"]
    status = {
        1: "solved",
        2: "max_iterations",
        -1: "dual_infeasible",
        -2: "primal_infeasible",
        -6: "dual_infeasible",
        -7: "primal_infeasible",
    }.get(info["status_val"], "failed")
    dual = np.empty(order.size)
    dual[order] = found["y"]
    return ConeAnswer(np.array(found["x"]), dual, status, int(info["iter"]), seconds)


def _scs_order(cones: tuple[tuple[str, int], ...]) -> tuple[np.ndarray, dict]:
    """Rows as SCS wants them, and its cone: by kind, lower triangles by columns."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in CONES}
    sizes: dict[str, list[int]] = {name: [] for name in CONES}
    start = 0
    for name, size in cones:
        count = _rows(name, size)
        part = start + np.arange(count)
        if name == "semidefinite":
            row, column = svec_order(size)
            part = part[np.lexsort((column, row))]
        start += count
        if size:
            rows[name].append(part)
            sizes[name].append(size)
    order = [part for name in CONES for part in rows[name]]
    cone = {
        "z": sum(sizes["zero"]),
        "l": sum(sizes["nonnegative"]),
        "q": sizes["second_order"],
        "s": sizes["semidefinite"],
    }
    return np.concatenate(order).astype(np.int64), cone


def _quadratic(program: ConeProgram) -> Any:
    n = program.linear.size
    if program.quadratic is None:
        return scipy.sparse.csc_matrix((n, n))
    return scipy.sparse.csc_matrix(program.quadratic, dtype=np.float64)


def _vector(values: Any) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float64)


def _rows(name: str, size: int) -> int:
    known = name in CONES
    _fits("cones", known, f"a name among {', '.join(CONES)}", repr(name))
    whole = isinstance(size, int | np.integer) and size >= 0
    _fits("cones", whole, "an integer size >= 0", size)
    return size * (size + 1) // 2 if name == "semidefinite" else int(size)


def _finite(name: str, values: Any) -> None:
    bad = int(np.sum(~np.isfinite(values)))
    _fits(name, bad == 0, "finite numbers", f"{bad} not finite")


def _fits(name: str, condition: Any, expected: str, got: Any) -> None:
    if not condition:
        raise InvalidArgument(f"cone program, {name}", expected, got)
