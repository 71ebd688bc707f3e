"""Token sequences, weights and multipliers, read with care and bounded with rounding.

A_it = (x_i,a - x_it) z_i' for the selected token a of input i, and <A_it, W> is the
margin by which it wins. For mu >= 0 and any W of margins at least 1,
sum mu <= <sum mu A, W> <= ||sum mu A||_dual ||W||: so sum mu / ||sum mu A||_dual is a
lower bound on the norm of every such W, whatever mu is.
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..definite import frobenius_norm, spectral_norm
from ..intervals import Ball, exact, multiply, product, subtract, total
from ..rigor import U, exact_sum, float_down
from ..spectrum import singular_values

SVM, TRAINING = "geometry.attention_svm/1", "geometry.attention_training/1"
KINDS = (SVM, TRAINING)
NORMS = ("frobenius", "nuclear")
LARGEST = 2**26  # entries of the tokens
UP = 1 + 8 * U


class Sequences(NamedTuple):
    """Tokens (n, T, d), queries (n, d), lengths (n,): float64, finite, int64."""

    tokens: np.ndarray
    queries: np.ndarray
    lengths: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """Which places hold a token, shape (n, T)."""
        return np.arange(self.tokens.shape[1])[None, :] < self.lengths[:, None]


class Constraints(NamedTuple):
    """Differences as balls (n, T, d), queries, and which constraints are asked."""

    differences: Ball
    queries: np.ndarray
    active: np.ndarray

    def margins(self, weights: Ball) -> Ball:
        """<A_it, W>, shape (n, T)."""
        transposed = Ball(weights.mid.T, None if weights.rad is None else weights.rad.T)
        images = product(exact(self.queries), transposed)
        n, d = images.shape
        return total(multiply(self.differences, images.reshape((n, 1, d))), (2,))

    def combine(self, multipliers: np.ndarray) -> Ball:
        """The sum of mu_it A_it, shape (d, d)."""
        rows = total(multiply(exact(multipliers[:, :, None]), self.differences), (1,))
        turned = Ball(rows.mid.T, rows.radius.T)
        return product(turned, exact(self.queries))

    def size(self, i: int, t: int) -> float:
        """Upper bound on ||A_it||_F."""
        row = self.differences.magnitude()[i, t]
        return frobenius_norm(row) * frobenius_norm(self.queries[i]) * UP


def real(arrays, name: str, shape: tuple[int, ...] | None) -> np.ndarray:
    """A finite float64 array. Raises `Malformed`."""
    array = arrays.get(name)
    if array is None or array.dtype != np.float64:
        raise Malformed(f"{name}: expected an array of float64")
    if shape is not None and array.shape != shape:
        raise Malformed(f"{name}: shape {array.shape}, expected {shape}")
    if not np.all(np.isfinite(array)):
        raise Malformed(f"{name}: not finite")
    return array


def whole(arrays, name: str, count: int, low: int, high) -> np.ndarray:
    """int64 of shape (count,), low <= a_i < high_i. Raises `Malformed`."""
    array = arrays.get(name)
    if array is None or array.dtype != np.int64 or array.shape != (count,):
        raise Malformed(f"{name}: expected int64 of shape ({count},)")
    if np.any(array < low) or np.any(array >= high):
        raise Malformed(f"{name}: out of range")
    return array


def sequences(case: Case) -> Sequences:
    """The problem's tokens and queries, looked at once."""
    return case.shared("attention sequences", lambda: _sequences(case))


def _sequences(case: Case) -> Sequences:
    if case.problem.kind not in KINDS:
        raise Malformed(f"no attention problem: {case.problem.kind}")
    arrays = case.problem.arrays
    tokens = real(arrays, "tokens", None)
    if tokens.ndim != 3 or not 0 < tokens.size <= LARGEST or tokens.shape[1] < 2:
        raise Malformed(f"tokens: shape {tokens.shape}")
    n, t, d = tokens.shape
    queries = real(arrays, "queries", (n, d))
    lengths = whole(arrays, "lengths", n, 2, t + 1)
    return Sequences(tokens, queries, lengths)


