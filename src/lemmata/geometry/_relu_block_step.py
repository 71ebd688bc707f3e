"""How one block of u moves in the randomised u-update.

Source: Bai, Gautam and Sojoudi (2023), section 4.1; the constants of `Backtracking` are
those of the authors' trainer.
"""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ._relu_admm_state import Split


class AbstractBlockStep(eqx.Module):
    """How one block of u moves."""

    @abc.abstractmethod
    def start(self) -> Array:
        """What the rule remembers from block to block."""

    @abc.abstractmethod
    def move(self, view: "Block", gradient: Array, memory: Array) -> tuple:
        """(change of the block, its predictions, decrease, memory)."""


@final
class ClosedForm(AbstractBlockStep):
    """The minimiser of a quadratic upper bound, whose Hessian all blocks share.

    (c + rho) X'X + rho I, c the loss's largest curvature: never increases.
    """

    def start(self) -> Array:
        return jnp.asarray(1.0)

    def move(self, view: "Block", gradient: Array, memory: Array) -> tuple:
        change = -(view.inverse @ gradient)
        image, value = view.tried(change)
        return change, image, view.value - value, memory


@final
class Backtracking(AbstractBlockStep):
    """Gradient steps of a length that is searched for, as the authors' trainer does.

    **Options:** `first` step, `armijo` constant, `shrink` while it is refused, `grow`
    of the base step after each block, `back` of it after a refusal, `least` step.
    """

    first: Any = 2e-4
    armijo: Any = 1e-3
    shrink: Any = 2.5
    grow: Any = 1.05
    back: Any = 1.5
    least: Any = 1e-8

    def start(self) -> Array:
        return jnp.asarray(self.first, jnp.float64)

    def move(self, view: "Block", gradient: Array, memory: Array) -> tuple:
        square = gradient @ gradient

        def refused(carry):
            step, tries = carry
            _, value = view.tried(-step * gradient)
            good = value <= view.value - self.armijo * step * square
            return ~good & (step > self.least) & (tries < 40)

        def shorter(carry):
            step, tries = carry
            return step / self.shrink, tries + 1

        step, tries = jax.lax.while_loop(refused, shorter, (memory, 0))
        change = -step * gradient
        image, value = view.tried(change)
        better = value < view.value
        change = jnp.where(better, change, 0.0)
        image = jnp.where(better, image, view.image)
        base = jnp.where(tries > 0, memory / self.back, memory * self.grow)
        decrease = jnp.maximum(view.value - value, 0.0)
        return change, image, decrease, jnp.maximum(base, self.least)


class Block(eqx.Module):
    """One block as a step sees it; `tried(change)` is (F u, value)."""

    problem: Any
    state: Split
    block: Array
    image: Array
    value: Array
    inverse: Array
    signs: Array

    @staticmethod
    def of(problem: Any, state: Split, block: Array, image: Array, inverse: Array):
        p = problem.patterns.shape[0]
        e = jnp.where(problem.patterns[block % p], 1.0, -1.0)
        view = Block(problem, state, block, image, jnp.asarray(0.0), inverse, e)
        _, value = view.tried(jnp.zeros(problem.inputs.shape[1]))
        return eqx.tree_at(lambda v: v.value, view, value)

    def _sign(self) -> Array:
        p = self.problem.patterns.shape[0]
        return jnp.where(self.block < p, 1.0, -1.0)

    def tried(self, change: Array) -> tuple[Array, Array]:
        at, i, rho = self.state, self.block, self.state.penalty
        v = at.u[i] + change
        moved = self.problem.inputs @ change
        image = self.image + self._sign() * jnp.where(self.signs > 0, moved, 0.0)
        off = v - at.z[i] + at.lam[i]
        gap = self.signs * (self.problem.inputs @ v) - at.s[i] + at.nu[i]
        quadratic = 0.5 * rho * (off @ off + gap @ gap)
        return image, _data_value(self.problem, at, image) + quadratic

    def gradient(self) -> Array:
        at, i, rho = self.state, self.block, self.state.penalty
        v, x = at.u[i], self.problem.inputs
        pull = jnp.where(self.signs > 0, _data_slope(self.problem, at, self.image), 0.0)
        gap = self.signs * (x @ v) - at.s[i] + at.nu[i]
        own = v - at.z[i] + at.lam[i] + x.T @ (self.signs * gap)
        return self._sign() * (x.T @ pull) + rho * own


def _data_value(problem: Any, at: Split, image: Array) -> Array:
    """The loss of F u; for the hinge, rho |F u - f + pi|^2 / 2 with the copy f."""
    if problem.loss == "hinge":
        return 0.5 * at.penalty * jnp.sum((image - at.f + at.pi) ** 2)
    return problem.criterion.value(image, problem.targets, jnp)


def _data_slope(problem: Any, at: Split, image: Array) -> Array:
    if problem.loss == "hinge":
        return at.penalty * (image - at.f + at.pi)
    return -problem.criterion.dual_point(image, problem.targets, jnp)
