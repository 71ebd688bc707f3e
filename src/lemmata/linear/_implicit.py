"""The solution as a differentiable function, by the implicit function theorem.

From A x = b: A dx = db - dA x, one more solve with the same A, whatever iteration found
x; backwards likewise, since A = A^T.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..core import AbstractMethod, AnyArray, InvalidArgument, run
from ._outcomes import CONVERGED


class _Applied(eqx.Module):
    """What a method asks of a problem, with another right-hand side."""

    apply: Callable[[Any], Any]
    rhs: AnyArray
    rtol: Any
    entries: AnyArray
    noise: Callable[[Any], Any]

    @property
    def size(self) -> int:
        return self.rhs.shape[0]

    def diagonal(self) -> Any:
        return self.entries

    def rounding(self, x: Any) -> Any:
        return self.noise(x)


def solution(
    problem: Any, method: AbstractMethod | None = None, *, max_steps: int = 10_000
) -> Array:
    """Solves A x = b, differentiable in b and in the operator's entries.

    **Arguments:**

    - `problem`: an `SPDSystem` or another linear problem, its arrays traced or not;
      sparse entries enter by `SparseMatrix.with_data`.
    - `method`: a compiled one that needs no set-up on the host; a preconditioner that
      does is handed over as `IncompleteCholesky().prepared(problem)`. Defaults to
      `ConjugateGradients()`.
    - `max_steps`: bound on the steps of each solve.

    Works under jit, vmap, jvp and grad inside `jax.enable_x64(True)`. Derivatives are
    solved for to the problem's `rtol` too.

    **Returns:** x, shape (n,); NaN where a solve did not reach `rtol`.

    **Raises:** `InvalidArgument` outside `jax.enable_x64(True)`, and for a method that
    needs the host.
    """
    from ._conjugate_gradients import ConjugateGradients

    method = ConjugateGradients() if method is None else method
    if not isinstance(method, ConjugateGradients) or method.preconditioner.hosted:
        got = f"{method}, which is set up on the host"
        expected = "ConjugateGradients with a prepared preconditioner"
        raise InvalidArgument("solution.method", expected, got)
    fixed = jax.lax.stop_gradient(problem)

    def solve(matvec: Callable[[Array], Array], rhs: Array) -> Array:
        task = _Applied(matvec, rhs, fixed.rtol, fixed.diagonal(), fixed.rounding)
        value, state, _ = run(task, method, max_steps=max_steps)
        good = state.code == CONVERGED
        return jnp.where(good, value.x, jnp.nan)

    rhs = jnp.asarray(problem.rhs)
    return jax.lax.custom_linear_solve(problem.apply, rhs, solve, symmetric=True)