def chosen(case: Case) -> np.ndarray:
    """The token to select in each input: the problem's, or this claim's witness."""
    found = sequences(case)
    arrays = case.problem.arrays if case.problem.kind == SVM else case.witness
    return whole(arrays, "selected", len(found.lengths), 0, found.lengths)


def constraints(case: Case) -> Constraints:
    """A_it for the tokens chosen."""
    selected = chosen(case)
    name = f"attention constraints {selected.tobytes().hex()}"
    return case.shared(name, lambda: _constraints(sequences(case), selected))


def _constraints(found: Sequences, selected: np.ndarray) -> Constraints:
    n, t, d = found.tokens.shape
    winners = found.tokens[np.arange(n), selected].reshape(n, 1, d)
    differences = subtract(exact(winners), exact(found.tokens))
    active = found.inside & (np.arange(t)[None, :] != selected[:, None])
    mid = np.where(active[:, :, None], differences.mid, 0.0)
    rad = np.where(active[:, :, None], differences.radius, 0.0)
    return Constraints(Ball(mid, rad), found.queries, active)


def norm_of(case: Case) -> str:
    """The norm in question."""
    fields = case.problem.json if case.problem.kind == SVM else case.parameters
    norm = fields.get("norm")
    if norm not in NORMS:
        raise Malformed("norm: expected 'frobenius' or 'nuclear'")
    return norm


def weights_of(case: Case) -> Ball:
    """W of the value: given, or the product of its factors."""
    d = sequences(case).tokens.shape[2]
    if "weights" in case.value:
        return exact(real(case.value, "weights", (d, d)))
    keys, queries = (
        real(case.value, name, None) for name in ("key_weights", "query_weights")
    )
    if keys.ndim != 2 or keys.shape != queries.shape or keys.shape[0] != d:
        raise Malformed("key_weights, query_weights: expected two (d, m) matrices")
    return product(exact(keys), exact(queries.T))


def multipliers_of(arrays, at: Constraints) -> np.ndarray:
    """mu, non-negative, zero where no constraint is asked."""
    mu = real(arrays, "multipliers", at.active.shape)
    if np.any(mu < 0):
        raise Malformed("multipliers: a negative entry")
    if np.any(mu[~at.active] != 0):
        raise Malformed("multipliers: an entry at the selected token or at padding")
    return mu


def upper_norm(matrix: Ball, norm: str) -> float:
    """Upper bound on the Frobenius or nuclear norm."""
    error = frobenius_norm(matrix.radius)
    if norm == "frobenius":
        return (frobenius_norm(matrix.mid) + error) * UP
    values = singular_values(matrix.mid, error)[1]
    return float(np.sum(values)) * (1 + 2 * len(values) * U) * UP


def dual_norm(matrix: Ball, norm: str) -> float:
    """Upper bound on the dual norm: Frobenius, or the largest singular value."""
    if norm == "frobenius":
        return upper_norm(matrix, norm)
    return spectral_norm(matrix.mid, frobenius_norm(matrix.radius)) * UP


def norm_floor(at: Constraints, mu: np.ndarray, norm: str) -> float:
    """Lower bound on ||W|| over all W of margins at least 1: sum mu / ||sum mu A||."""
    size = dual_norm(at.combine(mu), norm)
    if not (math.isfinite(size) and size > 0):
        raise Malformed("multipliers: they combine the constraints to nothing")
    return float_down(exact_sum(mu)) / size * (1 - 4 * U)


def least_margin(at: Constraints, margins: Ball) -> tuple[float, str]:
    """Lower bound on the least margin, and where it is."""
    low = np.where(at.active, margins.lower(), np.inf)
    if np.any(np.isnan(low)):
        raise Malformed("a margin is not a number")
    i, t = np.unravel_index(int(np.argmin(low)), low.shape)
    return float(low[i, t]), f"input {i}, token {t}"


def distance_to_optimum(size: float, floor: float) -> float:
    """Bound on ||W - W*||_F for feasible W, ||W||_F <= size, ||W*||_F >= floor.

    <W*, W - W*> >= 0 as W* is the projection of zero, so ||W - W*||^2 <= ||W||^2 -
    ||W*||^2.
    """
    square = (size - floor) * (size + floor) * (1 + 8 * U)
    return math.sqrt(max(square, 0.0)) * (1 + 4 * U)
