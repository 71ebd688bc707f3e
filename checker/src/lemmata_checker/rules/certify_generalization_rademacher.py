"""Margin bounds of Hilbert spaces, their Rademacher complexity by Monte Carlo.

For {x -> <w, phi(x)>: ||w|| <= B} the supremum over w is B ||sum sigma_i phi(x_i)||, so
the empirical complexity is (B / n) E sqrt(sigma' K sigma), K_ij = <phi(x_i), phi(x_j)>.
Linear classifiers have phi(x) = x or (x, 1); kernel expansions phi of k or of k + 1.

Sources: Bartlett and Mendelson 2002, lemma 22; Mohri, Rostamizadeh, Talwalkar 2018,
theorem 5.8 (margins); McDiarmid 1989.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, U, gamma
from .certify_generalization_draws import bits, words
from .certify_generalization_formulas import ROUNDED
from .certify_generalization_kernels import (
    MOST_POINTS,
    expansion,
    expansion_norm,
    kernel_matrix,
)
from .certify_generalization_linear import weights_and_inputs
from .certify_generalization_models import square_norms, train
from .certify_generalization_played import option
from .certify_generalization_shells import shell_of

MOST_PRODUCTS = 2**36  # draws n^2 of a kernel matrix
BLOCK = 64  # columns summed at once: sums of few terms round less
_AT_ONCE = 2**22


def signs(key: int, start: int, stop: int, count: int) -> np.ndarray:
    """Rows of fair signs, float64 (stop - start, count)."""
    counters = -(-count // 256)
    drawn = words(key, start * counters, 4 * counters * (stop - start))
    return 1.0 - 2.0 * bits(drawn.reshape(stop - start, -1), count)


def linear_class(case: Case, record: Mapping[str, Any]) -> tuple[int, float]:
    """Shell and complexity of a linear classifier; see `_of_class`."""
    w, inputs = weights_and_inputs(case)
    n, d = inputs.shape
    squares = square_norms(case)
    # ||fl - exact|| <= gamma(n) sum ||x_i|| for each draw.
    off = gamma(n + 2) * float(np.sum(np.sqrt(squares))) * (1 + gamma(n + 4))

    def lengths(rows: np.ndarray) -> np.ndarray:
        found = np.linalg.norm(rows @ inputs, axis=1)
        return found * (1 + gamma(d + 4)) + off

    norm = float(np.linalg.norm(w)) * (1 + gamma(d + 4))
    return _of_class(record, norm, squares, lengths)


def kernel_class(case: Case, record: Mapping[str, Any]) -> tuple[int, float]:
    """Shell and complexity of a kernel expansion; see `_of_class`."""
    found, inputs = expansion(case), train(case).inputs
    if found is None:
        raise Malformed("kernel: expected a kernel expansion")
    n, draws = len(inputs), option(record, "draws", 0, 1_000_001)
    if n > MOST_POINTS or draws * n * n > MOST_PRODUCTS:
        raise Malformed(
            f"train_inputs: expected at most {MOST_POINTS}, and draws times their "
            f"number squared at most {MOST_PRODUCTS}"
        )
    k = kernel_matrix(found.kernel, inputs, inputs)
    extra = 0.0 if found.intercept is None else 1.0
    squares = (np.diagonal(k.value) + np.diagonal(k.radius) + extra) * (1 + 4 * U)
    # Signs are exact: what is off are entries, sums of BLOCK and n / BLOCK of them.
    spread = gamma(BLOCK + n / BLOCK + 4) * float(np.sum(np.abs(k.value)))
    spread = (spread + float(np.sum(k.radius))) * (1 + gamma(n * n + 8))

    def lengths(rows: np.ndarray) -> np.ndarray:
        image = np.zeros(rows.shape)
        for start in range(0, n, BLOCK):
            columns = slice(start, start + BLOCK)
            image += rows[:, columns] @ k.value[columns]
        square = np.sum(image * rows, axis=1)
        off = spread + gamma(n + 4) * np.sum(np.abs(image), axis=1) * (1 + gamma(n))
        square = np.maximum(square, 0.0) + extra * np.sum(rows, axis=1) ** 2
        return np.sqrt((square + off) * (1 + 8 * U)) * (1 + 4 * U)

    return _of_class(record, expansion_norm(found), squares, lengths)


def _of_class(
    record: Mapping[str, Any],
    norm: float,
    squares: np.ndarray,
    lengths: Callable[[np.ndarray], np.ndarray],
) -> tuple[int, float]:
    """Shell j of norm / gamma, and the complexity of its class rounded up.

    A sign that flips changes the mean over draws of ||sum sigma_i phi_i|| by at most
    2 ||phi_i|| / draws. By McDiarmid the mean is sqrt(2 sum ||phi_i||^2 ln(1/delta') /
    draws) below its expectation with probability at most delta'; the expectation is
    never more than sqrt(sum ||phi_i||^2) (Jensen).

    **Arguments:** `norm`: at least ||w||; `squares`: at least ||phi_i||^2, (n,);
    `lengths`: of rows of signs, at least ||sum sigma_i phi_i||.
    """
    n, draws = len(squares), int(option(record, "draws", 0, 1_000_001))
    margin, sampling = (
        option(record, "margin", 0, 1e300),
        option(record, "sampling_delta", 0, 1),
    )
    key = record.get("key")
    if type(key) is not int or not 0 <= key < 2**63:
        raise Malformed(f"measure.key: expected an integer >= 0, got {key!r}")
    total, step = 0.0, max(1, _AT_ONCE // n)
    for start in range(0, draws, step):
        rows = signs(key, start, min(start + step, draws), n)
        total += float(np.sum(lengths(rows)))
    mean = total / draws * (1 + gamma(draws + 8))
    trace = float(np.sum(squares)) * (1 + gamma(n)) + TINY
    mean += math.sqrt(2 * trace * math.log(1 / sampling) / draws) * (1 + 8 * U)
    shell = shell_of(norm / margin * (1 + 2 * U))
    return shell, 2.0**shell * min(mean, math.sqrt(trace) * (1 + U)) / n * ROUNDED
