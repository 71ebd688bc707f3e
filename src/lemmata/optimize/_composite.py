"""Smooth loss plus separable penalty: the problem, and how far an answer may be off.

Source: Nutini, Laradji and Schmidt, JMLR 23 (2022), section 2; duality gaps as in
Ndiaye, Fercoq, Gramfort and Salmon, JMLR 18 (2017).
"""

from typing import Any, Self, final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64

from lemmata_checker import Packed
from lemmata_checker.case import Case

from ..core import (
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
)
from ._losses import AbstractDesignLoss, AbstractLoss, Quadratic
from ._penalties import AbstractPenalty, Unpenalised

_FLOOR = 1e-250  # promised where the scale is zero: the answer is then exact
_REACHED = 0.5  # of the promise, at which a method may stop
_STATIONARY = 1e-11  # or at this share of the first residual


@final
class CompositeMinimiser(AbstractValue):
    """An answer x.

    **Fields:**

    - `coefficients`: x, (n,); for `Softmax` by rows, coordinate f * classes + c.
    - `stated`: the support that a file states, (n,) of bool; None: where x is not zero.
    """

    coefficients: Float64[AnyArray, " n"]
    stated: Bool[AnyArray, " n"] | None = None

    def pack(self) -> dict[str, np.ndarray]:
        x = np.ascontiguousarray(self.coefficients, dtype="<f8")
        return {"coefficients": x, "support": self.mask}

    @property
    def mask(self) -> np.ndarray:
        """Which coordinates are said not to be zero, (n,) of bool."""
        stated = self.stated
        given = np.asarray(self.coefficients) != 0 if stated is None else stated
        return np.asarray(given)

    @property
    def support(self) -> np.ndarray:
        """Coordinates that are not exactly zero."""
        return np.flatnonzero(self.mask)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.coefficients, dtype=dtype)


