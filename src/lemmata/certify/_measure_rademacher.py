"""Margin bounds of Hilbert spaces by Monte-Carlo Rademacher complexities.

Sources: Bartlett and Mendelson 2002 (complexity of kernel classes); Mohri,
Rostamizadeh, Talwalkar 2018, theorem 5.8 (margins); McDiarmid 1989.
"""

import abc
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, final

import equinox as eqx
import numpy as np

from lemmata_checker.rules.certify_generalization_kernels import MOST_POINTS
from lemmata_checker.rules.certify_generalization_rademacher import (
    MOST_PRODUCTS,
    signs,
)

from ._measure import AbstractMeasure, BoundResult, Kind, Sample
from ._measure_counting import IID
from ._measure_linear import weights_and_inputs
from ._measure_norms import margin_bound, shell

_AT_ONCE = 2**22


class Features(NamedTuple):
    """A model as <w, phi(x)>, and its sample.

    - `norm`: ||w||; `squares`: ||phi(x_i)||^2, (n,).
    - `lengths`: of rows of signs (r, n), ||sum sigma_i phi(x_i)||, (r,).
    """

    norm: float
    squares: np.ndarray
    lengths: Callable[[np.ndarray], np.ndarray]


class AbstractRademacher(AbstractMeasure):
    """The margin bound of {<w, phi(x)>: ||w|| <= 2^j gamma}, a union over j."""

    margin: float = eqx.field(default=1.0, static=True)
    draws: int = eqx.field(default=1000, static=True)
    key: int = eqx.field(default=0, static=True)
    delta: float = eqx.field(default=0.05, static=True)
    sampling_delta: float = eqx.field(default=0.001, static=True)
    kind: ClassVar[Kind] = "bound"
    said: ClassVar[tuple[str, ...]] = (IID, "key of the signs chosen before")

    @abc.abstractmethod
    def features(self, model: Any, data: Sample) -> Features:
        """The model as an inner product."""

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        norm, squares, lengths = self.features(model, data)
        n, total = len(squares), 0.0
        step = max(1, _AT_ONCE // n)
        for start in range(0, self.draws, step):
            rows = signs(self.key, start, min(start + step, self.draws), n)
            total += float(np.sum(lengths(rows)))
        trace = float(squares.sum())
        spread = math.sqrt(2 * trace * math.log(1 / self.sampling_delta) / self.draws)
        complexity = min(total / self.draws + spread, math.sqrt(trace)) / n
        j = shell(norm / self.margin)
        loss = model.below(data, self.margin) / n
        bound = margin_bound(loss, 2.0**j * complexity, n, j, self.delta)
        confidence = 1 - self.delta - self.sampling_delta
        return BoundResult(bound, confidence, self.said, "bound")

    def misfit(self, model: Any, data: Sample) -> str | None:
        if type(self.draws) is not int:
            return "draws, a whole number"
        if type(self.key) is not int or not 0 <= self.key < 2**63:
            return "a key in [0, 2^63)"
        return self.other_model(model, data)

    @abc.abstractmethod
    def other_model(self, model: Any, data: Sample) -> str | None:
        """What kind of model it would need, or None."""


@final
class LinearRademacher(AbstractRademacher):
    """A margin bound for linear classifiers, the Rademacher complexity drawn.

    L_gamma + 2 2^j R + 3 sqrt(ln(2/delta_j) / 2n), 2^j >= ||w|| / gamma, delta_j =
    delta / (1.5 (|j| + 1)(|j| + 2)), R = E||sum sigma_i x_i|| / n: a mean over `draws`
    plus sqrt(2 sum ||x_i||^2 ln(1/sampling_delta) / draws) / n (McDiarmid, each sign
    moves it by 2 ||x_i|| / draws at most); never above sqrt(sum ||x_i||^2) / n.

    **Fields:**

    - `margin`: gamma > 0; any, as the union is over the ratio.
    - `draws`, `key`: of signs; the stream is Philox's.
    - `delta`, `sampling_delta`: chances of failure, of the bound and of the draws.
    """

    name: ClassVar[str] = "rademacher"

    def features(self, model: Any, data: Sample) -> Features:
        w, inputs = weights_and_inputs(model, data)

        def lengths(rows: np.ndarray) -> np.ndarray:
            return np.linalg.norm(rows @ inputs, axis=1)

        return Features(float(np.linalg.norm(w)), np.sum(inputs**2, axis=1), lengths)

    def other_model(self, model: Any, data: Sample) -> str | None:
        return model.linear_misfit()


@final
class KernelRademacher(AbstractRademacher):
    """A margin bound for a `KernelClassifier`, the Rademacher complexity drawn.

    L_gamma + 2 2^j R + 3 sqrt(ln(2/delta_j) / 2n), 2^j >= sqrt(a'Ka + b^2) / gamma,
    delta_j = delta / (1.5 (|j| + 1)(|j| + 2)), R = E sqrt(sigma' K sigma) / n: a mean
    over `draws` plus sqrt(2 tr(K) ln(1/sampling_delta) / draws) / n (McDiarmid, each
    sign moves it by 2 sqrt(k(x_i, x_i)) / draws at most); never above sqrt(tr K) / n.
    With an intercept k + 1 is the kernel. The kernel must not depend on the sample.

    **Fields:** those of `LinearRademacher`, with which it agrees for the linear kernel.
    """

    name: ClassVar[str] = "kernel_rademacher"
    said: ClassVar[tuple[str, ...]] = (
        *AbstractRademacher.said,
        "kernel and its parameters chosen before",
    )

    def features(self, model: Any, data: Sample) -> Features:
        matrix, room = model.gram(data.inputs)
        square, off = model.square_norm()

        def lengths(rows: np.ndarray) -> np.ndarray:
            squares = np.sum((rows @ matrix) * rows, axis=1)
            return np.sqrt(np.maximum(squares, 0.0) + room)

        return Features(math.sqrt(square + off), np.diagonal(matrix), lengths)

    def other_model(self, model: Any, data: Sample) -> str | None:
        needs, n = model.kernel_misfit(), len(data.labels)
        if needs is None and (n > MOST_POINTS or self.draws * n * n > MOST_PRODUCTS):
            most = int(min(MOST_POINTS, math.sqrt(MOST_PRODUCTS / self.draws)))
            return f"at most {most} training samples for {self.draws} draws"
        return needs
