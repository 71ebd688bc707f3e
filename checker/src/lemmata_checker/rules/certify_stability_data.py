"""The gradients that a stability certificate is about, as the judge sees them.

Packed are gradient rows, or a diagonal linear or two-layer ReLU network with its data;
only inner products of gradients matter, so both come to a Gram matrix in a ball.
"""

from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..intervals import Ball, add, exact, multiply, product, total
from ..rigor import U

LARGEST = 3000  # rows of a Gram matrix
NETWORKS = ("diagonal", "diagonal_squares", "two_layer")
KIND = "certify.sgd_stability/1"


class Numbers(NamedTuple):
    """Learning rate, batch size, and c as a ball (`1/B`, or `(n-B) / (B(n-1))`)."""

    learning_rate: float
    batch_size: int
    share: Ball
    rest: Ball
    samples: int
    outputs: int


class Gradients(NamedTuple):
    """Inner products of the nK gradients.

    - `gram`: the smaller of A A' and A' A, a ball.
    - `full`: A A' (nK, nK), or None where A' A is the smaller one.
    - `rows`: A itself as a ball (n K, q), or None for a two-layer network.
    - `samples`, `outputs`: n and K.
    """

    gram: Ball
    rows: Ball | None
    samples: int
    outputs: int


def array(arrays, name: str, dimensions: int) -> np.ndarray:
    """A float64 array of so many axes, not empty, finite."""
    found = arrays.get(name)
    if found is None:
        raise Malformed(f"array {name} is missing")
    if found.dtype != np.float64 or found.ndim != dimensions or not found.size:
        got = f"{found.dtype}, {found.shape}"
        raise Malformed(f"{name}: expected float64 and {dimensions} axes; got {got}")
    if not np.all(np.isfinite(found)):
        raise Malformed(f"{name}: expected finite entries")
    return found


def number(case: Case, name: str) -> float:
    """A positive number of the problem."""
    found = case.problem.json.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not found > 0:
        raise Malformed(f"{name}: expected a number > 0, got {found!r}")
    return float(found)


def flag(case: Case, name: str) -> bool:
    """A yes or no of the problem."""
    found = case.problem.json.get(name)
    if not isinstance(found, bool):
        raise Malformed(f"{name}: expected true or false, got {found!r}")
    return found


def model_of(case: Case) -> str:
    """Which gradients: rows, or a network known by name."""
    name = case.problem.json.get("model")
    if name != "rows" and name not in NETWORKS:
        raise Malformed(f"model: expected rows or one of {NETWORKS}, got {name!r}")
    return name


def numbers(case: Case) -> Numbers:
    """Sampling and learning rate; c and 1 - c rounded once, from integers."""
    rows = gradients(case)
    n, outputs = rows.samples, rows.outputs
    size, again = case.problem.json.get("batch_size"), flag(case, "replacement")
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < 2**31:
        raise Malformed(f"batch_size: expected an integer >= 1, got {size!r}")
    if not again and size > n:
        raise Malformed(f"batch_size: {size} of {n} samples without replacement")
    if again:
        share, rest = 1 / size, (size - 1) / size
    elif n > 1:
        below = size * (n - 1)
        share, rest = (n - size) / below, n * (size - 1) / below
    else:
        share, rest = 0.0, 1.0
    eta = number(case, "learning_rate")
    return Numbers(eta, size, _rounded(share), _rounded(rest), n, outputs)


def _rounded(value: float) -> Ball:
    return Ball(np.asarray(value), np.asarray(U * value))


def gradients(case: Case) -> Gradients:
    """Inner products of the gradients, once per certificate."""
    return case.shared("sgd stability: gradients", lambda: _gradients(case))


def _gradients(case: Case) -> Gradients:
    name, arrays = model_of(case), case.problem.arrays
    if name == "rows":
        rows = array(arrays, "gradients", 3)
        n, outputs, q = rows.shape
        flat = exact(rows.reshape(n * outputs, q))
        return Gradients(_smaller(flat), flat, n, outputs)
    inputs = array(arrays, "inputs", 2)
    if name == "two_layer":
        return Gradients(_two_layer_gram(case), None, len(inputs), 1)
    first, second = (_vector(arrays, k, inputs.shape[1]) for k in ("first", "second"))
    factor = 4.0 if name == "diagonal_squares" else 1.0
    square = add(multiply(first, first), multiply(second, second))
    size = np.sqrt(factor * square.mid)
    # |sqrt(s') - sqrt(s)| <= sqrt(s') |s' - s| / s' and the root's own rounding.
    share = square.radius / np.where(square.mid > 0, square.mid, 1.0)
    width = Ball(size, size * (share + 2 * U))
    rows = multiply(exact(inputs), Ball(width.mid[None], width.radius[None]))
    return Gradients(_smaller(rows), rows, len(inputs), 1)


def _vector(arrays, name: str, size: int) -> Ball:
    found = array(arrays, name, 1)
    if found.shape != (size,):
        raise Malformed(f"{name}: expected shape ({size},), got {found.shape}")
    return exact(found)


