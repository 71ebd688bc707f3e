"""Stochastic gradient steps on a network of directions.

Source: Kaneda et al., ICML 2023 (arXiv 2205.10763): Adam, rate 1e-4, batches of 10.
Here the rate is higher and falls to zero along half a cosine, which suits short runs;
`Adam(1e-4, decay=False)` is the paper's.
"""

from collections.abc import Mapping
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from ..core import (
    CONVERGED,
    AbstractMethod,
    Claim,
    Outcome,
    Solution,
    Withheld,
    require,
    solve,
)
from ._direction_sizes import measure_sizes
from ._direction_training import DirectionTraining, TrainedDirections
from ._grid_poisson import GridPoisson
from ._ritz import Lanczos, RitzDataset, SineModes

_SIZES = "linear.size_independence/1"
_MOST = 2.0  # times the steps at the size of training


@final
class Adam(eqx.Module):
    """Adam's rule.

    **Options:**

    - `learning_rate`: > 0.
    - `decay`: from `learning_rate` to zero along half a cosine over the run.
    """

    learning_rate: float = 2e-3
    decay: bool = True

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """For a run of so many steps."""
        rate = self.learning_rate
        if not self.decay:
            return optax.adam(rate)
        return optax.adam(
            lambda count: 0.5 * rate * (1.0 + jnp.cos(jnp.pi * count / steps))
        )


class TrainingState(eqx.Module):
    """Network, optimiser's state, key, step, loss of the last batch, and on the
    vectors kept aside at the end of the last epoch (infinite before).
    """

    network: Any
    optimizer: Any
    key: Array
    steps: Array
    loss: Array
    validation: Array


