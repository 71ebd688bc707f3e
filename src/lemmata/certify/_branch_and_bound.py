"""Best-first branch and bound on the signs of ReLUs.

Source: Shi et al., NeurIPS 2022 (arXiv 2210.07394), section 4.3; pruning by linear
programs is ours, and makes the bound exact on small networks.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, final

import equinox as eqx
import numpy as np

from ..core import CONVERGED, AbstractMethod, AnyArray, Outcome, require
from ._bound_methods import SLACK, BoundPropagation, prepared
from ._box_question import rows_of
from ._branching import (
    AbstractHeuristic,
    Area,
    Domains,
    bound_domains,
    neuron_counts,
)
from ._local_lipschitz import LipschitzBounds, LocalLipschitz
from ._open_domains import Known, OpenDomains
from ._pruning import (
    AbstractPruning,
    NoPruning as NoPruning,
    SignPrograms as SignPrograms,
    possible,
)
from ._split_tree import TreeState

_EXHAUSTED = Outcome(
    "converged",
    "No domain is left to split. Sign patterns were not tested, so the bounds may stay "
    "above the exact constants; pass prune=SignPrograms() on small networks.",
)
_LIMIT = Outcome(
    "max_domains",
    "As many domains as allowed were looked at; the bounds hold. Raise max_domains.",
)


class _Trial(NamedTuple):
    """Children (p, 2, ...) of p domains: those of `Domains`, and their signs."""

    bound: Any
    empty: Any
    lower: Any
    upper: Any
    scores: Any
    jacobian_lower: Any
    jacobian_upper: Any
    signs: Any


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` largest, in falling order, the first of equals first."""
    if count < len(values):
        least = np.partition(values, len(values) - count)[len(values) - count]
        near = np.flatnonzero(values >= least)
    else:
        near = np.arange(len(values))
    return near[np.argsort(-values[near], kind="stable")[:count]]


def _by_pair(slopes: Mapping[str, Any]) -> dict[tuple[int, int], Any]:
    """By the activations that each `slopes_TARGET_NODE` speaks of."""
    pairs = {name: name.split("_")[1:] for name in slopes}
    return {(int(t), int(k)): slopes[name] for name, (t, k) in pairs.items()}


