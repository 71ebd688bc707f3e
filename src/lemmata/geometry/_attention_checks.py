"""What every attention problem asks of its arrays, and its index fields."""

from typing import Any

import equinox as eqx
import numpy as np
from jax.core import Tracer

from ..core import require

NORMS = ("frobenius", "nuclear")


def index64(value: Any) -> Any:
    """Converter for index fields: whole numbers become int64, NumPy unless traced."""
    if isinstance(value, Tracer) or value is None:
        return value
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return value
    whole = array.dtype.kind in "iub"
    if array.dtype.kind == "f" and np.all(np.isfinite(array)):
        whole = bool(np.all(array == np.round(array)) and np.all(np.abs(array) < 2**53))
    return array.astype(np.int64) if whole else array


def check_sequences(problem: Any) -> None:
    """Tokens, queries and lengths of a problem that has these fields."""
    tokens, queries, lengths = problem.tokens, problem.queries, problem.lengths
    check_real(problem, "tokens", tokens)
    check_real(problem, "queries", queries)
    shape = np.shape(tokens)
    filled = len(shape) == 3 and min(shape) > 0
    require(problem, "tokens", filled, expected="shape (n, T, d)", got=shape)
    n, t, d = shape
    require(
        problem, "tokens", t >= 2, expected="T >= 2 tokens an input", got=f"T = {t}"
    )
    fits = np.shape(queries) == (n, d)
    expected = f"shape ({n}, {d}), one query per input"
    require(problem, "queries", fits, expected=expected, got=np.shape(queries))
    zero = np.flatnonzero(~np.any(queries != 0, axis=1))
    got = f"z_i = 0 for input {zero[0]}" if zero.size else ""
    require(problem, "queries", not zero.size, expected="z_i not zero", got=got)
    check_index(problem, "lengths", lengths, n, 2, np.full(n, t + 1), "2 <= T_i <= T")


def check_real(problem: eqx.Module, field: str, array: Any) -> None:
    """float64 and finite."""
    kind = getattr(array, "dtype", type(array).__name__)
    require(problem, field, kind == np.float64, expected="real numbers", got=kind)
    bad = int(np.sum(~np.isfinite(array)))
    got = f"{bad} not finite"
    require(problem, field, bad == 0, expected="finite numbers", got=got)


def check_index(
    problem: eqx.Module,
    field: str,
    array: Any,
    n: int,
    low: int,
    high: np.ndarray,
    expected: str,
) -> None:
    """int64 of shape (n,), low <= a_i < high_i."""
    kind = getattr(array, "dtype", type(array).__name__)
    require(problem, field, kind == np.int64, expected="whole numbers", got=kind)
    fits = np.shape(array) == (n,)
    require(problem, field, fits, expected=f"shape ({n},)", got=np.shape(array))
    bad = np.flatnonzero((array < low) | (array >= high))
    got = f"{array[bad[0]]} for input {bad[0]}" if bad.size else ""
    require(problem, field, not bad.size, expected=expected, got=got)


def check_duplicates(problem: Any) -> None:
    """A copy of the selected token can never be separated from it."""
    tokens, selected, lengths = problem.tokens, problem.selected, problem.lengths
    n, t, _ = tokens.shape
    places = np.arange(t)[None, :]
    chosen = tokens[np.arange(n), selected]
    same = np.all(tokens == chosen[:, None, :], axis=2)
    same &= (places != selected[:, None]) & (places < lengths[:, None])
    found = np.argwhere(same)
    got = ""
    if found.size:
        i, other = found[0]
        got = f"input {i}: token {other} equals the selected token {selected[i]}"
    expected = "no copy of the selected token: no weights can separate them"
    require(problem, "tokens", not found.size, expected=expected, got=got)


def check_ties(problem: Any, field: str, scores: Any) -> None:
    """The token of the highest score must be unique in each input."""
    lengths = problem.lengths
    inside = np.arange(scores.shape[1])[None, :] < lengths[:, None]
    order = np.argsort(np.where(inside, scores, -np.inf), axis=1, kind="stable")
    rows = np.arange(len(scores))
    first, second = order[:, -1], order[:, -2]
    ties = np.flatnonzero(scores[rows, first] == scores[rows, second])
    got = ""
    if ties.size:
        i = ties[0]
        pair = sorted((int(first[i]), int(second[i])))
        got = f"input {i}: tokens {pair[0]} and {pair[1]} share {scores[i, first[i]]}"
    require(problem, field, not ties.size, expected="one highest score each", got=got)


def best_tokens(scores: Any, lengths: Any) -> np.ndarray:
    """argmax_t of the scores, shape (n,); padding is never chosen."""
    inside = np.arange(np.shape(scores)[1])[None, :] < np.asarray(lengths)[:, None]
    return np.argmax(np.where(inside, scores, -np.inf), axis=1)
