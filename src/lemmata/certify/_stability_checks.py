"""What `SGDStability` refuses, field by field."""

from typing import Any

import jax
import numpy as np

from ..core import require
from ._stability_models import AbstractStabilityModel


def check(problem: Any) -> None:
    """All of it. Raises `InvalidProblem`."""
    _check_scope(problem)
    _check_numbers(problem)
    if isinstance(problem.model, AbstractStabilityModel):
        check_data(problem)
        _check_network(problem)
    elif problem.gradients is not None:
        _check_rows(problem)
    else:  # `of_gradients` sets the rows and checks again
        return
    rows = problem.rows()
    some = np.any(rows)
    expected = "a gradient that is not zero"
    require(problem, "gradients", some, expected=expected, got="zeros alone")
    n, size = problem.samples, problem.batch_size
    fits = problem.replacement or size <= n
    expected = f"at most the {n} samples, unless replacement=True"
    require(problem, "batch_size", fits, expected=expected, got=size)


def check_data(problem: Any) -> None:
    """Model, parameters, inputs and targets."""
    callable_ = callable(problem.model)
    got = type(problem.model).__name__
    expected = "a function of (params, one input)"
    require(problem, "model", callable_, expected=expected, got=got)
    leaves = jax.tree.leaves(problem.params)
    for leaf in leaves:
        _check_array(problem, "params", leaf)
    some = bool(leaves)
    require(problem, "params", some, expected="at least one array", got="none")
    for name in ("inputs", "targets"):
        _check_array(problem, name, getattr(problem, name))
    n, m = (np.shape(a)[:1] for a in (problem.inputs, problem.targets))
    some = n and n[0] > 0
    expected = "at least one sample"
    require(problem, "inputs", some, expected=expected, got=np.shape(problem.inputs))
    require(problem, "targets", n == m, expected=f"{n[0]} of them", got=m)


def _check_array(problem: Any, field: str, array: Any) -> None:
    numeric = getattr(array, "dtype", None) == np.float64
    got = getattr(array, "dtype", type(array).__name__)
    require(problem, field, numeric, expected="real numbers", got=got)
    bad = int(np.sum(~np.isfinite(array)))
    got = f"{bad} not finite"
    require(problem, field, bad == 0, expected="finite numbers", got=got)


def _check_network(problem: Any) -> None:
    shape = np.shape(problem.inputs)
    flat = len(shape) == 2
    require(problem, "inputs", flat, expected="shape (n, d)", got=shape)
    fits = np.shape(problem.targets) == shape[:1]
    expected = f"shape ({shape[0]},)"
    got = np.shape(problem.targets)
    require(problem, "targets", fits, expected=expected, got=got)
    fault = problem.model.fault(problem.params, problem.inputs)
    expected, got = fault or ("", "")
    require(problem, "params", fault is None, expected=expected, got=got)


def _check_rows(problem: Any) -> None:
    _check_array(problem, "gradients", problem.gradients)
    shape = np.shape(problem.gradients)
    good = len(shape) == 3 and min(shape) > 0
    expected = "shape (n, p) or (n, K, p)"
    require(problem, "gradients", good, expected=expected, got=shape)
    for name in ("residuals", "targets"):
        array = getattr(problem, name)
        if array is not None:
            _check_array(problem, name, array)
            fits = np.shape(array) == shape[:2]
            expected = f"one number for each gradient, {shape[:2]}"
            require(problem, name, fits, expected=expected, got=np.shape(array))


def _check_scope(problem: Any) -> None:
    square = problem.loss == "square"
    expected = '"square": cross-entropy has no finite minimum'
    require(problem, "loss", square, expected=expected, got=repr(problem.loss))
    plain = problem.optimizer == "sgd"
    expected = '"sgd", without momentum, weight decay or adaptive steps'
    require(problem, "optimizer", plain, expected=expected, got=repr(problem.optimizer))


def _check_numbers(problem: Any) -> None:
    for name in ("learning_rate", "loss_tol", "gap_tol"):
        number = getattr(problem, name)
        real = np.ndim(number) == 0 and np.asarray(number).dtype.kind in "fiu"
        good = real and 0 < number < np.inf
        require(problem, name, good, expected="a finite number > 0", got=number)
    require(
        problem,
        "gap_tol",
        problem.gap_tol < 1,
        expected="below 1",
        got=problem.gap_tol,
    )
    for name in ("replacement", "allow_residual"):
        flag = getattr(problem, name)
        good = isinstance(flag, bool | np.bool_)
        require(problem, name, good, expected="True or False", got=flag)
    size = problem.batch_size
    whole = isinstance(size, int | np.integer | np.ndarray | jax.Array)
    whole = whole and np.ndim(size) == 0 and np.asarray(size).dtype.kind in "iu"
    good = whole and size >= 1
    require(problem, "batch_size", good, expected="an integer >= 1", got=size)