def transposed(a: Ball) -> Ball:
    """The transpose of a matrix."""
    return Ball(a.mid.T, None if a.rad is None else a.rad.T)


def _smaller(rows: Ball) -> Ball:
    wide = rows.mid.shape[0] <= rows.mid.shape[1]
    if min(rows.mid.shape) > LARGEST:
        raise Malformed(f"more than {LARGEST} rows and columns of gradients")
    one, two = (rows, transposed(rows)) if wide else (transposed(rows), rows)
    return product(one, two)


def full_gram(case: Case) -> Ball | None:
    """A A' (nK, nK), or None where that is not affordable."""
    found = gradients(case)
    if found.rows is None:
        return found.gram
    if found.rows.mid.shape[0] > LARGEST:
        return None
    if found.gram.mid.shape[0] == found.rows.mid.shape[0] <= found.rows.mid.shape[1]:
        return found.gram
    return product(found.rows, transposed(found.rows))


class Neurons(NamedTuple):
    """A two-layer ReLU network on its data.

    - `active`: 0 or 1, (n, m); a neuron of zero weights is nowhere active.
    - `after`: relu(b_j'x_i), a ball.
    """

    active: np.ndarray
    after: Ball
    inner: np.ndarray
    outer: np.ndarray
    inputs: np.ndarray


def neurons(case: Case) -> Neurons:
    """Activations with certain signs. Raises `Malformed` at a kink."""
    return case.shared("sgd stability: neurons", lambda: _neurons(case))


def _neurons(case: Case) -> Neurons:
    arrays = case.problem.arrays
    inputs, inner = array(arrays, "inputs", 2), array(arrays, "inner", 2)
    outer = array(arrays, "outer", 1)
    if inner.shape != (len(outer), inputs.shape[1]):
        raise Malformed(f"inner {inner.shape} does not fit outer and inputs")
    if len(inputs) > LARGEST:
        raise Malformed(f"more than {LARGEST} samples")
    before = product(exact(inputs), exact(inner.T))
    dead = ~np.any(inner != 0, axis=1)
    radius = np.where(dead, 0.0, before.radius)
    unsure = (np.abs(before.mid) <= radius) & ~dead
    if np.any(unsure):
        i, j = np.argwhere(unsure)[0]
        raise Malformed(f"sample {i} lies at a kink of neuron {j}: no gradient there")
    active = before.mid > 0
    zero = np.zeros(active.shape)
    after = Ball(np.where(active, before.mid, zero), np.where(active, radius, zero))
    return Neurons(active.astype(np.float64), after, inner, outer, inputs)


def _two_layer_gram(case: Case) -> Ball:
    """sum_j relu relu' + (x'x') sum_j a_j^2 1 1'."""
    found = neurons(case)
    heights = product(found.after, transposed(found.after))
    angles = product(exact(found.inputs), exact(found.inputs.T))
    square = multiply(exact(found.outer), exact(found.outer))
    weighted = multiply(
        exact(found.active), Ball(square.mid[None], square.radius[None])
    )
    together = product(weighted, exact(found.active.T))
    return add(heights, multiply(angles, together))


def relative_loss(case: Case) -> float | None:
    """Upper bound on mean squared residual over mean squared target, if known."""
    name, arrays = model_of(case), case.problem.arrays
    if name == "rows":
        if "residuals" not in arrays or "targets" not in arrays:
            return None
        targets = array(arrays, "targets", 2)
        away = exact(array(arrays, "residuals", 2))
        found = gradients(case)
        if not targets.shape == away.mid.shape == (found.samples, found.outputs):
            raise Malformed("residuals and targets: one number for each gradient")
    else:
        targets = array(arrays, "targets", 1)
        outputs = predictions(case)
        if outputs.mid.shape != targets.shape:
            raise Malformed("targets: one number for each sample")
        away = add(outputs, exact(-targets))
    away, size = (
        Ball(away.mid.reshape(-1), away.radius.reshape(-1)),
        targets.reshape(-1),
    )
    loss = float(total(multiply(away, away), (0,)).upper())
    below = float(total(multiply(exact(size), exact(size)), (0,)).lower())
    return loss / below * (1 + 2 * U) if below > 0 else (0.0 if loss == 0 else np.inf)


def predictions(case: Case) -> Ball:
    """Outputs of a network known by name, (n,)."""
    if model_of(case) == "two_layer":
        found = neurons(case)
        return product(found.after, exact(found.outer))
    return product(exact(array(case.problem.arrays, "inputs", 2)), predictor(case))


def predictor(case: Case) -> Ball:
    """The predictor w of a diagonal linear network, (d,)."""
    arrays = case.problem.arrays
    inputs = array(arrays, "inputs", 2)
    first, second = (_vector(arrays, k, inputs.shape[1]) for k in ("first", "second"))
    if model_of(case) == "diagonal":
        return multiply(first, second)
    minus = multiply(second, second)
    return add(multiply(first, first), Ball(-minus.mid, minus.rad))
