"""Baselines: back-propagation, and adversarial training by attacks on the samples.

Sources: Goodfellow, Shlens and Szegedy (2015), the single sign step; Madry, Makelov,
Schmidt, Tsipras and Vladu (2018), projected steps.
"""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from ..core import AbstractMethod, float64, require, to_jax
from ._relu_network import ReLUNetwork
from ._robust_convex_relu import RobustConvexReLU, attacked


class TrainingState(eqx.Module):
    hidden: Array
    output: Array
    optimizer: Any
    steps: Array
    loss: Array
    key: Any


class AbstractAttack(eqx.Module):
    """Finds shifts of the samples that raise the loss."""

    @abc.abstractmethod
    def shifts(self, problem: RobustConvexReLU, network: Any, key: Any) -> Array:
        """(n, d), inside the balls."""


@final
class FGSM(AbstractAttack):
    """One full step along the sign of the gradient (along the gradient for l2)."""

    def shifts(self, problem: RobustConvexReLU, network: Any, key: Any) -> Array:
        del key
        slope = _slope(problem, network, jnp.zeros_like(problem.inputs))
        return _stepped(problem, jnp.zeros_like(problem.inputs), slope, problem.radius)


@final
class PGD(AbstractAttack):
    """Projected steps from a random start.

    **Options:** `steps`, >= 1; `share` of the radius that each step goes, > 0.
    """

    steps: int = eqx.field(static=True, default=20)
    share: Any = 0.125

    def shifts(self, problem: RobustConvexReLU, network: Any, key: Any) -> Array:
        radius = problem.radius
        start = jax.random.uniform(
            key, problem.inputs.shape, jnp.float64, -radius, radius
        )
        start = _projected(problem, start)

        def once(_, shift):
            slope = _slope(problem, network, shift)
            return _stepped(problem, shift, slope, self.share * radius)

        return jax.lax.fori_loop(0, self.steps, once, start)


def _slope(problem: Any, network: Any, shift: Any) -> Array:
    hidden, output = network
    return jax.grad(lambda s: attacked(problem, hidden, output, s))(shift)


def _stepped(problem: Any, shift: Any, slope: Any, length: Any) -> Array:
    slope = jnp.where(problem.perturbed_columns, slope, 0.0)
    if problem.ball == "linf":
        return _projected(problem, shift + length * jnp.sign(slope))
    size = jnp.sqrt(jnp.sum(slope * slope, axis=1, keepdims=True))
    unit = slope / jnp.where(size > 0, size, 1.0)
    return _projected(problem, shift + length * unit)


def _projected(problem: Any, shift: Any) -> Array:
    shift = jnp.where(problem.perturbed_columns, shift, 0.0)
    if problem.ball == "linf":
        return jnp.clip(shift, -problem.radius, problem.radius)
    size = jnp.sqrt(jnp.sum(shift * shift, axis=1, keepdims=True))
    return shift * jnp.minimum(1.0, problem.radius / jnp.where(size > 0, size, 1.0))


class _Trainer(eqx.Module):
    """Full-batch Adam on loss and decay: what both baselines do."""

    width: int = eqx.field(static=True)
    learning_rate: Any
    steps: int = eqx.field(static=True)

    def rule(self) -> Any:
        return optax.adam(self.learning_rate)

    def start(self, problem: Any, key: Any) -> TrainingState:
        d = problem.inputs.shape[1]
        draw, key = jax.random.split(key)
        first, second = jax.random.split(draw)
        hidden = jax.random.normal(first, (self.width, d), jnp.float64) / d**0.5
        output = jax.random.normal(second, (self.width,), jnp.float64)
        output = output / self.width**0.5
        rule = self.rule().init((hidden, output))
        none, big = jnp.asarray(0, jnp.int64), jnp.asarray(jnp.inf)
        return TrainingState(hidden, output, rule, none, big, key)

    def step(self, state: TrainingState, loss: Any, key: Any) -> TrainingState:
        pair = (state.hidden, state.output)
        value, slope = jax.value_and_grad(loss)(pair)
        change, rule = self.rule().update(slope, state.optimizer, pair)
        moved: Any = optax.apply_updates(pair, change)
        hidden, output = moved
        return TrainingState(hidden, output, rule, state.steps + 1, value, key)

    def network(self, problem: Any, state: TrainingState) -> ReLUNetwork:
        """Balanced, with theta from its residuals."""
        u, a = state.hidden, state.output
        size = jnp.sqrt(jnp.sum(u * u, axis=1))
        used = (size > 0) & (a != 0)
        ratio = jnp.where(used, jnp.abs(a) / jnp.where(used, size, 1.0), 0.0) ** 0.5
        u = u * ratio[:, None]
        a = jnp.where(used, a / jnp.where(used, ratio, 1.0), 0.0)
        if isinstance(problem, RobustConvexReLU):
            return problem.network(u, a, None, jnp)
        loss, y = problem.criterion, problem.targets
        theta = loss.dual_point(problem.predictions(u, a, jnp), y, jnp)
        return problem.network(u, a, loss.share(y.shape[0]) * theta, jnp)

    def check(self, method: eqx.Module) -> None:
        for name in ("width", "steps"):
            value = getattr(self, name)
            good = isinstance(value, int) and value >= 1
            require(method, name, good, expected="an integer >= 1", got=value)
        rate = self.learning_rate
        require(method, "learning_rate", rate > 0, expected="> 0", got=rate)


