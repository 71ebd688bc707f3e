"""What problems about two-layer networks ask of their data."""

from typing import Any

import equinox as eqx
import numpy as np

from ..core import is_concrete, require
from ._relu_losses import LOSSES
from ._relu_patterns import Patterns


def check_data(problem: eqx.Module) -> None:
    """Samples, targets, loss and decay. Traced data pass."""
    at: Any = problem
    require(
        problem, "loss", at.loss in LOSSES, expected=" | ".join(LOSSES), got=at.loss
    )
    if not is_concrete((at.inputs, at.targets, at.weight_decay, at.logit_scale)):
        return
    x, y = at.inputs, at.targets
    _real(problem, "inputs", x)
    filled = x.ndim == 2 and min(x.shape) > 0
    expected = "shape (n, d), at least one sample and one column"
    require(problem, "inputs", filled, expected=expected, got=np.shape(x))
    _real(problem, "targets", y)
    n = x.shape[0]
    fits = np.shape(y) == (n,)
    expected = f"shape ({n},), one number per sample"
    require(problem, "targets", fits, expected=expected, got=np.shape(y))
    if at.loss != "squared":
        labels = np.unique(y)
        signs = bool(np.all(np.abs(labels) == 1.0))
        got = ", ".join(f"{v:g}" for v in labels[:4])
        require(problem, "targets", signs, expected="labels -1 or 1", got=got)
    check_positive(problem, "weight_decay", at.weight_decay)
    check_positive(problem, "logit_scale", at.logit_scale)
    plain = at.loss == "logistic" or float(at.logit_scale) == 1.0
    expected = "1 unless the loss is logistic"
    require(problem, "logit_scale", plain, expected=expected, got=at.logit_scale)


def check_patterns(problem: eqx.Module, patterns: Any) -> None:
    """(P, n) of bool, all distinct; directions, if any, (P, d)."""
    at: Any = problem
    known = isinstance(patterns, Patterns)
    expected = "Sampled(count), Exact() or Given(...)"
    got = type(patterns).__name__
    require(problem, "patterns", known, expected=expected, got=got)
    n, d = at.inputs.shape
    active, directions = patterns
    boolean = getattr(active, "dtype", None) == np.bool_
    fits = boolean and active.ndim == 2 and active.shape[1] == n and len(active) > 0
    expected = f"shape (P, {n}) of bool"
    require(problem, "patterns", fits, expected=expected, got=np.shape(active))
    if is_concrete(active):
        count = len(np.unique(np.packbits(active, axis=1), axis=0))
        got = f"{len(active) - count} repeated"
        once = count == len(active)
        require(problem, "patterns", once, expected="distinct patterns", got=got)
    if directions is not None:
        shape = (len(active), d)
        fits = np.shape(directions) == shape
        got = np.shape(directions)
        require(problem, "directions", fits, expected=f"shape {shape}", got=got)


def check_positive(problem: eqx.Module, field: str, value: Any) -> None:
    """A finite number > 0."""
    try:
        good = not isinstance(value, bool) and bool(0 < value < np.inf)
    except (TypeError, ValueError):
        good = False
    require(problem, field, good, expected="a finite number > 0", got=value)


def _real(problem: eqx.Module, field: str, array: Any) -> None:
    kind = getattr(array, "dtype", type(array).__name__)
    require(problem, field, kind == np.float64, expected="real numbers", got=kind)
    bad = int(np.sum(~np.isfinite(array)))
    got = f"{bad} not finite"
    require(problem, field, bad == 0, expected="finite numbers", got=got)