@final
class CompositeProblem(AbstractProblem):
    """min F(x) = f(x) + sum_i g_i(x_i).

    **Fields:**

    - `loss`: f, such as `LeastSquares(design, target)`.
    - `penalty`: g, such as `L1(strength)`.
    - `gap_tol`: the answer is good if F(x) - min F <= gap_tol * scale. The scale is
      F at the admissible point nearest to zero (||y||^2 / 2, m log 2, m log classes
      where 0 is admissible), since no such F is negative; for `Quadratic`, which has no
      natural zero, it is what one step from there by the diagonal bound gains.
    - `stationarity_tol`: also asks for a stationary point, to this share of the first
      residual; None asks for it, at 1e-6, only where no gap can be shown.
    - `curvature`: estimate of the least eigenvalue of the Hessian, for methods to stop
      by; made here where duality alone gives no bound. No claim rests on it.

    **Raises:** `InvalidProblem`.
    """

    loss: AbstractLoss
    penalty: AbstractPenalty
    gap_tol: Any
    stationarity_tol: Any
    curvature: Any

    def __init__(
        self,
        loss: Any,
        penalty: Any = None,
        *,
        gap_tol: Any = 1e-8,
        stationarity_tol: Any = None,
        curvature: Any = None,
    ):
        self.loss = loss
        self.penalty = Unpenalised() if penalty is None else penalty
        self.gap_tol, self.stationarity_tol = gap_tol, stationarity_tol
        self.curvature = 0.0 if curvature is None else curvature
        if curvature is None:
            from ._composite_checks import curvature_estimate, sound

            if sound(self):
                self.curvature = curvature_estimate(self)

    def validate(self) -> None:
        from ._composite_checks import validate

        validate(self)

    def pack(self) -> Packed:
        from ._composite_packed import pack

        return pack(self)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        from ._composite_packed import unpack

        names = ("gap_tol", "stationarity_tol")
        given = {name: parameters.get(name) for name in names}
        tolerances = {name: tol for name, tol in given.items() if tol is not None}
        return cls(*unpack(dict(parameters), dict(arrays)), **tolerances)

    def default_method(self) -> Any:
        from ._block_coordinate import BlockCoordinateDescent
        from ._partitions import VariableBlocks

        n = self.loss.variables
        blocks = VariableBlocks(min(128, n), largest=min(2048, n))
        return BlockCoordinateDescent(blocks)

    # What methods stop by; inside the driver. -----------------------------------

    def objective(self, x: Any, image: Any) -> Array:
        """F(x), bounds taken for granted."""
        return self.loss.value(x, image) + self.penalty.value(x)

    def reference(self) -> tuple[Array, Array]:
        """(scale of F, size of the first residual), made once per run."""
        loss, x = self.loss, self.penalty.start(self.loss.variables)
        image = loss.image(x)
        gradient = loss.gradient(x, image)
        first = jnp.max(self.penalty.residual(x, gradient))
        if isinstance(loss, Quadratic):
            gained, _ = self.penalty.decrease(x, gradient, loss.row_bounds())
            return jnp.sum(gained), first
        return self.objective(x, image), first

    def gap(self, x: Any, image: Any, gradient: Any) -> Array:
        """Upper bound on F(x) - min F, infinite where none is cheap.

        The better of two dual points: theta = -grad phi(A x) as it is, where convexity
        bounds the conjugate penalty, and scaled until it is feasible.
        """
        loss, penalty = self.loss, self.penalty
        whole = penalty.separable_gap(x, gradient, self._convexity())
        best = jnp.sum(whole)
        if isinstance(loss, AbstractDesignLoss):
            ridge = jnp.asarray(loss.ridge(), jnp.float64)
            pull = ridge * x - gradient  # A^T theta
            scale = self._feasible(pull, ridge)
            scaled = penalty.separable_gap(x, ridge * x - scale * pull, ridge)
            cost = jnp.square(1.0 - scale) * loss.dual_room(image)
            best = jnp.minimum(best, cost + jnp.sum(scaled))
        return best

    def _convexity(self) -> Any:
        if isinstance(self.loss, AbstractDesignLoss):
            return self.curvature + jnp.asarray(self.loss.ridge(), jnp.float64)
        return self.curvature

    def _feasible(self, pull: Array, ridge: Array) -> Array:
        """The largest s <= 1 with s A^T theta where the conjugate penalty is finite."""
        strength, lower, upper = self.penalty.at()
        needs = (jnp.sign(pull) > 0) & jnp.isinf(upper)
        needs = (needs | ((pull < 0) & jnp.isinf(lower))) & (ridge == 0)
        size = jnp.where(needs, jnp.abs(pull), 0.0)
        ratio = jnp.where(size > strength, strength / jnp.where(size > 0, size, 1.0), 1)
        return jnp.min(ratio) * (1.0 - 1e-14)

    def optimality(
        self, x: Any, image: Any, gradient: Any, reference: tuple[Any, Any]
    ) -> Array:
        """At most 1 where a method may stop: by the gap, or as stationary as it gets.

        **Arguments:** x, its image and gradient, and `reference()`.
        """
        scale, first = reference
        promise = jnp.maximum(_REACHED * self.gap_tol * scale, _FLOOR)
        residual = jnp.max(self.penalty.residual(x, gradient))
        still = residual / jnp.maximum(_STATIONARY * first, _FLOOR)
        reached = self.gap(x, image, gradient) / promise
        if self.stationarity_tol is not None:
            asked = jnp.maximum(_REACHED * self.stationarity_tol * first, _FLOOR)
            reached = jnp.maximum(reached, residual / asked)
        return jnp.minimum(reached, still)

    # What an answer is worth; on the host. --------------------------------------

    def promise(self) -> float:
        """gap_tol * scale, in units of F."""
        from ._composite_reference import host_scale

        return max(float(self.gap_tol) * host_scale(self), _FLOOR)

    def claims(self, value: Any) -> tuple[Claim | Withheld, ...]:
        return self.claims_in(Case(self.pack(), value.pack()), value)

    def claims_in(self, case: Case, value: Any) -> tuple[Claim | Withheld, ...]:
        from ._composite_claims import claims

        return claims(self, case, np.asarray(value.coefficients))

    def candidate(self, *, coefficients: Any) -> CompositeMinimiser:
        """An answer from elsewhere: x, (n,), or (features, classes) for `Softmax`.

        Rounded zeros stay what they are: support is claimed for exact ones alone.
        """
        x = array64(coefficients)
        x = np.reshape(x, -1) if np.size(x) == self.loss.variables else x
        expected = f"shape ({self.loss.variables},)"
        if np.shape(x) != (self.loss.variables,) or x.dtype != np.float64:
            raise InvalidArgument("candidate.coefficients", expected, np.shape(x))
        if not np.all(np.isfinite(x)):
            got = f"{int(np.sum(~np.isfinite(x)))} not finite"
            raise InvalidArgument("candidate.coefficients", "finite entries", got)
        return CompositeMinimiser(x)

    def value_from(self, arrays: dict[str, np.ndarray]) -> CompositeMinimiser:
        return CompositeMinimiser(arrays["coefficients"], arrays.get("support"))