@final
class BackPropagation(AbstractMethod):
    """Adam on the non-convex problem, all samples at once; on the samples as they are.

    **Options:** `width` of the network; `learning_rate`; `steps`.
    """

    width: int = eqx.field(static=True, default=64)
    learning_rate: Any = 1e-2
    steps: int = eqx.field(static=True, default=2000)

    @property
    def _trainer(self) -> _Trainer:
        return _Trainer(self.width, self.learning_rate, self.steps)

    def validate(self) -> None:
        self._trainer.check(self)

    def init(self, problem: Any, key: Any) -> TrainingState:
        return self._trainer.start(problem, key)

    def step(self, problem: Any, state: TrainingState) -> TrainingState:
        def loss(pair):
            hidden, output = pair
            size = 0.5 * (jnp.sum(hidden**2) + jnp.sum(output**2))
            f = problem.predictions(hidden, output, jnp)
            share = problem.criterion.share(problem.inputs.shape[0])
            value = problem.criterion.value(f, problem.targets, jnp)
            return share * value + problem.weight_decay * size

        return self._trainer.step(state, loss, state.key)

    def done(self, problem: Any, state: TrainingState) -> Array:
        return (state.steps >= self.steps) | jnp.isnan(state.loss)

    def finish(self, problem: Any, state: TrainingState) -> ReLUNetwork:
        return self._trainer.network(problem, state)

    def observe(self, problem: Any, state: TrainingState) -> dict[str, Array]:
        return {"objective": state.loss}

    def citations(self) -> tuple[str, ...]:
        return ("kingma2015adam",)


@final
class AdversarialTraining(AbstractMethod):
    """The same at samples that an attack moves in each step; `RobustConvexReLU` only.

    **Options:** `attack`: `FGSM()` or `PGD()`; `width`, `learning_rate`, `steps`.
    """

    attack: AbstractAttack = PGD()
    width: int = eqx.field(static=True, default=64)
    learning_rate: Any = 1e-2
    steps: int = eqx.field(static=True, default=1000)

    @property
    def _trainer(self) -> _Trainer:
        return _Trainer(self.width, self.learning_rate, self.steps)

    def validate(self) -> None:
        self._trainer.check(self)
        known = isinstance(self.attack, AbstractAttack)
        got = type(self.attack).__name__
        require(self, "attack", known, expected="FGSM() or PGD()", got=got)

    def init(self, problem: Any, key: Any) -> TrainingState:
        good = isinstance(problem, RobustConvexReLU)
        got = type(problem).__name__
        require(self, "problem", good, expected="RobustConvexReLU", got=got)
        return self._trainer.start(problem, key)

    def step(self, problem: Any, state: TrainingState) -> TrainingState:
        draw, key = jax.random.split(state.key)
        shift = self.attack.shifts(problem, (state.hidden, state.output), draw)

        def loss(pair):
            hidden, output = pair
            size = 0.5 * (jnp.sum(hidden**2) + jnp.sum(output**2))
            return (
                attacked(problem, hidden, output, shift) + problem.weight_decay * size
            )

        return self._trainer.step(state, loss, key)

    def done(self, problem: Any, state: TrainingState) -> Array:
        return (state.steps >= self.steps) | jnp.isnan(state.loss)

    def finish(self, problem: Any, state: TrainingState) -> ReLUNetwork:
        return self._trainer.network(problem, state)

    def observe(self, problem: Any, state: TrainingState) -> dict[str, Array]:
        return {"objective": state.loss}

    def citations(self) -> tuple[str, ...]:
        if isinstance(self.attack, FGSM):
            return ("goodfellow2015explaining",)
        return ("madry2018towards",)


def attack_loss(
    problem: RobustConvexReLU, network: ReLUNetwork, attack: AbstractAttack, key: Any
) -> float:
    """Loss, without decay, at the points an attack finds: at most the worst."""
    with float64():
        at, method = to_jax(problem), to_jax(attack)
        pair = (
            jnp.asarray(network.hidden_weights),
            jnp.asarray(network.output_weights),
        )
        shift = method.shifts(at, pair, key)
        return float(attacked(at, *pair, shift))
