"""Tables of linear solvers against peers, and who calls a wrong answer a success.

Functions for the benchmarks of the room's systems; nothing here runs by itself.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as peers

import lemmata as lm
from benchmarks.harness import Contender, Table, false_successes, race
from benchmarks.nasty_linear import LIMIT, cases
from lemmata.core import to_jax
from lemmata.linear import (
    AlgebraicMultigrid,
    ConjugateGradients,
    IncompleteCholesky,
    SPDSystem,
    SymmetricSOR,
)

ACCURACY = "relative residual, both norms"
RTOL = 1e-8
PATIENCE = 3_000  # iterations


class Answer(NamedTuple):
    """What a solver gave, and whether it calls that a success."""

    x: np.ndarray
    success: bool


def poisson(side: int) -> sp.csr_array:
    """Five-point Laplacian on side x side inner points."""
    path = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
    one = sp.eye_array(side)
    return sp.csr_array(sp.kron(path, one) + sp.kron(one, path))


def random_graph(n: int, shift: float = 1e-2) -> sp.csr_array:
    """Laplacian of a random graph of three edges a node, plus a shift."""
    i, j = np.random.default_rng(0).integers(n, size=(2, 3 * n))
    i, j = i[i != j], j[i != j]
    half = sp.coo_array((np.ones(i.size), (i, j)), shape=(n, n))
    weights = sp.csr_array(half + half.T)
    degrees = np.asarray(weights.sum(axis=1)).reshape(-1)
    return sp.csr_array(sp.diags_array(degrees + shift) - weights)


def tables(sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)) -> list[Table]:
    """One table for each matrix; from a million unknowns on only the main methods."""
    found = []
    for size in sizes:
        side = round(size**0.5)
        rhs = np.random.default_rng(1).normal(size=side * side)
        title = f"Poisson, {side} x {side}, relative residual {RTOL:g}"
        found.append(table(title, poisson(side), rhs, every=size < 1_000_000))
    for size in (n for n in sizes if n < 1_000_000):
        rhs = np.random.default_rng(1).normal(size=size)
        title = f"Random graph, {size} nodes, relative residual {RTOL:g}"
        found.append(table(title, random_graph(size), rhs, every=size < 100_000))
    return found


def table(title: str, matrix: sp.csr_array, rhs: np.ndarray, every: bool) -> Table:
    """Ours, claims included, against SciPy, lineax and PyAMG on one system.

    The set-up of a preconditioner counts for everybody; so does, for us, copying the
    problem into JAX. Making the problem does not (see `construction`).
    """
    problem = SPDSystem(matrix, rhs, rtol=RTOL)
    note = f"certificates included; making the problem took {construction(matrix):.2g}"
    note += " s more; ratio above 1: ours is faster"
    rounds = 3 if rhs.size < 1_000_000 else 2
    contenders = [
        *_ours(problem, every, rounds),
        *_scipy(problem, every, rounds),
        *_lineax(problem, rounds),
        *_pyamg(problem, rounds),
    ]
    return race(title, ACCURACY, contenders, note)


def construction(matrix: sp.csr_array) -> float:
    """Seconds that validation and layout take."""
    start = time.perf_counter()
    SPDSystem(matrix, np.ones(matrix.shape[0]))
    return time.perf_counter() - start


def accuracy(problem: SPDSystem, x: Any) -> float:
    """The larger of both relative norms of the residual, as SciPy computes it."""
    residual = problem.rhs - problem.matrix() @ np.asarray(x)
    return float(
        max(
            np.linalg.norm(residual, order) / np.linalg.norm(problem.rhs, order)
            for order in (2, np.inf)
        )
    )


def _ours(problem: SPDSystem, every: bool, rounds: int) -> list[Contender]:
    methods: dict[str, Any] = {
        "lemmata CG, Jacobi": ConjugateGradients(),
        "lemmata CG, multigrid": ConjugateGradients(AlgebraicMultigrid()),
    }
    if every:
        methods |= {
            "lemmata CG, incomplete Cholesky": ConjugateGradients(IncompleteCholesky()),
            "lemmata CG, SSOR 1.5": ConjugateGradients(SymmetricSOR(1.5)),
        }
    return [
        Contender(
            who,
            "ours" if who == "lemmata CG, Jacobi" else "baseline",
            lambda method=method: lm.solve(problem, method, throw=False),
            lambda solution: accuracy(problem, solution.value.x),
            lambda solution: solution.result.name == "converged",
            lambda solution: solution.certified,
            note="certificate included",
            rounds=rounds,
        )
        for who, method in methods.items()
    ]


def _peer(
    who: str, problem: SPDSystem, solve: Callable[[], Answer], rounds: int
) -> Contender:
    def judged(answer: Answer) -> bool:
        return lm.certify(problem, problem.candidate(x=answer.x)).certified

    return Contender(
        who,
        "peer",
        solve,
        lambda answer: accuracy(problem, answer.x),
        lambda answer: answer.success,
        judged,
        rounds=rounds,
    )


def scipy_cg(matrix: Any, rhs: np.ndarray, rtol: float, **options: Any) -> Answer:
    """SciPy's own verdict: info == 0."""
    x, info = peers.cg(matrix, rhs, rtol=rtol, **options)
    return Answer(x, info == 0)


