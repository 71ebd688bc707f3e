"""Measures that count: class sizes, dimensions, distinct points, fresh errors."""

import math
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np

from ..core import InvalidArgument
from ._measure import AbstractMeasure, BoundResult, Hypothesis, Kind, Sample
from ._measure_tails import kl_inverse_number, one_sided_upper

IID = "i.i.d. sample"


def losses(model: Any, data: Sample) -> float:
    """Share of errors on the training sample."""
    return model.errors(data) / len(data.labels)


def _finite(model: Any, measure: str) -> Hypothesis:
    if not isinstance(model, Hypothesis) or not model.points:
        expected = "a game on finitely many points"
        raise InvalidArgument(f"{measure}.value", expected, type(model).__name__)
    return model


@final
class Constant(AbstractMeasure):
    """Always the same number.

    **Fields:**

    - `level`: the number.
    """

    level: float = eqx.field(default=0.0, static=True)
    name: ClassVar[str] = "constant"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        return BoundResult(self.level, 0.0, (), "estimate")

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "value": float(self.level)}

    @classmethod
    def of(cls, record: Any) -> "Constant":
        """Inverse of `record`."""
        return cls(record.get("value", 0.0))


@final
class Unseen(AbstractMeasure):
    """`share` times the mass of points that the sample does not hold (uniform points).

    **Fields:**

    - `share`: 1/2 is the mean loss of a random consistent answer.
    """

    share: float = eqx.field(default=0.5, static=True)
    name: ClassVar[str] = "unseen"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        d = _finite(model, "Unseen").points
        seen = len(np.unique(data.inputs))
        return BoundResult(self.share * (d - seen) / d, 0.0, (), "estimate")

    def misfit(self, model: Any, data: Sample) -> str | None:
        return "a game on finitely many points"


@final
class Occam(AbstractMeasure):
    """L_S + sqrt((ln|H| + ln(1/delta)) / (2n)): a finite class.

    **Fields:**

    - `delta`: chance of failure.
    - `bits`: of each weight of a trained network, 16, 32 or 64: |H| = 2^(bits p). The
      weights must be numbers of that many bits.
    """

    delta: float = eqx.field(default=0.05, static=True)
    bits: int = eqx.field(default=64, static=True)
    name: ClassVar[str] = "occam"
    kind: ClassVar[Kind] = "bound"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        inside = _log_size(model, self.bits) + math.log(1 / self.delta)
        n = len(data.labels)
        bound = losses(model, data) + math.sqrt(inside / (2 * n))
        said = (IID, "architecture fixed before")
        return BoundResult(bound, 1 - self.delta, said, "bound")

    def misfit(self, model: Any, data: Sample) -> str | None:
        if self.bits not in (16, 32, 64):
            return "bits of 16, 32 or 64"
        return model.bits_misfit(self.bits)


def _log_size(model: Any, bits: int) -> float:
    if isinstance(model, Hypothesis):
        return model.log_size
    return bits * model.parameters * math.log(2)


@final
class VCDimension(AbstractMeasure):
    """L_S + sqrt((8 ln growth(2n) + 8 ln(4/delta)) / n), growth by Sauer's lemma.

    For dense ReLU networks the dimension is at most L + (sum W_i) log2(4eR log2(2eR)),
    R = sum_i i k_i (Bartlett, Harvey, Liaw, Mehrabian 2019, theorem 7): k_i units in
    layer i, W_i parameters up to it. Errors among K labels are K - 1 signs.

    **Fields:**

    - `delta`: chance of failure.
    """

    delta: float = eqx.field(default=0.05, static=True)
    name: ClassVar[str] = "vc"
    kind: ClassVar[Kind] = "bound"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        v, n = _dimension(model), len(data.labels)
        growth = 2 * n * math.log(2)
        if 2 * n >= v:
            growth = min(growth, v * math.log(2 * math.e * n / v))
        inside = (8 * growth + 8 * math.log(4 / self.delta)) / n
        bound = losses(model, data) + math.sqrt(inside)
        said = (IID, "architecture fixed before")
        return BoundResult(bound, 1 - self.delta, said, "bound")

    def misfit(self, model: Any, data: Sample) -> str | None:
        return model.dense_misfit()


def _dimension(model: Any) -> float:
    if not isinstance(model, Hypothesis):
        return model.vc_dimension()
    if model.dimension is None:
        raise InvalidArgument("VCDimension.value", "a class of two labels", "more")
    return model.dimension


