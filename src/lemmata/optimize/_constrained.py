"""Smooth minimisation under equality constraints: the problem and its answers.

Source: the setting of Hong, Na, Mahoney and Kolar, ICML 2023 (arXiv 2305.18379).
"""

from collections.abc import Callable, Mapping
from typing import Any, final

import jax
import numpy as np
from jaxtyping import Float64

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
)

Real = float | jax.Array


class ConstrainedPoint(AbstractValue):
    """A point and its multipliers.

    **Fields:** `x`, shape `(n,)`; `multipliers`, shape `(m,)`, of L = f + lambda^T c.
    """

    x: Float64[AnyArray, " n"]
    multipliers: Float64[AnyArray, " m"]

    def pack(self) -> dict[str, np.ndarray]:
        return {
            "point": np.asarray(self.x, dtype="<f8"),
            "multipliers": np.asarray(self.multipliers, dtype="<f8"),
        }

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.x, dtype=dtype, copy=copy)


@final
class EqualityConstrained(AbstractProblem):
    """min f(x) subject to c(x) = 0, f and c twice differentiable, not nec. convex.

    **Fields:**

    - `objective`: f, a function `(n,) -> ()` that JAX can trace; with `data`, a
      function of `(x, data)`.
    - `constraint`: c, a function `(n,) -> (m,)`, 1 <= m <= n; or of `(x, data)`.
    - `x0`: start, shape `(n,)`, float64; the Jacobian of c has full rank there.
    - `multipliers0`: start of the multipliers of L = f + lambda^T c, shape `(m,)`.
    - `data`: named arrays that f and c read. They travel with the problem under their
      names; a derivative of the solution can be taken in them.
    - `kkt_tol`: promised bound on max(|grad f + G^T lambda| / max(1, |grad f|), |c|),
      maximum norms, > 0.
    - `gap_tol`: promised enclosure of the global minimum, relative to max(1, |f|),
      where it can be enclosed at all; > 0.

    **Raises:** `InvalidProblem`.
    """

    objective: Callable[..., Any]
    constraint: Callable[..., Any]
    x0: Float64[AnyArray, " n"]
    multipliers0: Float64[AnyArray, " m"] | None
    data: dict[str, AnyArray]
    kkt_tol: Real
    gap_tol: Real

    def __init__(
        self,
        objective: Callable[..., Any],
        constraint: Callable[..., Any],
        x0: Any,
        multipliers0: Any = None,
        *,
        data: Mapping[str, Any] | None = None,
        kkt_tol: Real = 1e-6,
        gap_tol: Real = 1e-8,
    ):
        self.objective, self.constraint = objective, constraint
        self.x0 = array64(x0)
        self.data = {name: _data(name, a) for name, a in (data or {}).items()}
        self.kkt_tol, self.gap_tol = kkt_tol, gap_tol
        self.multipliers0 = None if multipliers0 is None else array64(multipliers0)
        if multipliers0 is None:
            self.multipliers0 = np.zeros(_shape_of(self)[:1])

    def f(self, x: Any) -> Any:
        """The objective, shape `()`; inside the driver."""
        return self.objective(x, self.data) if self.data else self.objective(x)

    def c(self, x: Any) -> Any:
        """The constraints, shape `(m,)`; inside the driver."""
        return self.constraint(x, self.data) if self.data else self.constraint(x)

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of variables and of constraints, (n, m)."""
        return int(np.size(self.x0)), 0 if self.multipliers0 is None else int(
            np.size(self.multipliers0)
        )

    def validate(self) -> None:
        from ._constrained_checks import validate

        validate(self)

    def pack(self) -> Packed:
        from ._constrained_checks import recording

        content, arrays = recording(self)
        parameters = {
            "program": content,
            "kkt_tol": float(self.kkt_tol),
            "gap_tol": float(self.gap_tol),
        }
        starts = {"x0": self.x0, "multipliers0": self.multipliers0}
        arrays = {**arrays, **{k: np.asarray(v, "<f8") for k, v in starts.items()}}
        return Packed("optimize.equality_constrained/1", parameters, arrays)

    @classmethod
    def unpack(
        cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> "EqualityConstrained":
        """Inverse of `pack`; `program` may also name a problem: HS7, pde, logistic."""
        from ._named_programs import content_of, named_program
        from ._recorded import recorded_functions

        parameters, arrays = dict(parameters), dict(arrays)
        if isinstance(parameters.get("program"), str):
            parameters["program"] = content_of(parameters["program"])
        if isinstance(parameters.get("program"), str):
            return named_program(parameters.pop("program"), arrays, parameters)
        starts = {k: arrays.pop(k, None) for k in ("x0", "multipliers0")}
        functions = recorded_functions(parameters.pop("program"))
        return cls(*functions, **starts, data=arrays, **parameters)

    def claims(self, value: Any) -> tuple[Claim | Withheld, ...]:
        from ._constrained_claims import claims

        return claims(self, value)

    def candidate(self, *, x: Any, multipliers: Any = None) -> ConstrainedPoint:
        """A value from elsewhere.

        **Arguments:**

        - `x`: the point, shape `(n,)`.
        - `multipliers`: shape `(m,)`; None: those of least squares for x.

        **Raises:** `InvalidArgument` if a shape does not fit.
        """
        from ._constrained_claims import least_squares_multipliers

        x = array64(x)
        _fits("candidate.x", x, np.shape(self.x0))
        if multipliers is None:
            multipliers = least_squares_multipliers(self, x)
        multipliers = array64(multipliers)
        _fits("candidate.multipliers", multipliers, self.sizes[1:])
        return ConstrainedPoint(x, multipliers)

    def value_from(self, arrays: dict[str, np.ndarray]) -> ConstrainedPoint:
        return ConstrainedPoint(arrays["point"], arrays["multipliers"])

    def default_method(self) -> Any:
        from ._sketched_newton import SketchedNewton

        return SketchedNewton()


def _data(name: Any, array: Any) -> Any:
    """As float64; a recorded program's own index arrays stay as they are."""
    return array if str(name).startswith("index_") else array64(array)


def _fits(where: str, array: Any, shape: tuple[int, ...]) -> None:
    good = getattr(array, "shape", None) == shape and array.dtype == np.float64
    if not good:
        got = f"{getattr(array, 'dtype', type(array).__name__)}, {np.shape(array)}"
        raise InvalidArgument(where, f"real numbers of shape {shape}", got)


def _shape_of(problem: EqualityConstrained) -> tuple[int, ...]:
    """Shape of c(x), or (0,) where it cannot be told; `validate` then says why."""
    try:
        with jax.enable_x64(True):
            return jax.eval_shape(problem.c, problem.x0).shape
    except Exception:  # the user's own code: anything can come out of it
        return (0,)
