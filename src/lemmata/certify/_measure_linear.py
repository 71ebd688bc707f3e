"""Measures of algorithms by what they do to one sample: stability.

Sources: Bousquet and Elisseeff 2002 (ridge); Hardt, Recht, Singer 2016 (convex SGD).
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np

from ..core import InvalidArgument
from ._measure import AbstractMeasure, BoundResult, Kind, Sample
from ._measure_counting import IID


def weights_and_inputs(model: Any, data: Sample) -> tuple[np.ndarray, np.ndarray]:
    """(w, b) and inputs (x, 1)."""
    inputs = data.inputs
    if model.biased:
        inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    return model.matrices[0][0], inputs


@final
class RidgeStability(AbstractMeasure):
    """Uniform stability of ridge regression on labels -1 and 1, as a classifier.

    For the minimiser of (1/n) sum (y - w'x)^2 + s ||w||^2: squared loss + 2 beta + (4 n
    beta + M) sqrt(ln(1/delta) / 2n), M = (1 + k/sqrt(s))^2, k = max ||x||, beta =
    2 M k^2 / (s n). What the gradient shows of a distance from the minimiser is added.

    **Fields:**

    - `strength`: s > 0.
    - `delta`: chance of failure.
    """

    strength: float = eqx.field(default=1.0, static=True)
    delta: float = eqx.field(default=0.05, static=True)
    name: ClassVar[str] = "ridge_stability"
    kind: ClassVar[Kind] = "bound"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        w, inputs = weights_and_inputs(model, data)
        n, s = len(inputs), self.strength
        away = inputs @ w - (2 * data.labels - 1)
        gradient = 2 * (inputs.T @ away / n + s * w)
        # Rounding of the gradient, generously, so that a judge does not find more.
        room = 1e-12 * (1 + float(np.linalg.norm(w))) * (1 + float(np.sum(inputs**2)))
        moved = (float(np.linalg.norm(gradient)) + room) / (2 * s)
        k = math.sqrt(float(np.max(model.square_norms(data))))
        top = 1 + k / math.sqrt(s)
        beta = 2 * top**2 * k**2 / (s * n)
        change = (2 * top + k * moved) * k * moved
        deviation = math.sqrt(math.log(1 / self.delta) / (2 * n))
        bound = float(np.mean(away**2)) + 2 * change + 2 * beta
        bound += (4 * n * beta + top**2) * deviation
        said = (IID, "inputs lie in the ball of the largest")
        return BoundResult(bound, 1 - self.delta, said, "bound")

    def misfit(self, model: Any, data: Sample) -> str | None:
        return model.linear_misfit()


@final
class ConvexSGDStability(AbstractMeasure):
    """2 L^2 eta T / n: how much test and training loss of convex SGD differ on average.

    Hardt, Recht, Singer 2016, theorem 3.8, for the logistic loss of linear classifiers,
    L = max ||x||, one pass or several, T steps of size eta <= 2 / smoothness. A
    statement on the expectation, so no bound for one model.

    **Fields:**

    - `step_size`: eta > 0; `steps`: T >= 1.
    """

    step_size: float = eqx.field(default=0.1, static=True)
    steps: int = eqx.field(default=1000, static=True)
    kind: ClassVar[Kind] = "estimate"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        square = float(np.max(model.square_norms(data)))
        largest = 2 / (square / 4)
        if not 0 < self.step_size <= largest:
            expected = f"at most 2 / smoothness = {largest:.3g}"
            where = "ConvexSGDStability.step_size"
            raise InvalidArgument(where, expected, self.step_size)
        value = 2 * square * self.step_size * self.steps / len(data.labels)
        return BoundResult(value, 0.0, (IID, "convex SGD"), "estimate")

    def misfit(self, model: Any, data: Sample) -> str | None:
        return model.linear_misfit()


@final
class LeaveOneOut(AbstractMeasure):
    """How often a sample is labelled wrongly by the model trained without it.

    **Fields:**

    - `algorithm`: a function of (inputs, labels) that returns a function of inputs
      (m, d) giving labels (m,).
    - `repeats`: how many samples are left out, spread evenly over all.
    """

    algorithm: Callable[..., Any] = eqx.field(static=True)
    repeats: int = eqx.field(default=50, static=True)
    kind: ClassVar[Kind] = "estimate"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        n = len(data.labels)
        count = min(self.repeats, n)
        left_out = np.unique(np.linspace(0, n - 1, count).astype(np.int64))
        wrong = 0
        for i in left_out:
            kept = np.arange(n) != i
            predict = self.algorithm(data.inputs[kept], data.labels[kept])
            wrong += int(np.asarray(predict(data.inputs[[i]]))[0] != data.labels[i])
        return BoundResult(wrong / len(left_out), 0.0, (IID,), "estimate")