@final
class TrainDirections(AbstractMethod):
    """Minimises the loss of a `DirectionTraining` by batches, each epoch reshuffled.

    **Options:**

    - `optimizer`: `Adam(...)`, or any `optax.GradientTransformation`.
    - `steps`: how many batches are taken.
    - `batch`: vectors in a batch.
    - `single`: compute in float32; the network is float32 in any case.
    - `sizes`: factors, beginning with 1, by which the grid grows in a test afterwards:
      the claim is that the steps to a residual of 1e-4 at most double. Empty: no test.
    """

    optimizer: Any = Adam()
    steps: int = 600
    batch: int = 10
    single: bool = True
    sizes: tuple[int, ...] = ()

    def validate(self) -> None:
        for field in ("steps", "batch"):
            count = getattr(self, field)
            whole = isinstance(count, int) and count >= 1
            require(self, field, whole, expected="an integer >= 1", got=count)
        ours = isinstance(self.optimizer, Adam | optax.GradientTransformation)
        expected, got = "Adam(...) or an optax transformation", self.optimizer
        require(self, "optimizer", ours, expected=expected, got=got)
        if isinstance(self.optimizer, Adam):
            rate = self.optimizer.learning_rate
            require(self, "optimizer", rate > 0, expected="a rate > 0", got=rate)
        sizes = tuple(self.sizes)
        rising = not sizes or (sizes[0] == 1 and sizes == tuple(sorted({*sizes})))
        rising = rising and len(sizes) != 1
        expected = "() or two or more rising factors that begin with 1"
        require(self, "sizes", rising, expected=expected, got=sizes)

    def _optimizer(self) -> optax.GradientTransformation:
        if isinstance(self.optimizer, Adam):
            return self.optimizer.transformation(self.steps)
        return self.optimizer

    def _dtype(self) -> Any:
        return jnp.float32 if self.single else jnp.float64

    def init(self, problem: DirectionTraining, key: Any) -> TrainingState:
        key, made = jax.random.split(key)
        return self._start(problem.network(made), key)

    def warm_start(
        self, problem: DirectionTraining, value: TrainedDirections, key: Any
    ) -> TrainingState:
        del problem
        return self._start(value.network, key)

    def _start(self, network: Any, key: Any) -> TrainingState:
        cast = jax.tree.map(lambda leaf: jnp.asarray(leaf, self._dtype()), network)
        zero, far = jnp.zeros((), jnp.int64), jnp.asarray(jnp.inf)
        return TrainingState(cast, self._optimizer().init(cast), key, zero, far, far)

    def step(self, problem: DirectionTraining, state: TrainingState) -> TrainingState:
        count = problem.vectors.shape[0]
        batch = min(self.batch, count)
        per_epoch = count // batch
        epoch, place = state.steps // per_epoch, state.steps % per_epoch
        order = jax.random.permutation(jax.random.fold_in(state.key, epoch), count)
        chosen = jax.lax.dynamic_slice_in_dim(order, place * batch, batch)
        vectors = problem.vectors[chosen].astype(self._dtype())

        def loss(network: Any) -> Array:
            return jnp.mean(problem.losses(network, vectors))

        found, gradient = jax.value_and_grad(loss)(state.network)
        updates, optimizer = self._optimizer().update(
            gradient, state.optimizer, state.network
        )
        updates = jax.tree.map(lambda u, p: u.astype(p.dtype), updates, state.network)
        network = optax.apply_updates(state.network, updates)
        optimizer = jax.tree.map(
            lambda new, old: new.astype(old.dtype), optimizer, state.optimizer
        )
        ended = (place == per_epoch - 1) | (state.steps == self.steps - 1)
        validation = jax.lax.cond(
            ended,
            lambda: self._validation(problem, network),
            lambda: state.validation,
        )
        found = found.astype(jnp.float64)
        return TrainingState(
            network, optimizer, state.key, state.steps + 1, found, validation
        )

    def _validation(self, problem: DirectionTraining, network: Any) -> Array:
        def one(vector: Array) -> Array:
            return problem.losses(network, vector[None].astype(self._dtype()))[0]

        size = min(self.batch, problem.validation.shape[0])
        losses = jax.lax.map(one, problem.validation, batch_size=size)
        return jnp.mean(losses.astype(jnp.float64))

    def done(self, problem: DirectionTraining, state: TrainingState) -> Array:
        del problem
        return (state.steps >= self.steps) | jnp.isnan(state.loss)

    def finish(
        self, problem: DirectionTraining, state: TrainingState
    ) -> TrainedDirections:
        del problem
        single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), state.network)
        return TrainedDirections(single)

    def observe(
        self, problem: DirectionTraining, state: TrainingState
    ) -> dict[str, Array]:
        del problem
        return {"loss": state.loss, "validation_loss": state.validation}

    def outcome(self, problem: DirectionTraining, state: TrainingState) -> Outcome:
        """Every step was taken; whether the model is good is for the claim to say."""
        del problem
        if np.isfinite(state.loss):
            return CONVERGED
        return Outcome(
            "diverged",
            f"The loss is {float(state.loss)} after {int(state.steps)} steps; lower "
            "the learning rate.",
        )

    def claims(
        self,
        problem: DirectionTraining,
        value: TrainedDirections,
        state: TrainingState,
        trace: Mapping[str, np.ndarray],
    ) -> tuple[Claim | Withheld, ...]:
        del state, trace
        if not self.sizes:
            return (Withheld(_SIZES, "not asked for: pass sizes=(1, 2, 4)"),)
        if not all(np.all(np.isfinite(w)) for w in value.pack().values()):
            return (Withheld(_SIZES, "the network has weights that are not finite"),)
        counts = measure_sizes(value.network, problem.grid, factors=tuple(self.sizes))
        return (Claim(_SIZES, _MOST, counts._asdict()),)

    def citations(self) -> tuple[str, ...]:
        adam = isinstance(self.optimizer, Adam)
        return ("kaneda2023dcdm", "kingma2015adam") if adam else ("kaneda2023dcdm",)


def train_direction_network(
    operator: GridPoisson,
    *,
    count: int = 600,
    theta: int | None = None,
    modes: Lanczos | SineModes | None = None,
    channels: int = 16,
    levels: int = 3,
    depths: tuple[int, int, int] = (4, 6, 4),
    bias: bool = False,
    loss_tol: float = 0.1,
    method: TrainDirections | None = None,
    key: int = 0,
    **driver: Any,
) -> Solution:
    """Makes the data set, trains, and has the loss on unseen vectors judged.

    **Arguments:**

    - `operator`: usually an empty box: `GridPoisson(np.ones(shape), np.zeros(shape))`.
    - `count`, `theta`, `modes`: see `RitzDataset`; nine tenths train, the rest judges.
    - `channels`, `levels`, `depths`, `bias`, `loss_tol`: see `DirectionTraining`.
    - `method`: steps, batches, optimiser.
    - `key`: of the data set, the first weights and the order of batches.
    - `driver`: passed to `solve`: `progress`, `checkpoint`, `throw`, ...

    **Returns:** a `Solution`; the network is `.value.network`.
    """
    modes = Lanczos() if modes is None else modes
    dataset = RitzDataset(operator, count, theta, modes, key)
    problem = DirectionTraining.of(
        dataset,
        channels=channels,
        levels=levels,
        depths=depths,
        bias=bias,
        loss_tol=loss_tol,
    )
    return solve(problem, method or TrainDirections(), key=key, **driver)
