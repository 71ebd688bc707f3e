"""Evaluates measures one after the other."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np

from ..core import AbstractMethod
from ._game_methods import PAPER, integer_key
from ._generalization import GeneralizationBounds
from ._generalization_value import BoundTable
from ._measure import number
from ._measure_model import TrainedModel
from ._measure_pac_bayes import PACBayes


class EvaluationState(eqx.Module):
    """How many measures are done, and what they said."""

    key: int = eqx.field(static=True)
    values: np.ndarray
    posterior: np.ndarray
    index: int = eqx.field(static=True)


@final
class EvaluateMeasures(AbstractMethod):
    """Evaluates every measure of the problem, one in a step.

    For `PACBayes` this trains the posterior; its draws come from the run's key.
    """

    host: ClassVar[bool] = True

    def init(self, problem: GeneralizationBounds, key: Any) -> EvaluationState:
        return EvaluationState(integer_key(key), np.zeros(0), np.zeros(0), 0)

    def step(
        self, problem: GeneralizationBounds, state: EvaluationState
    ) -> EvaluationState:
        measure = problem.measures[len(state.values)]
        model, sample = problem.model, problem.sample
        deviation, index = state.posterior, state.index
        if isinstance(measure, PACBayes) and isinstance(model, TrainedModel):
            posterior = measure.fit(model, sample, state.key)
            deviation, index = posterior
            result = measure.of_posterior(model, sample, posterior, state.key)
        else:
            result = measure.value(model, sample)
        value = number(result, type(measure).__name__)
        values = np.append(state.values, value)
        return EvaluationState(state.key, values, deviation, index)

    def done(self, problem: GeneralizationBounds, state: EvaluationState) -> bool:
        return len(state.values) >= len(problem.measures)

    def finish(
        self, problem: GeneralizationBounds, state: EvaluationState
    ) -> BoundTable:
        own = np.array([m.name == "custom" for m in problem.measures])
        values = np.full(len(own), np.nan)
        values[: len(state.values)] = state.values
        drawn: dict[str, Any] = {}
        if state.posterior.size:
            drawn = {
                "posterior_deviation": state.posterior,
                "prior_index": np.asarray(state.index, dtype=np.int64),
                "key": np.asarray(state.key, dtype=np.int64),
            }
        return BoundTable(values[~own], values[own], problem.risk(), **drawn)

    def observe(
        self, problem: GeneralizationBounds, state: EvaluationState
    ) -> dict[str, Any]:
        return {"value": float(state.values[-1])}

    def to_arrays(self, state: EvaluationState) -> dict[str, np.ndarray]:
        return {
            "key": np.asarray(state.key, dtype=np.int64),
            "values": state.values,
            "posterior": state.posterior,
            "index": np.asarray(state.index, dtype=np.int64),
        }

    def from_arrays(
        self, problem: Any, arrays: Mapping[str, np.ndarray]
    ) -> EvaluationState:
        return EvaluationState(
            int(arrays["key"]),
            np.asarray(arrays["values"]),
            np.asarray(arrays["posterior"]),
            int(arrays["index"]),
        )

    def citations(self) -> tuple[str, ...]:
        return PAPER