def _scipy(problem: SPDSystem, every: bool, rounds: int) -> list[Contender]:
    matrix, rhs = problem.matrix(), problem.rhs
    scaling = 1.0 / matrix.diagonal()
    jacobi = peers.LinearOperator(matrix.shape, matvec=lambda r: scaling * np.ravel(r))

    def incomplete() -> Answer:
        # Symmetric mode: with its defaults the factors are no preconditioner for CG.
        factors = peers.spilu(
            matrix.tocsc(),
            drop_tol=1e-3,
            fill_factor=10,
            diag_pivot_thresh=0.0,
            permc_spec="MMD_AT_PLUS_A",
            options={"SymmetricMode": True},
        )
        inverse = peers.LinearOperator(matrix.shape, matvec=factors.solve)
        return scipy_cg(matrix, rhs, RTOL, M=inverse, maxiter=PATIENCE)

    found = [
        _peer(
            "SciPy cg",
            problem,
            lambda: scipy_cg(matrix, rhs, RTOL, maxiter=PATIENCE),
            rounds,
        ),
        _peer(
            "SciPy cg, Jacobi",
            problem,
            lambda: scipy_cg(matrix, rhs, RTOL, M=jacobi, maxiter=PATIENCE),
            rounds,
        ),
    ]
    if every:  # incomplete factors of large graphs fill up
        found.append(_peer("SciPy cg, spilu", problem, incomplete, rounds))
    return found


def lineax_cg(apply: Callable[[Any], Any], rhs: Any, rtol: float, steps: int) -> Any:
    """A compiled function of no arguments; lineax is told that A is definite.

    Its test is elementwise against rtol |x| as well, which `rtol` alone cannot switch
    off; the tolerance is absolute, as near to ours as its rule allows.
    """
    operator = lineax.FunctionLinearOperator(
        apply,
        jax.ShapeDtypeStruct(rhs.shape, rhs.dtype),
        tags=lineax.positive_semidefinite_tag,
    )
    solver = lineax.CG(rtol=rtol, atol=rtol, max_steps=steps)
    return lineax.linear_solve(operator, rhs, solver, throw=False)


def _lineax(problem: SPDSystem, rounds: int) -> list[Contender]:
    with jax.enable_x64(True):
        matrix, rhs = to_jax(problem.operator), jnp.asarray(problem.rhs)

    @eqx.filter_jit
    def solve(matrix: Any, rhs: Any) -> tuple[Any, Any]:
        # In our layout, which is faster than its own sparse products.
        found = lineax_cg(lambda v: matrix @ v, rhs, RTOL, PATIENCE)
        return found.value, found.result == lineax.RESULTS.successful

    def run() -> Answer:
        with jax.enable_x64(True):
            value, success = jax.block_until_ready(solve(matrix, rhs))
            return Answer(np.asarray(value), bool(success))

    return [_peer("lineax CG, our products", problem, run, rounds)]


def _pyamg(problem: SPDSystem, rounds: int) -> list[Contender]:
    import pyamg

    csr = problem.matrix()
    narrow = (a.astype(np.int32) for a in (csr.indices, csr.indptr))
    matrix = sp.csr_matrix((csr.data, *narrow), shape=csr.shape)

    def run() -> Answer:
        hierarchy = pyamg.ruge_stuben_solver(matrix)
        x, info = hierarchy.solve(
            problem.rhs, tol=RTOL, accel="cg", maxiter=200, return_info=True
        )
        return Answer(x, info == 0)

    return [_peer("PyAMG, Ruge-Stueben and cg", problem, run, rounds)]


