"""Equality constrained problems as every rule reads them, and bounds they share."""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..curvature import hessian
from ..definite import (
    frobenius_norm,
    least_eigenvalue,
    least_singular_value,
    spectral_norm,
)
from ..differentiate import Evaluation, evaluate
from ..intervals import Ball, add, exact, product, subtract
from ..program import Program, read_program
from ..rigor import gamma

KIND = "optimize.equality_constrained/1"
LARGEST = 3000  # variables of which second derivatives are judged


class Setting(NamedTuple):
    """The problem's program, the answer, and first derivatives there."""

    program: Program
    x: np.ndarray
    multipliers: np.ndarray
    at: Evaluation


def setting(case: Case) -> Setting:
    """The answer with the values of f, c and their gradients. Raises `Malformed`."""
    return case.shared("constrained", lambda: _setting(case))


def _setting(case: Case) -> Setting:
    if case.problem.kind != KIND:
        raise Malformed(f"no equality constrained problem: {case.problem.kind}")
    program = program_of(case)
    x = vector(case.value, "point", program.variables)
    multipliers = vector(case.value, "multipliers", program.constraints)
    return Setting(program, x, multipliers, evaluate(program, exact(x)))


def program_of(case: Case) -> Program:
    """The problem's program, read and checked."""
    arrays = case.problem.arrays
    start = arrays.get("x0")
    if start is None or start.ndim != 1:
        raise Malformed("x0: expected an array of shape (n,)")
    vector(arrays, "x0", start.size)
    program = read_program(case.problem.json.get("program"), arrays, start.size)
    vector(arrays, "multipliers0", program.constraints)
    return program


def vector(arrays, name: str, size: int) -> np.ndarray:
    """A finite float64 array of shape (size,)."""
    found = arrays.get(name)
    if found is None:
        raise Malformed(f"array {name} is missing")
    if found.dtype != np.float64 or found.shape != (size,):
        got = f"{found.dtype}, {found.shape}"
        raise Malformed(f"{name}: expected float64, ({size},); got {got}")
    if not np.all(np.isfinite(found)):
        raise Malformed(f"{name}: expected finite entries")
    return found


def transposed(a: Ball) -> Ball:
    """The transpose of a matrix ball."""
    return Ball(a.mid.T, None if a.rad is None else a.rad.T)


def stationarity(at: Evaluation, multipliers: Ball) -> Ball:
    """The slope grad f + G^T lambda, shape (n,)."""
    return add(at.gradient, product(transposed(at.jacobian), multipliers))


def greatest(a: Ball) -> float:
    """Upper bound on the maximum norm; NaN where nothing is known."""
    return float(np.max(a.magnitude(), initial=0.0))


def euclidean(a: Ball) -> float:
    """Upper bound on the Euclidean norm of a vector."""
    size = a.magnitude()
    return frobenius_norm(size) if np.all(np.isfinite(size)) else math.inf


def curvature_matrix(found: Setting) -> Ball:
    """The Hessian of f + lambda^T c, (n, n)."""
    if found.program.variables > LARGEST:
        raise Malformed(f"second derivatives are judged up to n = {LARGEST}")
    return hessian(found.at, exact(found.multipliers))


def reduced_curvature(h: Ball, jacobian: Ball) -> float:
    """Lower bound on z^T H z / |z|^2 over the null space of G, (m, n).

    With any Z (n, n - m) and K (n, m), G z = 0 gives z = Z w + e, w = Z^T z and
    |e| <= eps |z|, eps = ||I - Z Z^T - K G||: small for an approximate null basis Z and
    K near the pseudoinverse, and near 1 at least where G has not full rank. Then
    |w| <= ||Z|| |z|, |w| >= (1 - eps) |z| / ||Z||, and z^T H z >= w^T Z^T H Z w -
    (2 ||Z||^2 eps + eps^2) ||H|| |z|^2.
    """
    m, n = jacobian.shape
    if m == n:  # the null space is {0}, if G is shown to be regular
        rank = least_singular_value(jacobian.mid, frobenius_norm(jacobian.radius))
        return math.inf if rank > 0 else math.nan
    if not np.all(np.isfinite(h.magnitude()) & np.isfinite(jacobian.magnitude().sum())):
        return math.nan
    basis = exact(np.linalg.qr(jacobian.mid.T, mode="complete")[0][:, m:])
    inverse = exact(np.linalg.pinv(jacobian.mid))
    covered = add(product(basis, transposed(basis)), product(inverse, jacobian))
    eps = frobenius_norm(subtract(exact(np.eye(n)), covered).magnitude())
    inner = product(transposed(basis), product(h, basis))
    least = least_eigenvalue(inner.mid, frobenius_norm(inner.radius))
    norm, size = (
        spectral_norm(basis.mid),
        spectral_norm(h.mid, frobenius_norm(h.radius)),
    )
    if not (eps < 1 and math.isfinite(least) and math.isfinite(size)):
        return -math.inf
    factor = ((1 - eps) / norm) ** 2 * (1 - gamma(8)) if least > 0 else norm**2
    loss = up((2 * norm**2 * eps + eps**2) * size, 12)
    bound = least * factor
    return math.nextafter(bound - up(abs(bound) * gamma(8)) - loss, -math.inf)


def up(value: float, roundings: int = 8) -> float:
    """A non-negative figure enlarged by the rounding of its own computation."""
    return value * (1 + gamma(roundings)) + 1e-300
