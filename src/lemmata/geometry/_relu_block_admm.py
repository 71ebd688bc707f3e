"""Alternating directions whose u-update visits random blocks: no large system.

Source: Bai, Gautam and Sojoudi (2023), algorithm 4.1 (randomised block coordinate
descent).
"""

import math
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import require
from ._relu_admm_state import (
    Split,
    damped,
    look,
    split_prox,
    split_start,
)
from ._relu_block_step import AbstractBlockStep, Block, ClosedForm
from ._relu_linear import predict, signs_of
from ._relu_splitting import AbstractSplitting


class BlockState(eqx.Module):
    """Split iterates; `image` is F u; the inner threshold and dual step of now."""

    split: Split
    image: Array
    threshold: Array
    share: Array
    memory: Array
    updates: Array
    key: Any


@final
class RandomizedBlockADMM(AbstractSplitting):
    """ADMM for any loss and any number of patterns: O(n d) for each block visited.

    Squared and logistic loss are taken as they are, the hinge through a copy F u = f.

    **Options:**

    - `penalty`: rho, > 0; `penalty_growth`: added after every step.
    - `dual_step`, `dual_decay`: share of the dual step, and its factor per step.
    - `block_step`: `ClosedForm()` or `Backtracking()`.
    - `threshold`, `threshold_decay`: a u-update ends where the mean decrease of the
      last ceil(8 sqrt(P)) visits is below threshold times the loss at zero; its factor.
    - `look_every`: steps between two looks at the gap.
    """

    penalty: Any = 1.0
    penalty_growth: Any = 0.0
    dual_step: Any = 1.0
    dual_decay: Any = 1.0
    block_step: AbstractBlockStep = ClosedForm()
    threshold: Any = 1e-6
    threshold_decay: Any = 0.96
    look_every: int = eqx.field(static=True, default=50)

    def validate(self) -> None:
        self.check_numbers(
            ("penalty", 0, np.inf),
            ("dual_step", 0, 1.7),
            ("dual_decay", 0, 1.0000001),
            ("threshold", 0, np.inf),
            ("threshold_decay", 0, 1.0000001),
        )
        grows = self.penalty_growth >= 0
        got = self.penalty_growth
        require(self, "penalty_growth", grows, expected=">= 0", got=got)

    def init(self, problem: Any, key: Any) -> BlockState:
        split = split_start(problem, self.penalty)
        first = jnp.asarray(self.threshold, jnp.float64) * split.best.cost
        share = jnp.asarray(self.dual_step, jnp.float64)
        none, memory = jnp.asarray(0, jnp.int64), self.block_step.start()
        image = jnp.zeros(problem.inputs.shape[0])
        return BlockState(split, image, first, share, memory, none, key)

    def step(self, problem: Any, state: BlockState) -> BlockState:
        state = self._visits(problem, state)
        at = state.split
        gu = signs_of(problem.patterns) * (at.u @ problem.inputs.T)
        image = predict(problem.inputs, problem.patterns, at.u)  # drift ends here
        one = jnp.asarray(1.0)
        moved = damped(at, split_prox(problem, at, at.u, gu, one), state.share)
        grown = moved.penalty + self.penalty_growth
        ratio = moved.penalty / grown
        split = eqx.tree_at(
            lambda q: (q.penalty, q.lam, q.nu, q.pi),
            moved,
            (grown, moved.lam * ratio, moved.nu * ratio, moved.pi * ratio),
        )
        return BlockState(
            split,
            image,
            jnp.maximum(state.threshold * self.threshold_decay, 1e-16),
            state.share * self.dual_decay,
            state.memory,
            state.updates,
            state.key,
        )

    def _visits(self, problem: Any, state: BlockState) -> BlockState:
        """Random blocks until the mean decrease is small."""
        p = problem.patterns.shape[0]
        size = max(math.ceil(8 * math.sqrt(p)), 2)
        rho = state.split.penalty
        loss = problem.criterion
        curvature = {"squared": 1.0, "logistic": loss.scale**2 / 4, "hinge": rho}
        x = problem.inputs
        eye = jnp.eye(x.shape[1])
        gram = x.T @ x
        inverse = jnp.linalg.inv((curvature[problem.loss] + rho) * gram + rho * eye)

        def unfinished(carry):
            _, _, _, ring, count, _ = carry
            full = count >= size
            return (count < 200 * size) & ~(full & (jnp.mean(ring) < state.threshold))

        def visit(carry):
            u, image, memory, ring, count, key = carry
            key, draw = jax.random.split(key)
            block = jax.random.randint(draw, (), 0, 2 * p)
            at = eqx.tree_at(lambda q: q.u, state.split, u)
            view = Block.of(problem, at, block, image, inverse)
            found = self.block_step.move(view, view.gradient(), memory)
            change, image, decrease, memory = found
            ring = ring.at[count % size].set(decrease)
            return u.at[block].add(change), image, memory, ring, count + 1, key

        start = (
            state.split.u,
            state.image,
            state.memory,
            jnp.full(size, jnp.inf),
            jnp.asarray(0, jnp.int64),
            state.key,
        )
        u, image, memory, _, count, key = jax.lax.while_loop(unfinished, visit, start)
        split = eqx.tree_at(lambda q: q.u, state.split, u)
        parts = (split, image, state.threshold, state.share, memory)
        return BlockState(*parts, state.updates + count, key)

    def restage(self, problem: Any, state: BlockState) -> BlockState | None:
        if int(state.split.best.code) or not np.isfinite(state.split.primal):
            return None
        _, split = look(problem, state.split)
        return eqx.tree_at(lambda q: q.split, state, split)

    def noted(self, state: BlockState) -> dict[str, Array]:
        return {"block_updates": state.updates}