def wrong_successes() -> dict[str, Any]:
    """Everybody on the nasty set; an answer is right if its residual is small."""
    nasty = cases()
    said: dict[str, list[bool | None]] = {}
    true: dict[str, list[bool]] = {}
    for case in nasty:
        for who, answer in _everybody(case).items():
            said.setdefault(who, []).append(answer.success)
            true.setdefault(who, []).append(_right(case, answer.x))
    return false_successes(len(nasty), said, true)


def _everybody(case: Any) -> dict[str, Answer]:
    found = {"lemmata": _lemmata(case)}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # SciPy's divisions by zero
        found["SciPy cg"] = _safely(lambda: _scipy_case(case))
    with jax.enable_x64(True):
        found["lineax CG"] = _safely(lambda: _lineax_case(case))
        found["jax.scipy cg"] = _safely(lambda: _jax_case(case))
    return found


def _safely(solve: Callable[[], Answer]) -> Answer:
    """An exception is an honest answer: no success."""
    try:
        return solve()
    except Exception:
        return Answer(np.full(1, np.nan), False)


def _lemmata(case: Any) -> Answer:
    """Certified and converged is what we call a success; a typed error is none."""
    method = ConjugateGradients()
    if case.preconditioner is not None:
        method = ConjugateGradients(lm.linear.Prepared(case.preconditioner))
    try:
        problem = SPDSystem(case.operator, case.rhs, rtol=case.rtol)
        found = lm.solve(problem, method, max_steps=LIMIT, throw=False)
    except lm.core.LemmataError:
        return Answer(np.full(1, np.nan), False)
    good = found.result.name == "converged" and found.certified
    return Answer(np.asarray(found.value.x), good)


def _scipy_case(case: Any) -> Answer:
    n = case.rhs.size
    inverse = None
    if case.preconditioner is not None:
        inverse = peers.LinearOperator(
            (n, n), matvec=lambda r: np.asarray(case.preconditioner(np.ravel(r)))
        )
    matrix = peers.LinearOperator((n, n), matvec=case.apply, dtype=np.float64)
    return scipy_cg(matrix, case.rhs, case.rtol, M=inverse, maxiter=LIMIT)


def _lineax_case(case: Any) -> Answer:
    rhs, options = jnp.asarray(case.rhs), {}
    if case.preconditioner is not None:
        structure = jax.ShapeDtypeStruct(rhs.shape, rhs.dtype)
        options["preconditioner"] = lineax.FunctionLinearOperator(
            case.preconditioner, structure, tags=lineax.positive_semidefinite_tag
        )
    operator = lineax.FunctionLinearOperator(
        case.traced,
        jax.ShapeDtypeStruct(rhs.shape, rhs.dtype),
        tags=lineax.positive_semidefinite_tag,
    )
    solver = lineax.CG(rtol=case.rtol, atol=0.0, max_steps=LIMIT)
    found = lineax.linear_solve(operator, rhs, solver, options=options, throw=False)
    success = bool(found.result == lineax.RESULTS.successful)
    return Answer(np.asarray(found.value), success)


def _jax_case(case: Any) -> Answer:
    """It reports nothing; who uses it takes what it returns for the answer."""
    x, _ = jax.scipy.sparse.linalg.cg(
        case.traced,
        jnp.asarray(case.rhs),
        tol=case.rtol,
        maxiter=LIMIT,
        M=case.preconditioner,
    )
    return Answer(np.asarray(x), True)


def _right(case: Any, x: np.ndarray) -> bool:
    """||b - A x|| <= rtol ||b||, what everybody promises; zero for b = 0.

    In extended precision, and twice over: rounding at the threshold is no lie.
    """
    if x.shape != case.rhs.shape or not np.all(np.isfinite(x)):
        return False
    if not np.any(case.rhs):
        return not np.any(x)
    scale = float(np.max(np.abs(case.rhs)))
    wide = np.longdouble
    residual = case.rhs.astype(wide) - case.apply(x.astype(wide))
    size = np.linalg.norm((residual / scale).astype(float))
    return bool(size <= 2 * case.rtol * np.linalg.norm(case.rhs / scale))
