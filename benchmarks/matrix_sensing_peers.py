"""What one would write without lemmata: optax, SciPy, a plain JAX loop, cvxpy."""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize

from lemmata.optimize import LowRank, MatrixSensing


class Answer(NamedTuple):
    """Factors, and whether the library called it a success (None: it is mute)."""

    value: LowRank
    success: bool | None = None


def start(problem: MatrixSensing, width: int, scale: float, ratio: float) -> tuple:
    """Small normal factors, as ours."""
    n1, n2 = problem.operator.shape
    rng = np.random.default_rng(0)
    left = scale * rng.normal(size=(n1, width))
    return left, ratio * scale * rng.normal(size=(n2, width))


def loss_of(problem: MatrixSensing) -> Callable[[Any], Any]:
    """(c/2) ||A(L R') - y||^2 over the rows that methods see."""
    operator, y, used = problem.operator, problem.measurements, problem.used

    def loss(factors: Any) -> Any:
        r = (operator.apply(factors[0] @ factors[1].T) - y)[:used]
        return 0.5 * operator.scale(used) * jnp.sum(r * r)

    return loss


def optax_answer(
    problem: MatrixSensing, optimizer: Any, steps: int, factors: Any
) -> Answer:
    """`steps` updates of an optax optimiser, compiled as one loop."""
    with jax.enable_x64(True):
        gradient = jax.grad(loss_of(problem))

        @jax.jit
        def all_steps(factors: Any) -> Any:
            def step(_: Any, carry: Any) -> Any:
                factors, state = carry
                updates, state = optimizer.update(gradient(factors), state)
                return optax.apply_updates(factors, updates), state

            carry = (factors, optimizer.init(factors))
            return jax.lax.fori_loop(0, steps, step, carry)[0]

        left, right = all_steps(jax.tree.map(jnp.asarray, factors))
        return Answer(LowRank(np.asarray(left), np.asarray(right)))


def scipy_answer(problem: MatrixSensing, evaluations: int, factors: Any) -> Answer:
    """L-BFGS on the same loss, with its own stopping rule and its own word for it."""
    left, right = factors
    with jax.enable_x64(True):
        loss = loss_of(problem)

        def split(x: Any) -> Any:
            cut = left.size
            return x[:cut].reshape(left.shape), x[cut:].reshape(right.shape)

        both = jax.jit(jax.value_and_grad(lambda x: loss(split(x))))
        x = np.concatenate([left.reshape(-1), right.reshape(-1)])
        found = scipy.optimize.minimize(
            lambda x: tuple(np.asarray(v) for v in both(x)),
            x,
            jac=True,
            method="L-BFGS-B",
            options={"maxfun": evaluations, "maxiter": evaluations},
        )
    return Answer(LowRank(*split(found.x)), bool(found.success))


def plain_loop(problem: MatrixSensing, length: float) -> Callable[[Any, Any], Any]:
    """Asymmetric descent as one would write it in JAX, with a stopping rule."""
    operator, y, used = problem.operator, problem.measurements, problem.used
    scale, size = operator.scale(used), np.linalg.norm(y[:used])

    @jax.jit
    def loop(factors: Any, steps: Any) -> Any:
        def unfinished(carry: Any) -> Any:
            return (carry[3] < steps) & (carry[2] > 1e-14)

        def step(carry: Any) -> Any:
            left, right, _, count = carry
            r = operator.apply(left @ right.T) - y
            slope = scale * operator.adjoint(r)
            new = left - length * (slope @ right)
            other = right - length * (slope.T @ left)
            return new, other, jnp.sqrt(jnp.sum(r * r)) / size, count + 1

        carry = (*factors, jnp.asarray(jnp.inf), jnp.asarray(0))
        return jax.lax.while_loop(unfinished, step, carry)

    return loop


def cvxpy_answer(problem: MatrixSensing) -> Answer | None:
    """min ||M||_* subject to A(M) = y; None where cvxpy is not installed."""
    if importlib.util.find_spec("cvxpy") is None:
        return None
    import cvxpy

    n1, n2 = problem.operator.shape
    rows = np.asarray(problem.operator.stored)[: problem.used]
    matrix = cvxpy.Variable((n1, n2))
    seen = rows @ cvxpy.vec(matrix, order="C") == problem.measurements[: problem.used]
    program = cvxpy.Problem(cvxpy.Minimize(cvxpy.normNuc(matrix)), [seen])
    program.solve()
    said = program.status == cvxpy.OPTIMAL
    return Answer(LowRank.of(matrix.value), said)
