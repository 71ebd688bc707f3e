"""Conjugate gradients kept away from a few Ritz vectors, whose part is solved at once.

Source: Saad, Yeung, Erhel and Guyomarc'h, SIAM J. Sci. Comput. 21 (2000), algorithm
3.5; the baseline of Kaneda et al., ICML 2023 (arXiv 2205.10763).
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..core import CONVERGED, AbstractMethod, Outcome, require
from ._outcomes import outcome_of
from ._preconditioner import AbstractPreconditioner, Jacobi
from ._problem import LinearSolution
from ._stopping import Target, look, target_of

_DONE, _INDEFINITE, _STAGNATED = 1, 2, 4  # codes of `outcome_of`


class DeflatedState(eqx.Module):
    """Between two iterations.

    **Fields:** `x`, `residual`, `direction` (n,); `basis` W and `images` A W, (k, n);
    `factor`, Cholesky factor of W A W^T; `energy` r^T M r; `target`; `norm`, `checked`
    and `best` norms; counts; `code`, why it stopped.
    """

    x: Array
    residual: Array
    direction: Array
    basis: Array
    images: Array
    factor: Array
    energy: Array
    preconditioner: Any
    target: Target
    norm: Array
    checked: Array
    best: Array
    best_step: Array
    steps: Array
    code: Array


@final
class DeflatedPCG(AbstractMethod):
    """Preconditioned conjugate gradients, deflated by the lowest Ritz vectors of A.

    **Options:**

    - `vectors`: how many, >= 1.
    - `krylov`: steps of Lanczos' iteration that yields them, each a product with A and
      orthogonalised against all before; None is 8 `vectors`, at most n.
    - `preconditioner`: one that needs no set-up on the host, or a prepared one.
    """

    vectors: int = 16
    krylov: int | None = None
    preconditioner: AbstractPreconditioner = Jacobi()

    def validate(self) -> None:
        count = self.vectors
        require(self, "vectors", count >= 1, expected=">= 1", got=count)
        steps = self.krylov
        enough = steps is None or steps >= count
        require(self, "krylov", enough, expected=f"None or >= {count}", got=steps)
        ready = isinstance(self.preconditioner, AbstractPreconditioner)
        ready = ready and not self.preconditioner.hosted
        expected = "one that is ready: IncompleteCholesky().prepared(problem), ..."
        got = type(self.preconditioner).__name__
        require(self, "preconditioner", ready, expected=expected, got=got)

    def init(self, problem: Any, key: Any) -> DeflatedState:
        return self._start(problem, jnp.zeros(problem.size), key)

    def warm_start(
        self, problem: Any, value: LinearSolution, key: Any
    ) -> DeflatedState:
        return self._start(problem, jnp.asarray(value.x), key)

    def _start(self, problem: Any, x: Array, key: Any) -> DeflatedState:
        target = target_of(jnp.asarray(problem.rhs), problem.rtol)
        basis = self._ritz(problem, key)
        images = jax.vmap(problem.apply)(basis)
        factor = jnp.linalg.cholesky(basis @ images.T)
        residual = target.rhs - problem.apply(x / target.scale)
        share = _solve(factor, basis @ residual)
        x, residual = x / target.scale + share @ basis, residual - share @ images
        precondition = self.preconditioner.prepare(problem)
        z = precondition(residual)
        norm, none = jnp.linalg.norm(residual), jnp.zeros((), jnp.int64)
        return DeflatedState(
            x=x,
            residual=residual,
            direction=z - _solve(factor, images @ z) @ basis,
            basis=basis,
            images=images,
            factor=factor,
            energy=residual @ z,
            preconditioner=precondition,
            target=target,
            norm=norm,
            checked=jnp.asarray(jnp.inf),
            best=norm,
            best_step=none,
            steps=none,
            code=jnp.where(norm > 0, none, _DONE),
        )

    def _ritz(self, problem: Any, key: Any) -> Array:
        """The lowest Ritz vectors, (vectors, n), orthonormal."""
        n = problem.size
        steps = min(n, 8 * self.vectors if self.krylov is None else self.krylov)
        first = problem.apply(jax.random.normal(key, (n,)))
        basis = jnp.zeros((steps, n)).at[0].set(first / jnp.linalg.norm(first))

        def extend(k: Array, basis: Array) -> Array:
            image = problem.apply(basis[k])
            for _ in range(2):
                image = image - (basis @ image) @ basis
            length = jnp.linalg.norm(image)
            # An exhausted space ends here: the rows that follow stay zero.
            unit = jnp.where(length > 1e-12 * first_norm, image / length, 0.0)
            return basis.at[k + 1].set(unit)

        first_norm = jnp.linalg.norm(problem.apply(basis[0]))
        basis = jax.lax.fori_loop(0, steps - 1, extend, basis)
        images = jax.vmap(problem.apply)(basis)
        small = basis @ images.T
        # Zero rows must not look like low modes.
        idle = jnp.linalg.norm(basis, axis=1) == 0
        small = 0.5 * (small + small.T) + jnp.diag(jnp.where(idle, 1e300, 0.0))
        _, rotation = jnp.linalg.eigh(small)
        return rotation[:, : min(self.vectors, steps)].T @ basis

    def step(self, problem: Any, state: DeflatedState) -> DeflatedState:
        image = problem.apply(state.direction)
        curvature = state.direction @ image
        broken = ~(curvature > 0)
        alpha = jnp.where(broken, 0.0, state.energy / jnp.where(broken, 1.0, curvature))
        x = state.x + alpha * state.direction
        residual = state.residual - alpha * image
        near = jnp.linalg.norm(residual) <= state.target.bound
        found = look(problem, state.target, x, residual, state.checked, near)
        residual, steps = found.residual, state.steps + 1
        z = state.preconditioner(residual)
        energy = residual @ z
        turn = _solve(state.factor, state.images @ z) @ state.basis
        beta = jnp.where(found.drifted, 0.0, energy / state.energy)
        improved = found.norm < 0.9 * state.best
        best_step = jnp.where(improved, steps, state.best_step)
        idle = steps - best_step > 10 * problem.size + 200
        code = jnp.where(found.lost | idle, _STAGNATED, 0)
        code = jnp.where(broken, _INDEFINITE, code)
        code = jnp.where(found.good, _DONE, code)
        return DeflatedState(
            x=x,
            residual=residual,
            direction=z - turn + beta * state.direction,
            basis=state.basis,
            images=state.images,
            factor=state.factor,
            energy=energy,
            preconditioner=state.preconditioner,
            target=state.target,
            norm=found.norm,
            checked=jnp.where(found.looked, found.norm, state.checked),
            best=jnp.where(improved, found.norm, state.best),
            best_step=best_step,
            steps=steps,
            code=code,
        )

    def done(self, problem: Any, state: DeflatedState) -> Array:
        del problem
        return (state.code != 0) | ~jnp.isfinite(state.norm)

    def finish(self, problem: Any, state: DeflatedState) -> LinearSolution:
        del problem
        return LinearSolution(state.x * state.target.scale)

    def observe(self, problem: Any, state: DeflatedState) -> dict[str, Array]:
        del problem
        return {"residual": state.norm / state.target.norm}

    def outcome(self, problem: Any, state: DeflatedState) -> Outcome:
        code = int(state.code)
        return CONVERGED if code == _DONE else outcome_of(code, problem, state)

    def citations(self) -> tuple[str, ...]:
        return ("saad2000deflated", *self.preconditioner.citations())


def _solve(factor: Array, rhs: Array) -> Array:
    """(L L^T)^{-1} rhs."""
    return jax.scipy.linalg.cho_solve((factor, True), rhs)
