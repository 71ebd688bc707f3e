"""What a constrained problem must satisfy, and its functions as the judge sees them."""

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lemmata_checker.differentiate import Evaluation, evaluate
from lemmata_checker.errors import Malformed
from lemmata_checker.intervals import exact
from lemmata_checker.program import read_program

from ..core import InvalidProblem, float64, require
from ._program import Builder, Recording, Untraceable, Value, finish, record
from ._recorded import RecordedFunction

RESERVED = re.compile(r"x0|multipliers0|program|kkt_tol|gap_tol|constant_.*|index_.*")
LEAST_SINGULAR = 1e-10  # of the Jacobian at the start, relative to the largest


def validate(problem: Any) -> None:
    """Everything, once, on concrete data. Raises `InvalidProblem`."""
    _validate_start(problem)
    _validate_data(problem)
    for name in ("kkt_tol", "gap_tol"):
        figure = getattr(problem, name)
        good = isinstance(figure, int | float | np.ndarray | jax.Array)
        good = good and bool(np.all(np.isfinite(figure)) and np.all(figure > 0))
        require(problem, name, good, expected="a finite number > 0", got=figure)
    for name in ("objective", "constraint"):
        _validate_shape(problem, name)
    n, m = problem.x0.size, problem.multipliers0.size
    shape = getattr(problem.multipliers0, "shape", None)
    outputs = _outputs(problem)
    count = int(np.prod(outputs, dtype=np.int64))
    require(
        problem, "constraint", 1 <= count <= n,
        expected=f"1 to n = {n} constraints", got=count,
    )  # fmt: skip
    good = shape == (count,) and bool(np.all(np.isfinite(problem.multipliers0)))
    require(
        problem, "multipliers0", good and m == count,
        expected=f"{count} finite numbers, one for each constraint", got=shape,
    )  # fmt: skip
    _validate_values(problem, start_values(problem))


def _validate_start(problem: Any) -> None:
    x = problem.x0
    real = isinstance(x, np.ndarray | jax.Array) and x.dtype == np.float64
    got = getattr(x, "dtype", type(x).__name__)
    require(problem, "x0", real, expected="real numbers", got=got)
    vector = x.ndim == 1 and x.size > 0
    require(problem, "x0", vector, expected="shape (n,), n > 0", got=x.shape)
    bad = int(np.sum(~np.isfinite(x)))
    got = f"{bad} not finite"
    require(problem, "x0", bad == 0, expected="finite entries", got=got)
    given = problem.multipliers0
    real = isinstance(given, np.ndarray | jax.Array) and given.dtype == np.float64
    got = getattr(given, "dtype", type(given).__name__)
    require(problem, "multipliers0", real, expected="real numbers", got=got)


def _validate_data(problem: Any) -> None:
    for name, array in problem.data.items():
        where = f"data[{name!r}]"
        free = isinstance(name, str) and re.fullmatch(r"[a-z0-9_]{1,64}", name)
        index = isinstance(problem.objective, RecordedFunction)  # its own constants
        good = bool(free) and (index or not RESERVED.fullmatch(name))
        expected = "a name of [a-z0-9_] that is not reserved"
        require(problem, where, good, expected=expected, got=name)
        dtype = getattr(array, "dtype", type(array).__name__)
        real = dtype == np.float64 or (index and dtype == np.int64)
        require(problem, where, real, expected="real numbers", got=dtype)
        finite = bool(np.all(np.isfinite(array)))
        require(problem, where, finite, expected="finite entries", got="NaN or inf")


def _validate_shape(problem: Any, name: str) -> None:
    function = problem.f if name == "objective" else problem.c
    field = getattr(problem, name)
    got = type(field).__name__
    require(problem, name, callable(field), expected="a function of x", got=got)
    found = _tried(problem, name, lambda: jax.eval_shape(function, problem.x0))
    array = hasattr(found, "shape") and hasattr(found, "dtype")
    vector = "shape (), a scalar" if name == "objective" else "shape (m,), a vector"
    got = found.shape if array else type(found).__name__
    dimensions = 0 if name == "objective" else 1
    good = array and len(found.shape) == dimensions
    require(problem, name, good, expected=vector, got=got)
    real = found.dtype == np.float64
    require(problem, name, real, expected="float64 values", got=found.dtype)


def _outputs(problem: Any) -> tuple[int, ...]:
    with float64(), jax.ensure_compile_time_eval():
        return jax.eval_shape(problem.c, problem.x0).shape


def _tried(problem: Any, field: str, action: Callable[[], Any]) -> Any:
    """What the user's function gives to JAX, or the typed error."""
    where = f"{type(problem).__name__}.{field}"
    expected = "a function that JAX can trace and the judge can redo"
    try:
        with float64(), jax.ensure_compile_time_eval():  # a caller may be traced
            return action()
    except Untraceable as error:
        raise InvalidProblem(where, expected, error) from error
    except Exception as error:  # the user's own code: anything can come out of it
        reason = str(error).partition("\n")[0][:200].rstrip(".")
        got = f"{type(error).__name__}: {reason}"
        raise InvalidProblem(where, expected, got) from error


def recording(problem: Any) -> Recording:
    """The problem's functions as recorded operations with their arrays."""
    data = {name: np.asarray(array) for name, array in problem.data.items()}
    f, c = problem.objective, problem.constraint
    if isinstance(f, RecordedFunction) and isinstance(c, RecordedFunction):
        return Recording(f.content(), data)
    x = np.asarray(problem.x0)
    builder = Builder()
    found: list[Value] = []
    for field, function in (("objective", f), ("constraint", c)):
        found.append(
            _tried(
                problem, field,
                lambda function=function: record(builder, function, x, data),
            )
        )  # fmt: skip
    content, arrays = _tried(problem, "constraint", lambda: finish(builder, *found))
    return Recording(content, {**data, **arrays})


def evaluation(problem: Any, x: np.ndarray) -> Evaluation:
    """The judge's own values and derivatives at a point. Raises `InvalidProblem`."""
    content, arrays = recording(problem)
    where = f"{type(problem).__name__}.program"
    try:
        program = read_program(content, arrays, x.size)
        with np.errstate(all="ignore"):
            return evaluate(program, exact(x))
    except Malformed as error:
        raise InvalidProblem(where, "operations of the judge's form", error) from error


def start_values(problem: Any) -> Evaluation:
    """Values and first derivatives at the start."""
    return evaluation(problem, np.asarray(problem.x0))


def _validate_values(problem: Any, found: Evaluation) -> None:
    pairs = (
        ("objective", "f", found.objective, found.gradient),
        ("constraint", "c", found.constraint, found.jacobian),
    )
    for field, letter, value, derivative in pairs:
        for what, ball in ((f"{letter}(x0)", value), (f"{letter}'(x0)", derivative)):
            bad = int(np.sum(~np.isfinite(ball.upper()) | ~np.isfinite(ball.lower())))
            expected = f"finite {what}, smooth around x0"
            got = f"{bad} entries that are not"
            require(problem, field, bad == 0, expected=expected, got=got)
    singular = np.linalg.svd(found.jacobian.mid, compute_uv=False)
    full = singular[-1] > LEAST_SINGULAR * singular[0]
    expected = "a Jacobian of full rank at x0 (move x0, or drop dependent constraints)"
    got = f"sigma_min = {singular[-1]:.1e}, sigma_max = {singular[0]:.1e}"
    require(problem, "constraint", full, expected=expected, got=got)
