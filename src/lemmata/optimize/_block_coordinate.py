"""Block coordinate descent: form blocks, choose one, move it.

Source: J. Nutini, I. Laradji and M. Schmidt, "Let's Make Block Coordinate Descent
Converge Faster", JMLR 23(131), 2022 (arXiv 1712.08859).
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from ..core import CONVERGED, AbstractMethod, Claim, Outcome, Withheld, require
from ..numerics.top_k import top_k
from ._block_choice import block_at, block_of, grown_forest, unprepared, view_of
from ._block_gram import Gram, exchanged
from ._block_rules import check_combination
from ._block_search import Block, rise
from ._block_state import (
    BlockState,
    graph_tables,
    is_active,
    judged,
    start_state,
    widened,
    with_tables,
)
from ._block_updates import AbstractUpdate, ProximalNewtonUpdate
from ._block_view import View
from ._composite import CompositeMinimiser
from ._partitions import AbstractPartition, GreedyForest, VariableBlocks
from ._penalties import Unpenalised
from ._selections import GSD, AbstractSelection, MaximumImprovement

_STALLED = 30  # steps without gain, over all blocks, after which it gives up
_DECIDABLE = 1e-6  # of the first residual, down to which steps are recorded


@final
class BlockCoordinateDescent(AbstractMethod):
    """Minimises a composite problem, a block of coordinates at a time.

    **Options:**

    - `partition`: how blocks are formed.
    - `select`: which block is next.
    - `update`: how it is moved.
    - `refresh`: steps after which A x is computed anew, >= 1.
    - `whole_support`: with variable blocks and a penalty, the block holds the whole
      support, if it fits, once that has not changed for so many steps; 0: always; None:
      never.
    - `record`: steps kept as witnesses for the claims about the run, >= 0: the first,
      then at doubling distances.
    - `residual_rtol`: goes on until the KKT residual is at most this share of the
      first; None: until the problem's own tolerance is met.
    """

    partition: AbstractPartition = VariableBlocks(50)
    select: AbstractSelection = GSD()
    update: AbstractUpdate = ProximalNewtonUpdate()
    refresh: int = 200
    whole_support: int | None = 0
    record: int = 8
    residual_rtol: Any = None

    def validate(self) -> None:
        require(self, "refresh", self.refresh >= 1, expected=">= 1", got=self.refresh)
        require(self, "record", self.record >= 0, expected=">= 0", got=self.record)
        wait = self.whole_support
        good = wait is None or wait >= 0
        require(self, "whole_support", good, expected="None or >= 0", got=wait)
        rtol = self.residual_rtol
        good = rtol is None or rtol > 0
        require(self, "residual_rtol", good, expected="None or > 0", got=rtol)

    def init(self, problem: Any, key: Any) -> BlockState:
        check_combination(problem, self)
        return start_state(
            problem, self, problem.penalty.start(problem.loss.variables), key
        )

    def warm_start(self, problem: Any, value: Any, key: Any) -> BlockState:
        check_combination(problem, self)
        _, lower, upper = problem.penalty.at()
        x = jnp.clip(jnp.asarray(value.coefficients), lower, upper)
        return start_state(problem, self, x, key)

    def step(self, problem: Any, state: BlockState) -> BlockState:
        if unprepared(state):
            return state  # its shapes say that the host comes first
        view = view_of(problem, state)
        block, gram = self._select(view, state)
        block, change, memory = self._moved(view, state, block)
        moved = jnp.where(block.coordinates < view.x.shape[0], block.x + change, 0.0)
        x = state.x.at[block.coordinates].set(moved, mode="drop")
        fresh = (state.steps + 1) % self.refresh == 0

        def update() -> Array:
            if block.gram is not None:
                return state.image + change @ gram.columns
            return problem.loss.update_image(state.image, block.coordinates, change)

        image = jax.lax.cond(fresh, lambda: problem.loss.image(x), update)
        recorded = self._recorded(state, block.coordinates, change)
        kept = eqx.tree_at(lambda s: (s.record, s.gram), state, (recorded, gram))
        return self._advanced(problem, kept, x, image, memory, block)

    def _moved(
        self, view: View, state: BlockState, block: Block | None
    ) -> tuple[Block, Array, Array]:
        if block is None:
            return self._best_of_all(view, state)
        change, memory = self.update.change(view, block)
        return block, change, memory

    def _select(self, view: View, state: BlockState) -> tuple[Block | None, Gram]:
        """The next block, None if all are to be tried, and what is kept of it."""
        tables, nothing = state.tables, jnp.asarray(-1, jnp.int64)
        if isinstance(self.select, MaximumImprovement):
            return None, state.gram
        if tables.blocks.shape[0]:
            place = jnp.argmax(self.select.of_blocks(view))
            return block_at(view, state, place), state.gram
        scores = self.select.of_coordinates(view)
        if isinstance(self.partition, GreedyForest):
            forest = grown_forest(state, scores)
            nodes = jnp.asarray(forest.nodes)
            return block_of(view, state, nodes, nothing, forest), state.gram
        scores = self._with_support(view, state, scores)
        best, index = top_k(scores, tables.blocks.shape[1])
        index = jnp.where(best == -jnp.inf, view.x.shape[0], index.astype(jnp.int64))
        if not state.gram.members.shape[0]:
            return block_of(view, state, index, nothing), state.gram
        gram = exchanged(view.problem, state.gram, index)
        held = block_of(view, state, gram.members, nothing, gram=gram.products)
        return held, gram

    def _with_support(self, view: View, state: BlockState, scores: Array) -> Array:
        """The support first, where it fits and has stood still for long enough."""
        penalty = view.problem.penalty
        if self.whole_support is None or isinstance(penalty, Unpenalised):
            return scores
        # A quarter is kept for others, or none would ever enter; where the support
        # needs more, steps with and without it take turns.
        count, size = jnp.sum(state.support), state.tables.blocks.shape[1]
        fits = ~_cramped(state, size) | ((count <= size) & (state.steps % 2 == 0))
        ready = fits & (state.unchanged >= self.whole_support)
        limits = jnp.finfo(jnp.float64)
        # What has nothing to gain may as well stay: its products are known.
        members = state.gram.members
        held = jnp.zeros(scores.shape, bool).at[members].set(True, mode="drop")
        scores = jnp.where(held & (scores == 0), limits.tiny, scores)
        return jnp.where(ready & state.support, limits.max, scores)

    def _best_of_all(self, view: View, state: BlockState) -> tuple[Block, Array, Array]:
        def trial(place: Array) -> tuple[Array, Array, Array]:
            block = block_at(view, state, place)
            change, memory = self.update.change(view, block)
            return rise(view, block, change), change, memory

        places = jnp.arange(state.tables.blocks.shape[0])
        gains = jax.lax.map(lambda place: trial(place)[0], places)
        place = jnp.argmin(gains)
        _, change, memory = trial(place)
        return block_at(view, state, place), change, memory

    def _recorded(self, state: BlockState, index: Array, change: Array) -> Any:
        """Steps 0, 1, 3, 7, ... as long as their residual is far above rounding."""
        record, k = state.record, state.steps
        if not self.record:
            return record
        slot = jnp.round(jnp.log2(k + 1.0)).astype(jnp.int64)
        due = (k + 1 == 2**slot) & (state.residual > _DECIDABLE * state.reference[1])
        slot = jnp.where(due & (slot < self.record), slot, self.record)
        return eqx.tree_at(
            lambda r: (r.x, r.block, r.change, r.at),
            record,
            (
                record.x.at[slot].set(state.x, mode="drop"),
                record.block.at[slot].set(index, mode="drop"),
                record.change.at[slot].set(change, mode="drop"),
                record.at.at[slot].set(k, mode="drop"),
            ),
        )

    def _advanced(
        self,
        problem: Any,
        old: BlockState,
        x: Array,
        image: Array,
        memory: Array,
        block: Block,
    ) -> BlockState:
        support = is_active(problem, x)
        same = jnp.all(support == old.support)
        names = "x image memory support block place".split()
        parts = [x, image, memory, support, block.coordinates, block.place]
        new = judged(
            problem,
            eqx.tree_at(lambda s: [getattr(s, name) for name in names], old, parts),
        )
        lower = new.objective < old.lowest - 1e-15 * jnp.abs(old.lowest)
        gained = lower | (new.residual < 0.999 * old.smallest)
        return eqx.tree_at(
            lambda s: (
                s.unchanged,
                s.identified_at,
                s.lowest,
                s.smallest,
                s.still,
                s.steps,
            ),
            new,
            (
                jnp.where(same, old.unchanged + 1, 0),
                jnp.where(same, old.identified_at, old.steps + 1),
                jnp.minimum(old.lowest, new.objective),
                jnp.minimum(old.smallest, new.residual),
                jnp.where(gained, 0, old.still + 1),
                old.steps + 1,
            ),
        )

    def done(self, problem: Any, state: BlockState) -> Bool[Array, ""]:
        if unprepared(state):
            return jnp.asarray(True)
        stalled = state.still >= self._patience(problem, state)
        return self._reached(state) | stalled | self._outgrown(problem, state)

    def _reached(self, state: BlockState) -> Array:
        if self.residual_rtol is None:
            return ~(state.optimality > 1.0)
        return ~(state.residual > self.residual_rtol * state.reference[1])

    def _patience(self, problem: Any, state: BlockState) -> int:
        """Steps within which something must be gained: a few passes."""
        blocks = state.tables.blocks
        passes = -(-problem.loss.variables // max(blocks.shape[1], 1))
        if self.select.greedy:
            return _STALLED + min(5 * blocks.shape[0], 10 * _STALLED)
        return _STALLED + 5 * max(blocks.shape[0], passes)

    def _outgrown(self, problem: Any, state: BlockState) -> Array:
        """Whether the block may grow and has too little room for what could gain."""
        partition, size = self.partition, state.tables.blocks.shape[1]
        if not isinstance(partition, VariableBlocks) or partition.largest is None:
            return jnp.asarray(False)
        if size >= min(partition.largest, problem.loss.variables):
            return jnp.asarray(False)
        return _cramped(state, size)

    def restage(self, problem: Any, state: BlockState) -> BlockState | None:
        if unprepared(state):
            return with_tables(
                problem, self, state, graph_tables(problem, self, state.tables)
            )
        if bool(self._reached(state)) or not bool(self._outgrown(problem, state)):
            return None
        assert isinstance(self.partition, VariableBlocks)
        top = min(self.partition.largest or 0, problem.loss.variables)
        size = state.tables.blocks.shape[1]
        while size < top and bool(_cramped(state, size)):
            size = min(2 * size, top)
        return widened(problem, self, state, size)

    def finish(self, problem: Any, state: BlockState) -> CompositeMinimiser:
        return CompositeMinimiser(state.x)

    def observe(self, problem: Any, state: BlockState) -> dict[str, Array]:
        n = problem.loss.variables
        return {
            "objective": state.objective,
            "residual": state.residual,
            "support": jnp.sum(state.x != 0),
            "block": state.place,
            "size": jnp.sum(state.block < n),
            "identified_at": state.identified_at,
        }

    def outcome(self, problem: Any, state: BlockState) -> Outcome:
        if bool(self._reached(state)) and bool(jnp.isfinite(state.objective)):
            return CONVERGED
        share = float(state.residual / state.reference[1])
        return Outcome(
            "stalled",
            f"no step gained anything for a while, at {share:.1e} of the first KKT "
            "residual; use a larger block, ProximalNewtonUpdate() or NewtonUpdate(), "
            "or a looser gap_tol.",
        )

    def claims(
        self, problem: Any, value: Any, state: BlockState, trace: Any
    ) -> tuple[Claim | Withheld, ...]:
        from ._block_claims import run_claims

        return run_claims(self, problem, value, state, trace)

    def citations(self) -> tuple[str, ...]:
        keys = ("nutini2022block",)
        if self.partition.forests:
            return (*keys, "weiss2001correctness")
        composite = self.update.composite
        return (*keys, "bertsekas1982projected") if composite else keys


def _cramped(state: BlockState, size: int) -> Array:
    """Whether the support fills most of a block that does not hold all it should."""
    count = jnp.sum(state.support)
    return (4 * count > 3 * size) & (state.wanted > size)