@final
class Compression(AbstractMeasure):
    """A bound for a model that `size` of its n samples determine.

    kl^-1 of the error rate outside them at (ln C(n, k) + ln(n + 1) + ln(1/delta)) /
    (n - k) (Littlestone and Warmuth 1986; the union is over k, too).

    **Fields:**

    - `size`: k; None in a game: the number of distinct points.
    - `ordered`: whether the order of the kept samples matters (mistakes of an online
      algorithm): then ln k! is added.
    - `delta`: chance of failure.
    """

    size: int | None = eqx.field(default=None, static=True)
    ordered: bool = eqx.field(default=False, static=True)
    delta: float = eqx.field(default=0.05, static=True)
    name: ClassVar[str] = "compression"
    kind: ClassVar[Kind] = "bound"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        n = len(data.labels)
        k = len(np.unique(data.inputs)) if self.size is None else self.size
        said = (IID, "the kept samples alone give this model")
        if n - k < 1:
            return BoundResult(1.0, 1 - self.delta, said, "bound")
        choices = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        if self.ordered:
            choices += math.lgamma(k + 1)
        allowed = (choices + math.log((n + 1) / self.delta)) / (n - k)
        rate = min(model.errors(data) / (n - k), 1.0)
        bound = kl_inverse_number(rate, allowed)
        return BoundResult(bound, 1 - self.delta, said, "bound")

    def misfit(self, model: Any, data: Sample) -> str | None:
        n = len(data.labels)
        whole = type(self.size) is int and 0 <= self.size < n
        return None if whole else f"size, an integer in [0, {n})"


@final
class FinitePACBayes(AbstractMeasure):
    """kl^-1(0 || (KL + ln(2 sqrt(n)/delta)) / n) in a game: Q uniform on what fits.

    The prior is uniform on the class, so KL = ln of class size over what fits.

    **Fields:**

    - `delta`: chance of failure.
    """

    delta: float = eqx.field(default=0.05, static=True)
    name: ClassVar[str] = "finite_pac_bayes"
    kind: ClassVar[Kind] = "gibbs"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        n = len(data.labels)
        allowed = model.log_ratio(data) + math.log(2 * math.sqrt(n) / self.delta)
        bound = kl_inverse_number(0.0, allowed / n)
        return BoundResult(bound, 1 - self.delta, (IID,), "gibbs")

    def misfit(self, model: Any, data: Sample) -> str | None:
        return "a game"


@final
class FiniteRademacher(AbstractMeasure):
    """L_S + 2 R + 3 sqrt(ln(2/delta)/(2n)), R of all labellings of finite domains.

    R = (1/2n) sum_x E|walk of c_x fair steps|, c_x how often x was drawn: exact.

    **Fields:**

    - `delta`: chance of failure.
    """

    delta: float = eqx.field(default=0.05, static=True)
    name: ClassVar[str] = "finite_rademacher"
    kind: ClassVar[Kind] = "bound"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        _finite(model, "FiniteRademacher")
        n = len(data.labels)
        counts = np.unique(data.inputs, return_counts=True)[1].tolist()
        walks = sum(c * math.comb(c - 1, (c - 1) // 2) / 2 ** (c - 1) for c in counts)
        away = 3 * math.sqrt(math.log(2 / self.delta) / (2 * n))
        bound = losses(model, data) + walks / n + away
        return BoundResult(bound, 1 - self.delta, (IID,), "bound")

    def misfit(self, model: Any, data: Sample) -> str | None:
        return "a game on finitely many points"


@final
class HoldOut(AbstractMeasure):
    """The control: Clopper and Pearson's upper bound from data the algorithm never saw.

    It is no function of sample and hypothesis alone, so no game binds it.

    **Fields:**

    - `delta`: chance of failure.
    - `fresh_samples`: how many it draws in a game; for a trained model it takes the
      test set.
    """

    delta: float = eqx.field(default=0.05, static=True)
    fresh_samples: int = eqx.field(default=1000, static=True)
    name: ClassVar[str] = "hold_out"
    kind: ClassVar[Kind] = "control"

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        if data.fresh is None:
            raise InvalidArgument("HoldOut.value", "a test set", "none")
        bound = one_sided_upper(*data.fresh, self.delta)
        return BoundResult(bound, 1 - self.delta, ("fresh test set",), "control")

    def misfit(self, model: Any, data: Sample) -> str | None:
        return None if data.fresh is not None else "a test set"

    def fresh(self) -> int:
        return self.fresh_samples

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "delta": self.delta, "fresh": self.fresh_samples}

    @classmethod
    def of(cls, record: Any) -> "HoldOut":
        """Inverse of `record`."""
        return cls(record.get("delta", 0.05), record.get("fresh", 1000))
