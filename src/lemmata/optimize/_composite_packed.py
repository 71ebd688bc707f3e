"""The packed form of `CompositeProblem`, and back."""

import inspect
from typing import Any

import numpy as np
import scipy.sparse

from lemmata_checker import Packed

from ..core import InvalidProblem
from ._design import DenseDesign
from ._losses import LOSSES, AbstractLoss, LeastSquares, Logistic, Quadratic, Softmax
from ._penalties import PENALTIES, AbstractPenalty

KIND = "optimize.composite/1"


def pack(problem: Any) -> Packed:
    """Kind, parameters, arrays; single numbers are parameters, if finite."""
    loss, penalty = problem.loss, problem.penalty
    parameters: dict[str, Any] = {
        "loss": loss.name,
        "penalty": penalty.name,
        "gap_tol": float(problem.gap_tol),
        "stationarity_tol": None
        if problem.stationarity_tol is None
        else float(problem.stationarity_tol),
    }
    arrays: dict[str, np.ndarray] = {}
    if isinstance(loss, Quadratic):
        _pack_matrix("operator", loss.operator, parameters, arrays)
        arrays["linear"] = np.ascontiguousarray(loss.linear, "<f8")
    else:
        _pack_matrix("design", loss.design, parameters, arrays)
        target = loss.target if isinstance(loss, LeastSquares) else loss.labels
        arrays["target"] = np.ascontiguousarray(target, "<f8")
    if isinstance(loss, Softmax):
        parameters["classes"] = int(loss.classes)
    if isinstance(loss, Logistic | Softmax):
        _pack_numbers("l2", loss.l2, parameters, arrays)
    for name in ("strength", "lower", "upper"):
        if hasattr(penalty, name):
            _pack_numbers(name, getattr(penalty, name), parameters, arrays)
    return Packed(KIND, parameters, arrays)


def _pack_matrix(name: str, matrix: Any, parameters: dict, arrays: dict) -> None:
    if isinstance(matrix, DenseDesign):
        arrays[name] = np.ascontiguousarray(matrix.values, "<f8")
        return
    rows = matrix.host()
    arrays[f"{name}_data"] = np.ascontiguousarray(rows.data, "<f8")
    arrays[f"{name}_indices"] = np.ascontiguousarray(rows.indices, "<i8")
    arrays[f"{name}_indptr"] = np.ascontiguousarray(rows.indptr, "<i8")
    parameters["columns"] = int(rows.shape[1])


def _pack_numbers(name: str, value: Any, parameters: dict, arrays: dict) -> None:
    if np.ndim(value) == 0 and np.isfinite(value):
        parameters[name] = float(value)
    else:
        arrays[name] = np.ascontiguousarray(value, "<f8").reshape(np.shape(value))


def unpack(parameters: dict, arrays: dict) -> tuple[AbstractLoss, AbstractPenalty]:
    """Inverse of `pack`. **Raises:** `InvalidProblem` naming the field."""
    parameters = {k: v for k, v in parameters.items() if v is not None}
    given = parameters | arrays
    loss = _unpack_loss(given, parameters)
    kind = parameters.get("penalty", "unpenalised")
    if kind not in PENALTIES:
        raise InvalidProblem("CompositeProblem.penalty", _choice(PENALTIES), kind)
    made = {n: given[n] for n in ("strength", "lower", "upper") if n in given}
    return loss, _call("penalty", PENALTIES[kind], made)


def _unpack_loss(given: dict, parameters: dict) -> AbstractLoss:
    default = "quadratic" if "linear" in given else "least_squares"
    kind = parameters.get("loss", default)
    if kind not in LOSSES:
        raise InvalidProblem("CompositeProblem.loss", _choice(LOSSES), kind)
    columns = parameters.get("columns")
    if kind == "quadratic":
        made = {"operator": _unpack_matrix("operator", given, columns)}
        return _call("loss", Quadratic, made | _pick(given, "linear"))
    made = {"design": _unpack_matrix("design", given, columns)}
    made["target" if kind == "least_squares" else "labels"] = given.get("target")
    made |= _pick(given, "l2") if kind != "least_squares" else {}
    if kind == "softmax":
        labels = given.get("target")
        guess = 0 if labels is None or not np.size(labels) else int(np.max(labels)) + 1
        made["classes"] = int(parameters.get("classes", max(guess, 2)))
    return _call("loss", LOSSES[kind], made)


def _unpack_matrix(name: str, given: dict, columns: int | None) -> Any:
    if name in given:
        return given[name]
    parts: list[Any] = [given.get(f"{name}_{p}") for p in ("data", "indices", "indptr")]
    if any(part is None for part in parts):
        expected = f"an array {name}, or {name}_data, {name}_indices, {name}_indptr"
        raise InvalidProblem(f"CompositeProblem.{name}", expected, "none")
    data, indices, indptr = parts
    if columns is None:
        columns = int(indices.max(initial=-1)) + 1
    shape = (indptr.size - 1, columns)
    return scipy.sparse.csr_array((data, indices, indptr), shape=shape)


def _pick(given: dict, name: str) -> dict:
    return {name: given[name]} if name in given else {}


def _call(field: str, kind: Any, made: dict) -> Any:
    """The loss or penalty; a field that it lacks is named."""
    parameters = inspect.signature(kind).parameters
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and made.get(name) is None:
            shown = "target" if name == "labels" else name
            expected = f"a value, as {field} is {kind.name!r}"
            raise InvalidProblem(f"CompositeProblem.{shown}", expected, "none")
    unknown = [name for name in made if name not in parameters]
    if unknown:
        expected = f"left out, as {field} is {kind.name!r}"
        raise InvalidProblem(f"CompositeProblem.{unknown[0]}", expected, "a value")
    return kind(**made)


def _choice(names: dict) -> str:
    return "one of " + ", ".join(names)
