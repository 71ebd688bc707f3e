"""The Lagrangian and the exact augmented Lagrangian: values, derivatives, counts.

Source: Di Pillo and Grippo, SIAM J. Control Optim. 17 (1979), for the merit function;
its gradient takes the Hessian of the Lagrangian, not that of the objective.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64, Int64


class Counts(eqx.Module):
    """Evaluations so far.

    **Fields:** `objective`, `constraint`: values of f and of c; `gradient`: gradients
    of f + lambda^T c, one reverse pass each; `jacobian`, `hessian`: matrices G and H,
    as `hessian_products` products each where they are not stored.
    """

    objective: Int64[Array, ""]
    constraint: Int64[Array, ""]
    gradient: Int64[Array, ""]
    jacobian: Int64[Array, ""]
    hessian: Int64[Array, ""]

    @classmethod
    def none(cls) -> "Counts":
        """Nothing evaluated yet."""
        zero = jnp.zeros((), jnp.int64)
        return cls(zero, zero, zero, zero, zero)

    def more(
        self,
        *,
        values: Any = 0,
        gradients: Any = 0,
        jacobians: Any = 0,
        hessians: Any = 0,
    ) -> "Counts":
        """With so many more; `values` counts f and c once each."""
        return Counts(
            self.objective + values,
            self.constraint + values,
            self.gradient + gradients,
            self.jacobian + jacobians,
            self.hessian + hessians,
        )


class FirstOrder(eqx.Module):
    """f, c, and the gradient of L in x, at one (x, lambda)."""

    objective: Float64[Array, ""]
    constraint: Float64[Array, " m"]
    gradient: Float64[Array, " n"]

    @property
    def residual(self) -> Array:
        """The Euclidean norm of (grad_x L, c)."""
        return jnp.sqrt(
            self.gradient @ self.gradient + self.constraint @ self.constraint
        )


def first_order(problem: Any, x: Array, multipliers: Array) -> FirstOrder:
    """One value of f and of c, and one reverse pass."""

    def values(x: Array) -> tuple[Array, Array]:
        return problem.f(x), problem.c(x)

    (objective, constraint), pull = jax.vjp(values, x)
    (gradient,) = pull((jnp.ones_like(objective), multipliers))
    return FirstOrder(objective, constraint, gradient)


def jacobian(problem: Any, x: Array) -> Array:
    """G = dc/dx, shape (m, n)."""
    return jax.jacrev(problem.c)(x)


def lagrangian_gradient(problem: Any, multipliers: Array) -> Any:
    """The function x -> grad f(x) + G(x)^T lambda."""
    return jax.grad(lambda x: problem.f(x) + multipliers @ problem.c(x))


def hessian(problem: Any, x: Array, multipliers: Array) -> Array:
    """H, the Hessian of the Lagrangian in x, shape (n, n), symmetric."""
    found = jax.jacfwd(lagrangian_gradient(problem, multipliers))(x)
    return 0.5 * (found + found.T)


def merit(at: FirstOrder, multipliers: Array, eta1: Array, eta2: Array) -> Array:
    """L_eta = L + (eta1 / 2) ||c||^2 + (eta2 / 2) ||grad_x L||^2."""
    c, gradient = at.constraint, at.gradient
    penalty = eta1 * (c @ c) + eta2 * (gradient @ gradient)
    return at.objective + multipliers @ c + 0.5 * penalty


def merit_size(at: FirstOrder, multipliers: Array, eta1: Array, eta2: Array) -> Array:
    """The sum of the sizes of the terms of `merit`: the scale of its rounding."""
    c, gradient = at.constraint, at.gradient
    penalty = eta1 * (c @ c) + eta2 * (gradient @ gradient)
    return jnp.abs(at.objective) + jnp.abs(multipliers) @ jnp.abs(c) + 0.5 * penalty


class MeritParts(eqx.Module):
    """H grad_x L, G^T c and G grad_x L: the merit's gradient at any eta."""

    curved: Float64[Array, " n"]
    pulled: Float64[Array, " n"]
    pushed: Float64[Array, " m"]


def merit_parts(problem: Any, x: Array, multipliers: Array, at: FirstOrder):
    """One Hessian product, one product with G^T and one with G."""
    gradient = lagrangian_gradient(problem, multipliers)
    _, curved = jax.jvp(gradient, (x,), (at.gradient,))
    _, pushed = jax.jvp(problem.c, (x,), (at.gradient,))
    (pulled,) = jax.vjp(problem.c, x)[1](at.constraint)
    return MeritParts(curved, pulled, pushed)


def merit_gradient(
    at: FirstOrder, parts: MeritParts, eta1: Array, eta2: Array
) -> Array:
    """(grad_x L + eta2 H grad_x L + eta1 G^T c ; c + eta2 G grad_x L)."""
    along_x = at.gradient + eta2 * parts.curved + eta1 * parts.pulled
    along_multipliers = at.constraint + eta2 * parts.pushed
    return jnp.concatenate([along_x, along_multipliers])
