"""Answers about generalization measures, and the data that they are about."""

import math
from typing import Any, final

import numpy as np
from jaxtyping import Float64, Int64

from ..core import AbstractValue, AnyArray, InvalidArgument, array64, require
from ._measure import Sample
from ._measure_kernel_model import model_of


@final
class BoundTable(AbstractValue):
    """The value of each measure, and the risk as the test set shows it.

    **Fields:**

    - `values`: of the measures that the judge knows, in the problem's order.
    - `custom`: of your own, in order; nobody can judge them.
    - `risk`: lower and upper confidence bound on the risk, (2,), None without test set.
    - `posterior_deviation`, `prior_index`, `key`: PAC-Bayes: standard deviations around
      the weights (p,), j of the prior variance 0.1 exp(-j/100), stream of the draws.
    """

    values: Float64[AnyArray, " m"]
    custom: Float64[AnyArray, " c"]
    risk: Float64[AnyArray, " 2"] | None = None
    posterior_deviation: Float64[AnyArray, " p"] | None = None
    prior_index: Int64[AnyArray, ""] | None = None
    key: Int64[AnyArray, ""] | None = None

    def pack(self) -> dict[str, np.ndarray]:
        packed: dict[str, np.ndarray] = {}
        for name, array in (("values", self.values), ("custom", self.custom)):
            if np.size(array):
                packed[name] = np.asarray(array, dtype="<f8")
        for name in ("risk", "posterior_deviation"):
            if getattr(self, name) is not None:
                packed[name] = np.asarray(getattr(self, name), dtype="<f8")
        for name in ("prior_index", "key"):
            if getattr(self, name) is not None:
                packed[name] = np.asarray(getattr(self, name), dtype="<i8")
        return packed

    def uncertified(self) -> tuple[str, ...]:
        return ("custom",) if np.size(self.custom) else ()


def check_data(problem: Any, part: str) -> None:
    """Train or test data of a problem. Raises `InvalidProblem`."""
    inputs, labels = (getattr(problem, f"{part}_{n}") for n in ("inputs", "labels"))
    for name, array, axes in (("inputs", inputs, 2), ("labels", labels, 1)):
        field = f"{part}_{name}"
        good = getattr(array, "dtype", None) == np.float64 and array.ndim == axes
        expected, got = f"numbers with {axes} axes", np.shape(array)
        require(problem, field, good and array.size, expected=expected, got=got)
        bad = int(np.sum(~np.isfinite(array)))
        got = f"{bad} not finite"
        require(problem, field, bad == 0, expected="finite numbers", got=got)
    rows = len(inputs)
    fits = labels.shape == (rows,)
    expected = f"one label for each of {rows} inputs"
    require(problem, f"{part}_labels", fits, expected=expected, got=labels.shape)
    d = problem.network.inputs
    expected = f"{d} numbers each, as the model takes"
    wide = inputs.shape[1] == d
    require(problem, f"{part}_inputs", wide, expected=expected, got=inputs.shape)
    k = max(problem.network.outputs, 2)
    wrong = (labels != np.rint(labels)) | (labels < 0) | (labels >= k)
    got = labels[wrong][:3]
    expected = f"whole numbers in [0, {k})"
    require(problem, f"{part}_labels", not wrong.any(), expected=expected, got=got)


def pair(data: Any, part: str) -> tuple[Any, Any]:
    """Inputs, flat, and labels as arrays. Raises `InvalidArgument`."""
    where = f"GeneralizationBounds.{part}"
    if not isinstance(data, tuple | list) or len(data) != 2:
        got = type(data).__name__
        raise InvalidArgument(where, "a pair (inputs, labels)", got)
    if data[0] is None or data[1] is None:
        raise InvalidArgument(where, "inputs and labels", "one of them missing")
    inputs, labels = (array64(part) for part in data)
    if np.ndim(inputs) > 2:
        inputs = np.reshape(inputs, (len(inputs), -1))
    return inputs, labels


def margin_quantile(model: Any, data: Any, share: float = 0.1) -> float:
    """A margin that `share` of a sample falls short of; a choice for `margin`.

    **Arguments:** `model`: a `Network` or `KernelClassifier`; `data`: (inputs, labels).

    **Raises:** `InvalidArgument` where that margin is not above 0.
    """
    inputs, labels = pair(data, "margin_quantile.data")
    found, _ = model_of(model).margins(Sample(inputs, labels))
    margin = float(np.quantile(found, share))
    if not (math.isfinite(margin) and margin > 0):
        raise InvalidArgument("margin_quantile.share", "a larger share", share)
    return margin
