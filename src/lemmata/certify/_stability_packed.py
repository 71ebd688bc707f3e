"""The form in which a stability problem travels."""

from typing import Any

import numpy as np

from lemmata_checker import Packed

from ..core import InvalidProblem
from ._stability_models import MODELS, model_name

KIND = "certify.sgd_stability/1"
_OPTIONS = ("learning_rate", "loss_tol", "gap_tol")
_FLAGS = ("replacement", "allow_residual")


def packed(problem: Any) -> Packed:
    """A network known by name with its data, or gradient rows."""
    parameters: dict[str, Any] = {n: float(getattr(problem, n)) for n in _OPTIONS}
    parameters["batch_size"] = int(problem.batch_size)
    parameters |= {name: bool(getattr(problem, name)) for name in _FLAGS}
    if problem.network is not None:
        parameters["model"] = model_name(problem.network)
        arrays = {"inputs": problem.inputs, "targets": problem.targets}
        arrays |= {name: problem.params[name] for name in problem.network.names}
    else:
        parameters["model"] = "rows"
        arrays = {"gradients": problem.gradients}
        for name in ("residuals", "targets"):
            if getattr(problem, name) is not None:
                arrays[name] = getattr(problem, name)
    arrays = {k: np.asarray(a, dtype=np.float64) for k, a in arrays.items()}
    return Packed(KIND, parameters, arrays)


def unpacked(kind: Any, parameters: dict[str, Any], arrays: dict[str, Any]) -> Any:
    """Inverse of `packed`; `kind` is the problem's class."""
    name = parameters.pop("model", "rows")
    if name == "rows":
        if "gradients" not in arrays:
            where, expected = "SGDStability.gradients", "an array (n, p)"
            raise InvalidProblem(where, expected, "none")
        return kind.of_gradients(arrays.pop("gradients"), **arrays, **parameters)
    if name not in MODELS:
        expected = f"one of rows, {', '.join(MODELS)}"
        raise InvalidProblem("SGDStability.model", expected, name)
    model = MODELS[name]
    params = {part: arrays.pop(part, None) for part in model.names}
    data = arrays.pop("inputs", None), arrays.pop("targets", None)
    return kind(model, params, *data, **arrays, **parameters)
