"""SGD and gradient descent to a minimum, many runs side by side."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int64

from ..core import CONVERGED, AbstractMethod, Outcome, require
from ._stability_sweep import SweepTable

_DIVERGED = 1e8  # relative loss from which a run is given up

UNFINISHED = Outcome(
    "unfinished",
    "Some runs reached max_updates above the loss tolerance: raise max_updates, or "
    "loss_tol of the problem; the others count.",
)
Real = float | Array


class TrainingState(eqx.Module):
    """Weights with a first axis over runs, relative losses, and what is left to do."""

    weights: dict[str, Any]
    loss: Float64[Array, " runs"]
    updates: Int64[Array, " runs"]
    active: Bool[Array, " runs"]
    key: Any


@final
class SGDTraining(AbstractMethod):
    """Plain SGD: no momentum, no decay, constant learning rate.

    **Options:**

    - `max_updates`: per run.
    - `updates_per_step`: between two looks of the driver.
    - `label_noise`: standard deviation of noise that every update adds to the targets;
      0 is off.
    """

    max_updates: int = 100_000
    updates_per_step: int = 500
    label_noise: Real = 0.0

    def validate(self) -> None:
        for name in ("max_updates", "updates_per_step"):
            count = getattr(self, name)
            require(self, name, count >= 1, expected=">= 1", got=count)
        noise = self.label_noise
        require(self, "label_noise", noise >= 0, expected=">= 0", got=noise)

    def init(self, problem: Any, key: Any) -> TrainingState:
        key, draw = jax.random.split(key)
        scales = problem.grid()[2]
        keys = jax.random.split(draw, len(scales))
        features = problem.inputs.shape[1]

        def begin(key, scale):
            if problem.start is None:
                return problem.model.draw(key, features, problem.width, scale)
            leaves, tree = jax.tree.flatten(problem.start)
            parts = jax.random.split(key, len(leaves))
            moved = [
                leaf + scale * jax.random.normal(part, leaf.shape, dtype=jnp.float64)
                for leaf, part in zip(leaves, parts, strict=True)
            ]
            return jax.tree.unflatten(tree, moved)

        weights = jax.vmap(begin)(keys, scales)
        runs = len(scales)
        return TrainingState(
            weights,
            jnp.full(runs, jnp.inf),
            jnp.zeros(runs, dtype=jnp.int64),
            jnp.ones(runs, dtype=bool),
            key,
        )

    def step(self, problem: Any, state: TrainingState) -> TrainingState:
        def update(_: Any, state: TrainingState) -> TrainingState:
            return self._update(problem, state)

        return jax.lax.fori_loop(0, self.updates_per_step, update, state)

    def _update(self, problem: Any, state: TrainingState) -> TrainingState:
        rate, size, _ = problem.grid()
        key, batch, noise = jax.random.split(state.key, 3)
        n = len(problem.targets)
        weights = batches(batch, n, size, problem.replacement)
        disturbed = self.label_noise * jax.random.normal(noise, (len(rate), n))
        scale = jnp.mean(problem.targets**2)

        def one(params, share, rate, away):
            found, pull = jax.vjp(
                lambda p: problem.model.predictions(p, problem.inputs), params
            )
            residual = found - problem.targets
            gradient = pull(share * (residual - away))[0]
            loss = jnp.mean(residual**2) / scale
            return jax.tree.map(lambda p, g: p - rate * g, params, gradient), loss

        moved, loss = jax.vmap(one)(state.weights, weights, rate, disturbed)
        going = state.active & (loss > problem.loss_tol) & (loss < _DIVERGED)
        going &= state.updates < self.max_updates

        def kept(new, old):
            return jnp.where(going.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return TrainingState(
            jax.tree.map(kept, moved, state.weights),
            jnp.where(state.active, loss, state.loss),
            state.updates + going,
            going,
            key,
        )

    def done(self, problem: Any, state: TrainingState) -> Bool[Array, ""]:
        return ~jnp.any(state.active)

    def finish(self, problem: Any, state: TrainingState) -> SweepTable:
        return problem.table(state.weights)

    def observe(self, problem: Any, state: TrainingState) -> dict[str, Array]:
        return {
            "active": jnp.sum(state.active),
            "converged": jnp.sum(state.loss <= problem.loss_tol),
            "updates": jnp.max(state.updates),
        }

    def outcome(self, problem: Any, state: TrainingState) -> Outcome:
        lost = state.loss >= _DIVERGED
        over = jnp.all((state.loss <= problem.loss_tol) | lost | jnp.isnan(state.loss))
        return CONVERGED if bool(over) else UNFINISHED

    def citations(self) -> tuple[str, ...]:
        return ("wu2023implicit",)


def batches(key: Any, n: int, sizes: np.ndarray, replacement: bool) -> Array:
    """Weights (R, n) of one batch for each run, of `sizes` (R,) samples."""
    runs, largest = len(sizes), int(np.max(sizes))
    if replacement:
        drawn = jax.random.randint(key, (runs, largest), 0, n)
        used = jnp.arange(largest) < sizes[:, None]
        hits = jax.nn.one_hot(drawn, n, dtype=jnp.float64) * used[:, :, None]
        return jnp.sum(hits, axis=1) / sizes[:, None]
    drawn = jax.random.uniform(key, (runs, n), dtype=jnp.float64)
    index = (sizes.astype(np.int64) - 1)[:, None]
    limit = jnp.take_along_axis(jnp.sort(drawn, axis=1), index, axis=1)
    return (drawn <= limit) / sizes[:, None]
