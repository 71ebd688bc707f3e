"""What a generalization measure is: a number for a model and its sample, with terms.

Source: Gastpar, Nachum, Shafer, Weinberger, ICLR 2024 (arXiv 2309.13658), section 2.
"""

import abc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple, Self, final

import equinox as eqx
import numpy as np

from ..core import InvalidArgument, InvalidMethod

Kind = Literal["bound", "gibbs", "control", "capacity", "estimate"]


class BoundResult(NamedTuple):
    """What a measure says of one model.

    - `bound`: the number. Of kind `"bound"`: at least the risk, with probability
      `confidence` over the sample; `"gibbs"`: the same for the stochastic classifier;
      `"control"`: from fresh data; `"capacity"`: its constant is unknown, so it is no
      bound; `"estimate"`: a guess of the risk.
    - `assumptions`: what must be true of sample, model and algorithm.
    """

    bound: float
    confidence: float
    assumptions: tuple[str, ...]
    kind: Kind

    @property
    def up_to_constant(self) -> bool:
        """Whether the literature hides a constant in it."""
        return self.kind == "capacity"

    @property
    def vacuous(self) -> bool:
        """Whether it is a bound that says nothing: at least 1. Still true."""
        return self.kind not in ("capacity", "estimate") and self.bound >= 1


class Sample(NamedTuple):
    """Labelled samples: inputs (n, ...) or points (n,), labels (n,).

    `fresh`: errors on samples that the algorithm has not seen, and their number; for
    hold-out control alone.
    """

    inputs: np.ndarray
    labels: np.ndarray
    fresh: tuple[int, int] | None = None


@dataclass(frozen=True)
class Hypothesis:
    """What an observer of a game knows of the answer, and of the class.

    **Fields:**

    - `answer`: labels of all points, or coefficients; None where only the sample may
      be seen (type 2). A copy that cannot be written to.
    - `order`: q for linear functions over a field, else 0.
    - `points`: number of points, 0 for linear functions.
    - `log_size`: ln |H|; `dimension`: VC dimension, None for more than two labels.
    - `table`: all labellings of a finite family, or None: every labelling.
    """

    answer: np.ndarray | None
    order: int
    points: int
    log_size: float
    dimension: float | None
    table: np.ndarray | None = None

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Labels of some inputs, (n,)."""
        if self.answer is None:
            raise InvalidArgument("Hypothesis.predict", "a visible answer", "none")
        if self.order:
            return inputs @ self.answer % self.order
        return self.answer[inputs]

    def errors(self, sample: Sample) -> int:
        """Errors on a sample; the algorithms of the games make none on their own."""
        if self.answer is None:
            return 0
        return int(np.sum(self.predict(sample.inputs) != sample.labels))

    def log_ratio(self, sample: Sample) -> float:
        """Ln of class size over the number of hypotheses that fit the sample."""
        if self.order:
            from ._game_elimination import rank

            return rank(sample.inputs, self.order) * math.log(self.order)
        if self.table is not None:
            fits = np.all(self.table[:, sample.inputs] == sample.labels, axis=1)
            return math.log(len(self.table) / np.sum(fits))
        return len(np.unique(sample.inputs)) * math.log(2)


class AbstractMeasure(eqx.Module):
    """A function of model, sample and perhaps the algorithm.

    A subclass of your own needs `value` alone. In a game of type 1 `algorithm` is None;
    in type 2 the hypothesis has no visible answer.
    """

    name: ClassVar[str] = "custom"
    kind: ClassVar[Kind] = "estimate"

    def __check_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _LIMITS and not _within(value, _LIMITS[field.name]):
                where = f"{type(self).__name__}.{field.name}"
                low, high = _LIMITS[field.name]
                raise InvalidMethod(where, f"a number in ({low:g}, {high:g})", value)

    @abc.abstractmethod
    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        """The measure of one model on its training sample."""

    def misfit(self, model: Any, data: Sample) -> str | None:
        """What this measure would need of a trained model, or None if it fits."""
        del model, data
        return None

    def fresh(self) -> int:
        """How many fresh samples it asks for in a game."""
        return 0

    def record(self) -> dict[str, Any]:
        """Name and options, as they travel."""
        if self.name == "custom":
            return {"name": "custom"}
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"name": self.name} | options

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Inverse of `record`."""
        options = {name: value for name, value in record.items() if name != "name"}
        try:
            return cls(**options)
        except TypeError as error:
            known = ", ".join(field.name for field in fields(cls)) or "none"
            where = f"{cls.__name__} options"
            raise InvalidArgument(where, known, ", ".join(options)) from error


_LIMITS = {
    "delta": (0.0, 1.0),
    "sampling_delta": (0.0, 1.0),
    "margin": (0.0, math.inf),
    "strength": (0.0, math.inf),
    "draws": (0.0, 1_000_001.0),
    "fresh_samples": (0.0, 100_000.0),
}


def _within(value: Any, limits: tuple[float, float]) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(number and limits[0] < value < limits[1])


@final
class FunctionMeasure(AbstractMeasure):
    """Your own function of (model, data), as a measure.

    **Fields:**

    - `function`: returns one finite number.
    """

    function: Callable[..., Any] = eqx.field(static=True)

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        del algorithm
        return BoundResult(self.function(model, data), 0.0, (), "estimate")


@final
class UnknownMeasure(AbstractMeasure):
    """A function that did not travel with its certificate."""

    def value(self, model: Any, data: Sample, algorithm: Any = None) -> BoundResult:
        del model, data, algorithm
        got = "a file, in which only its values travel"
        raise InvalidArgument("measure", "the function itself", got)


def as_measure(measure: Any, where: str) -> AbstractMeasure:
    """A measure of a measure or of a function. Raises `InvalidArgument`."""
    if isinstance(measure, AbstractMeasure):
        return measure
    if callable(measure) and not isinstance(measure, type):
        return FunctionMeasure(measure)
    got = measure.__name__ if isinstance(measure, type) else type(measure).__name__
    raise InvalidArgument(where, "a measure, or a function of (model, data)", got)


def number(result: Any, where: str) -> float:
    """The number that a measure returned. Raises `InvalidArgument`."""
    bound = result.bound if isinstance(result, BoundResult) else result
    try:
        array = np.asarray(bound, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.full(2, np.nan)
    if array.shape != () or not np.isfinite(array):
        raise InvalidArgument(f"{where}.value", "one finite number", bound)
    return float(array)
