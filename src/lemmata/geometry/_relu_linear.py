"""The linear system of the ADMM's u-update, factored once; JAX.

(w F'F + I + G'G) u = r with F = [D_i X .., -D_i X ..] and G'G = blockdiag(X'X).
"""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array


class AbstractLinearSolver(eqx.Module):
    """How the system is solved."""

    @abc.abstractmethod
    def factor(self, inputs: Any, patterns: Any, weight: Any) -> "Factor":
        """The factors at weight w."""


class Factor(eqx.Module):
    """`inverse`: (I + X'X)^-1, (d, d); `lower`: of n x n, or of 2Pd x 2Pd."""

    inverse: Array
    lower: Array
    weight: Array
    dense: bool = eqx.field(static=True)

    def solve(self, inputs: Any, patterns: Any, right: Any) -> Array:
        """U, (2P, d)."""
        if self.dense:
            found = jax.scipy.linalg.cho_solve((self.lower, True), right.reshape(-1))
            return found.reshape(right.shape)
        first = right @ self.inverse
        image = predict(inputs, patterns, first)
        change = jax.scipy.linalg.cho_solve((self.lower, True), image)
        return first - pull(inputs, patterns, change) @ self.inverse


@final
class Woodbury(AbstractLinearSolver):
    """An n x n Cholesky factor; F is never formed. O(n d P + n^2) a step.

    I/w + F blockdiag(B) F' = I/w + 2 (X B X') * (D'D), entry by entry, B = (I+X'X)^-1.
    """

    def factor(self, inputs: Any, patterns: Any, weight: Any) -> Factor:
        d = inputs.shape[1]
        inverse = jnp.linalg.inv(jnp.eye(d) + inputs.T @ inputs)
        active = patterns.astype(inputs.dtype)
        both = 2.0 * (inputs @ inverse @ inputs.T) * (active.T @ active)
        both = both + jnp.eye(inputs.shape[0]) / weight
        return Factor(inverse, jnp.linalg.cholesky(both), jnp.asarray(weight), False)


@final
class DenseCholesky(AbstractLinearSolver):
    """The source's: a Cholesky factor of order 2Pd. O((P d)^2) a step."""

    def factor(self, inputs: Any, patterns: Any, weight: Any) -> Factor:
        d, p = inputs.shape[1], patterns.shape[0]
        active = patterns.astype(inputs.dtype)
        part = jnp.einsum("in,nd->nid", active, inputs).reshape(-1, p * d)
        image = jnp.concatenate([part, -part], axis=1)
        own = jnp.eye(d) + inputs.T @ inputs
        whole = weight * image.T @ image + jnp.kron(jnp.eye(2 * p), own)
        lower = jnp.linalg.cholesky(whole)
        return Factor(jnp.linalg.inv(own), lower, jnp.asarray(weight), True)


def predict(inputs: Any, patterns: Any, u: Any) -> Array:
    """F u, (n,)."""
    p = patterns.shape[0]
    heights = (u[:p] - u[p:]) @ inputs.T
    return jnp.sum(jnp.where(patterns, heights, 0.0), axis=0)


def pull(inputs: Any, patterns: Any, theta: Any) -> Array:
    """F'theta, (2P, d)."""
    found = jnp.where(patterns, theta, 0.0) @ inputs
    return jnp.concatenate([found, -found])


def margins(inputs: Any, patterns: Any, u: Any) -> Array:
    """G u: E_i X u_i of every block, (2P, n)."""
    return signs_of(patterns) * (u @ inputs.T)


def unmargins(inputs: Any, patterns: Any, s: Any) -> Array:
    """G's, (2P, d)."""
    return (signs_of(patterns) * s) @ inputs


def signs_of(patterns: Any) -> Array:
    """E of v and of w, (2P, n)."""
    e = jnp.where(patterns, 1.0, -1.0)
    return jnp.concatenate([e, e])
