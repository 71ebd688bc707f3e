"""Norm-based measures of dense ReLU networks.

Sources: Bartlett, Foster, Telgarsky 2017; Neyshabur, Bhojanapalli, Srebro 2018;
Golowich, Rakhlin, Shamir 2018; Neyshabur, Tomioka, Srebro 2015; Maurer 2016.
"""

import math
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np

from ._measure import AbstractMeasure, BoundResult, Kind, Sample
from ._measure_counting import IID


def shell(norm: float) -> int:
    """The least j with 2^j >= norm: the class of norms up to there holds this model."""
    if not 0 < norm < math.inf:
        return 1000 if norm > 0 else -1000
    j = math.ceil(math.log2(norm))
    return j if 2.0**j >= norm * (1 + 1e-9) else j + 1


def shell_share(delta: float, j: int) -> float:
    """Delta / (1.5 (|j| + 1)(|j| + 2)), which sums to delta over all integers."""
    return delta / (1.5 * (abs(j) + 1) * (abs(j) + 2))


def margin_bound(
    loss: float, complexity: float, samples: int, j: int, delta: float
) -> float:
    """L_gamma + 2 R + 3 sqrt(ln(2/delta_j) / (2n)), R of the class of shell j."""
    away = math.sqrt(math.log(2 / shell_share(delta, j)) / (2 * samples))
    return loss + 2 * complexity + 3 * away


@final
class FrobeniusProduct(AbstractMeasure):
    """A margin bound by the product of Frobenius norms, every constant stated.

    L_gamma + 2 c 2^j (sqrt(2 ln 2 L) + 1) sqrt(sum ||x||^2) / n + 3 sqrt(ln(2/delta_j)
    / 2n): 2^j >= prod ||A_i||_F / gamma, delta_j = delta / (1.5 (|j| + 1)(|j| + 2)),
    c = 1 for one output and 2K for K outputs, L layers. Biases are columns of
    homogeneous matrices.

    **Fields:**

    - `margin`: gamma > 0; any, as the union is over the ratio.
    - `delta`: chance of failure.
    """

    margin: float = eqx.field(default=1.0, static=True)
    delta: float = eqx.field(default=0.05, static=True)
    name: ClassVar[str] = "frobenius_product"
    kind: ClassVar[Kind] = "bound"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        n, depth = len(data.labels), len(model.matrices)
        product = math.prod(float(np.linalg.norm(a)) for a in model.matrices)
        j = shell(product / self.margin)
        outputs = model.network.outputs
        factor = 1.0 if outputs == 1 else 2.0 * outputs
        reach = math.sqrt(float(np.sum(model.square_norms(data)))) / n
        peeled = math.sqrt(2 * math.log(2) * depth) + 1
        loss = model.below(data, self.margin) / n
        complexity = factor * 2.0**j * peeled * reach
        bound = margin_bound(loss, complexity, n, j, self.delta)
        return BoundResult(bound, 1 - self.delta, (IID,), "bound")

    def misfit(self, model: Any, data: Sample) -> str | None:
        return model.dense_misfit()


class _Capacity(AbstractMeasure):
    kind: ClassVar[Kind] = "capacity"

    def misfit(self, model: Any, data: Sample) -> str | None:
        return model.dense_misfit()


def _spread(sizes: np.ndarray, parts: np.ndarray, power: float) -> float:
    """prod_i s_i times the power-norm of (part_i / s_i); all of them may be zero."""
    others = [np.prod(np.delete(sizes, i)) for i in range(len(sizes))]
    return float(np.sum((parts * np.array(others)) ** power) ** (1 / power))


@final
class SpectralMargin(_Capacity):
    """||X||_F prod s_i (sum (r_i / s_i)^(2/3))^(3/2) ln W / (gamma n).

    s_i spectral norms, r_i the sum of the lengths of the rows of A_i - M_i, M_i the
    initial matrices, W the largest width (at least 2). Bartlett, Foster, Telgarsky
    2017, theorem 1.1: its constant is hidden, so this is no bound.

    **Fields:**

    - `margin`: gamma > 0.
    """

    margin: float = eqx.field(default=1.0, static=True)
    name: ClassVar[str] = "spectral_margin"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        sizes = np.array([np.linalg.norm(a, 2) for a in model.matrices])
        rows = np.array([np.linalg.norm(a, axis=1).sum() for a in model.moved])
        width = max(2, *(max(a.shape) for a in model.matrices))
        reach = math.sqrt(float(np.sum(model.square_norms(data))))
        factor = reach * math.log(width) / (self.margin * len(data.labels))
        value = _spread(sizes, rows, 2 / 3) * factor
        return BoundResult(value, 0.0, (IID,), "capacity")


@final
class PACBayesSpectral(_Capacity):
    """B L sqrt(h ln(Lh)) prod s_i sqrt(sum ||A_i - M_i||_F^2 / s_i^2) / (gamma sqrt n).

    B = max ||x||, L layers, h the largest width (at least 2). Neyshabur, Bhojanapalli,
    Srebro 2018, theorem 1, without its constant and ln(n/delta): no bound.

    **Fields:**

    - `margin`: gamma > 0.
    """

    margin: float = eqx.field(default=1.0, static=True)
    name: ClassVar[str] = "pac_bayes_spectral"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        sizes = np.array([np.linalg.norm(a, 2) for a in model.matrices])
        moved = np.array([np.linalg.norm(a) for a in model.moved])
        depth = len(sizes)
        width = max(2, *(max(a.shape) for a in model.matrices))
        reach = math.sqrt(float(np.max(model.square_norms(data))))
        factor = reach * depth * math.sqrt(width * math.log(depth * width))
        factor /= self.margin * math.sqrt(len(data.labels))
        value = _spread(sizes, moved, 2.0) * factor
        return BoundResult(value, 0.0, (IID,), "capacity")


@final
class PathNorm(_Capacity):
    """B (sum over paths of prod |w|^p)^(1/p) / (gamma sqrt n), p = 1 or 2.

    B = max ||x||_inf for p = 1, max ||x||_2 for p = 2 (with biases of (x, 1)).
    Neyshabur, Tomioka, Srebro 2015, without its constant: no bound.

    **Fields:**

    - `margin`: gamma > 0.
    - `power`: p.
    """

    margin: float = eqx.field(default=1.0, static=True)
    power: int = eqx.field(default=2, static=True)
    name: ClassVar[str] = "path_norm"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        paths = np.ones(len(model.matrices[-1]))
        for matrix in reversed(model.matrices):
            paths = paths @ np.abs(matrix) ** self.power
        if self.power == 1:
            reach = float(np.max(np.abs(data.inputs)))
            reach = max(reach, 1.0) if model.biased else reach
        else:
            reach = math.sqrt(float(np.max(model.square_norms(data))))
        size = float(np.sum(paths)) ** (1 / self.power)
        value = reach * size / (self.margin * math.sqrt(len(data.labels)))
        return BoundResult(value, 0.0, (IID,), "capacity")

    def misfit(self, model: Any, data: Sample) -> str | None:
        if self.power not in (1, 2):
            return "a power of 1 or 2"
        return model.dense_misfit()