@final
class BranchAndBound(AbstractMethod):
    """Splits the box by signs of ReLUs until upper and lower bounds meet.

    **Options:**

    - `inner`: the first bound, and the search for lower bounds.
    - `heuristic`: `Area()` or `Babsr()`: which neuron is split.
    - `prune`: `NoPruning()`, or `SignPrograms()`: drop domains without a point, exact.
    - `batch_size`: domains bounded at once, >= 2.
    - `max_domains`: stop after so many, >= 1; `solve(..., time_limit=60)` limits time.
    - `rtol`: stop when each bound is within this of the attained norm, >= 1e-8.
    - `fix_preactivation`: a split clips the bound on its own neuron's input and leaves
      all others as they are on the whole box: a domain takes less time, and its bound
      is larger.
    """

    inner: BoundPropagation = BoundPropagation()
    heuristic: AbstractHeuristic = Area()
    prune: AbstractPruning = NoPruning()
    batch_size: int = eqx.field(static=True, default=128)
    max_domains: int = eqx.field(static=True, default=200_000)
    rtol: float | AnyArray = 1e-3
    fix_preactivation: bool = eqx.field(static=True, default=False)

    host: ClassVar[bool] = True

    def validate(self) -> None:
        for name, kind in (
            ("inner", BoundPropagation),
            ("heuristic", AbstractHeuristic),
            ("prune", AbstractPruning),
        ):
            found = getattr(self, name)
            expected = f"a {kind.__name__}"
            require(self, name, isinstance(found, kind), expected=expected, got=found)
        good = self.batch_size >= 2
        require(self, "batch_size", good, expected=">= 2", got=self.batch_size)
        good = self.max_domains >= 1
        require(self, "max_domains", good, expected=">= 1", got=self.max_domains)
        require(self, "rtol", self.rtol >= 1e-8, expected=">= 1e-8", got=self.rtol)
        tried = self.heuristic.tried
        require(self, "heuristic", tried >= 1, expected="tried >= 1", got=tried)
        fixed = self.fix_preactivation
        good = isinstance(fixed, bool)
        require(self, "fix_preactivation", good, expected="a bool", got=fixed)

    def init(self, problem: LocalLipschitz, key: Any) -> TreeState:
        points, slopes = prepared(problem, self.inner, key)
        slopes = {n: np.asarray(s) for n, s in slopes.items()}
        rows = rows_of(problem)
        split, every = neuron_counts(problem.network)
        count = len(rows)
        signs = np.zeros((count, split), dtype=np.int8)
        wide = np.full((count, every), np.inf)
        found = self._bounded(problem, slopes, rows, signs, (-wide, wide), False)
        blank = np.zeros(count, dtype=np.int64)
        of_use = np.any(found.scores > 0, axis=1)
        low, high = found.jacobian_lower, found.jacobian_upper
        known = (signs, found.lower, found.upper, found.scores, low, high)
        return TreeState(
            np.full(count, -1),
            blank,
            blank,
            np.arange(count),
            found.bound,
            OpenDomains.of(np.flatnonzero(of_use), Known(*(a[of_use] for a in known))),
            np.zeros((0, split)),
            np.array(points.norms) * (1 - SLACK),
            np.array(points.best),
            low,
            high,
            np.where(of_use[:, None], np.inf, low),
            np.where(of_use[:, None], -np.inf, high),
            slopes,
        )

    def step(self, problem: LocalLipschitz, state: TreeState) -> TreeState:
        state = state.fresh()
        excess = state.excess()
        rest = excess > 1 + self.rtol  # attained norms only rise: others are leaves
        state.close_open(~rest)
        width = max(1, self.batch_size // (2 * self.heuristic.tried))
        taken = _largest(np.where(rest, excess, -np.inf), width)
        taken = taken[rest[taken]]
        rest[taken] = False
        if isinstance(self.prune, SignPrograms):
            left = possible(problem, state, taken, self.batch_size)
            matters = state.excess()[left] > 1 + self.rtol
            matters &= np.any(state.open.known(left).scores > 0, axis=1)
            state.close_open(left[~matters])
            taken = left[matters]
        if not len(taken):
            state.open = state.open.kept(rest)
            return state
        trial, neurons = self._tried(problem, state, taken)
        nodes = state.grow(state.open.node[taken], neurons, trial.bound)
        state.open = state.open.kept(rest)
        self._enqueue(state, nodes, trial)
        return state

    def _tried(self, problem: Any, state: TreeState, taken: np.ndarray) -> Any:
        """Children (p, 2, ...) of each domain by its best neuron, and these neurons."""
        parent = state.open.known(taken)
        scores = parent.scores
        tried = min(self.heuristic.tried, scores.shape[1])
        ranked = np.argsort(-scores, axis=1, kind="stable")[:, :tried]
        count = len(taken)
        signs = np.repeat(parent.signs, 2 * tried, axis=0)
        places = np.repeat(ranked.reshape(-1), 2)
        signs[np.arange(len(signs)), places] = np.tile([1, -1], count * tried)
        lower = np.repeat(parent.lower, 2 * tried, axis=0)
        upper = np.repeat(parent.upper, 2 * tried, axis=0)
        rows = rows_of(problem)[state.row[state.open.node[taken]]]
        rows = np.repeat(rows, 2 * tried, axis=0)
        fixed, above = self.fix_preactivation, (lower, upper)
        found = self._bounded(problem, state.slopes, rows, signs, above, fixed)
        worst = found.bound.reshape(count, tried, 2).max(axis=2)
        useless = np.take_along_axis(scores, ranked, axis=1) <= 0
        best = np.argmin(np.where(useless, np.inf, worst), axis=1)
        parts = (*found, signs)
        shaped = [np.reshape(a, (count, tried, 2, *a.shape[1:])) for a in parts]
        trial = _Trial(*(a[np.arange(count), best] for a in shaped))
        low, high = parent.jacobian_lower[:, None], parent.jacobian_upper[:, None]
        trial = trial._replace(
            jacobian_lower=np.maximum(trial.jacobian_lower, low),
            jacobian_upper=np.minimum(trial.jacobian_upper, high),
        )
        return trial, ranked[np.arange(count), best]

    def _bounded(self, problem, slopes, rows, signs, above, fixed) -> Any:
        """`bound_domains` in batches of one shape."""
        box, named = (problem.lower, problem.upper), _by_pair(slopes)
        size, parts = self.batch_size, []
        for start in range(0, len(rows), size):
            arrays = [a[start : start + size] for a in (rows, signs, *above)]
            short = size - len(arrays[0])
            full = [
                np.concatenate([a, np.repeat(a[:1], short, axis=0)]) for a in arrays
            ]
            found = bound_domains(
                problem.network,
                box,
                named,
                self.heuristic,
                full[0],
                full[1],
                (full[2], full[3]),
                fixed,
            )
            parts.append([np.asarray(a)[: len(arrays[0])] for a in found])
        return Domains(*(np.concatenate(p) for p in zip(*parts, strict=True)))

    def _enqueue(self, state: TreeState, nodes: Any, trial: Any) -> None:
        """Children that may still matter become open; others stay leaves."""
        flat = [a.reshape(-1, *a.shape[2:]) for a in trial]
        bound, empty, lower, upper, scores, low, high, signs = flat
        node = nodes.reshape(-1)
        open_ = ~empty & (state.bound[node] > state.norms[state.row[node]])
        if not isinstance(self.prune, SignPrograms):  # else they are to be tested
            open_ &= np.any(scores > 0, axis=1)
        known = Known(*(a[open_] for a in (signs, lower, upper, scores, low, high)))
        state.open = state.open.more(node[open_], known)
        shut = ~empty & ~open_
        state.close(node[shut], low[shut], high[shut])

    def done(self, problem: LocalLipschitz, state: TreeState) -> bool:
        if len(state.neuron) >= self.max_domains:
            return True
        return not np.any(state.excess() > 1 + self.rtol)

    def finish(self, problem: LocalLipschitz, state: TreeState) -> LipschitzBounds:
        whole = len(state.neuron) > len(state.norms)
        fixed = np.asarray(1, dtype=np.int64) if self.fix_preactivation else None
        return LipschitzBounds(
            state.upper,
            np.minimum(state.norms, state.upper),
            *state.jacobian(),
            state.points,
            state.preorder() if whole else None,
            state.infeasible if len(state.infeasible) else None,
            dict(state.slopes),
            fixed if whole else None,
        )

    def outcome(self, problem: LocalLipschitz, state: TreeState) -> Outcome:
        if np.any(state.excess() > 1 + self.rtol):
            return _LIMIT
        met = state.upper <= state.norms * (1 + self.rtol)
        return CONVERGED if np.all(met) else _EXHAUSTED

    def observe(self, problem: LocalLipschitz, state: TreeState) -> dict[str, Any]:
        return {
            "lipschitz_upper": float(np.max(state.upper)),
            "lipschitz_lower": float(np.max(state.norms)),
            "domains": len(state.neuron),
        }

    def to_arrays(self, state: TreeState) -> dict[str, np.ndarray]:
        return state.to_arrays()

    def from_arrays(self, problem: Any, arrays: Mapping[str, np.ndarray]) -> TreeState:
        return TreeState.from_arrays(arrays)

    def citations(self) -> tuple[str, ...]:
        return ("shi2022efficiently",)
