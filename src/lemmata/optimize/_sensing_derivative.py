"""The recovered matrix as a differentiable function of the measurements."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core import InvalidArgument, run
from ._matrix_sensing import MatrixSensing
from ._scaled_descent import ScaledGradientDescent
from ._sensing_operators import AbstractSensingOperator
from ._sensing_starts import SpectralStart

_NEVER = 1e-300  # rtol of a run that its number of steps ends


def recovered_matrix(
    measurements: Any,
    operator: AbstractSensingOperator,
    *,
    rank: int,
    steps: int = 300,
) -> Array:
    """The matrix of a rank that fits measurements best, near the spectral start.

    A pure function, to be called inside `jax.enable_x64(True)`. Its derivative is
    implicit: with f(L, R) = (c/2) ||A(L R') - y||^2 stationary and J the derivative of
    L R', dM = J H^+ J' cA*(dy), H the Hessian of f; one linear solve by conjugate
    gradients, whatever iteration found L and R.

    **Arguments:**

    - `measurements`: y, shape (m,), consistent or not.
    - `operator`: any sensing operator.
    - `rank`: of the matrix; where the best fit has a lower one, f is degenerate and the
      derivative means nothing.
    - `steps`: scaled gradient steps, all of which are taken.

    **Returns:** shape (n1, n2).
    """
    if not 1 <= rank <= min(operator.shape):
        expected = f"from 1 to {min(operator.shape)}"
        raise InvalidArgument("recovered_matrix.rank", expected, rank)
    scale = operator.scale(operator.count)

    def fit(y: Array) -> tuple[Array, Array]:
        problem = MatrixSensing(operator, y, rtol=_NEVER)
        method = ScaledGradientDescent(
            rank, start=SpectralStart(), check_every=10, patience=10 * steps + 10
        )
        value, _, _ = run(problem, method, max_steps=-(-steps // 10))
        return jnp.asarray(value.left), jnp.asarray(value.right)

    @jax.custom_vjp
    def matrix(y: Array) -> Array:
        left, right = fit(y)
        return left @ right.T

    def forward(y: Array) -> tuple[Array, Any]:
        left, right = fit(y)
        return left @ right.T, (y, left, right)

    def backward(kept: Any, cotangent: Array) -> tuple[Array]:
        y, *factors = kept

        def slope(pair: Any) -> Any:
            _, gradient = operator.residual_and_gradient(
                pair[0] @ pair[1].T, y, operator.count
            )
            return gradient @ pair[1], gradient.T @ pair[0]

        def curvature(direction: Any) -> Any:
            return jax.jvp(slope, (tuple(factors),), (direction,))[1]

        left, right = factors
        rhs = (cotangent @ right, cotangent.T @ left)
        # Consistent, though singular: L S, R S^-T is the same matrix for every S.
        solved, _ = jax.scipy.sparse.linalg.cg(curvature, rhs, tol=1e-13, maxiter=1000)
        moved = solved[0] @ right.T + left @ solved[1].T
        return (scale * operator.apply(moved),)

    matrix.defvjp(forward, backward)
    return matrix(jnp.asarray(measurements))
