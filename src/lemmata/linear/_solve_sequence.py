"""A generator of systems in, solutions and a log out, on disk: killed and resumed.

Source: Khodak et al., ICLR 2024 (arXiv 2310.02246), protocol of section 2.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core import (
    InvalidArgument,
    InvalidInput,
    Recorded,
    describe,
    float64,
)
from ._criteria import RHS, AbstractCriterion
from ._learned_relaxation import LearnedRelaxation, Solved, play_round
from ._pattern import as_csr, stack_systems
from ._policy import AbstractPolicy, Choice
from ._problem import Real
from ._sequence import SequenceSystem, check_entries
from ._sequence_log import SequenceBroken, SequenceLog
from ._wavefront import Wavefronts


def solve_sequence(
    systems: Iterable[Any],
    solver: Any,
    policy: AbstractPolicy,
    *,
    folder: str | os.PathLike[str],
    steps: int | None = None,
    rtol: Real = 1e-8,
    criterion: AbstractCriterion = RHS,
    warm_start: bool = True,
    cap: int = 10_000,
    key: int = 0,
) -> SequenceLog:
    """Solves systems as a generator hands them out, learning the relaxation.

    Each system is written to `folder` before it is solved, each solution after, so that
    after a crash the same call goes on where it stopped, with the same arms and bits:
    recorded systems are replayed, and the generator is asked for those that follow.

    **Arguments:**

    - `systems`: yields (A, b) or (A, b, context); A dense or SciPy sparse, all of one
      size. On resumption it must begin where the files end.
    - `solver`, `policy`, `cap`: as for `LearnedRelaxation`.
    - `folder`: where the files go.
    - `steps`: how many systems are expected; None: as many as there are.
    - `rtol`, `criterion`, `warm_start`: as for `LinearSequence`.
    - `key`: an integer; round t's random key is it folded with t.

    **Raises:** `SequenceBroken` with `.log` where a system has another size, is not
    symmetric, has a non-positive diagonal, holds NaN, carries a context outside the
    policy's interval, or where the generator ends before `steps`; `InvalidArgument`
    where `folder` was written with other options.
    """
    method = LearnedRelaxation(solver, policy, cap)
    log = SequenceLog(None, criterion, float(rtol), warm_start)
    recorded = Recorded(_named(systems, policy, log), folder)
    log.recorded = recorded
    with float64():
        runner = _Runner(method, log, jax.random.key(key), describe(method))
        index = 0
        while steps is None or index < steps:
            try:
                arrays = recorded.system(index)
            except _Unusable as error:
                raise error.broken(index, log) from None
            if arrays is None:
                break
            runner.advance(index, arrays)
            index += 1
    if steps is not None and index < steps:
        got = f"an end after {index}"
        raise SequenceBroken("systems", f"{steps} systems", got, log)
    return log


class _Unusable(Exception):
    """Raised while a system is read; `broken` says which one it was."""

    def __init__(self, expected: str, got: Any):
        self.expected, self.got = expected, got

    def broken(self, index: int, log: SequenceLog) -> SequenceBroken:
        return SequenceBroken(f"systems[{index}]", self.expected, self.got, log)


class _Runner:
    """Policy state and schedule between rounds."""

    def __init__(self, method: Any, log: SequenceLog, key: Any, options: Any):
        self.method, self.log, self.key = method, log, key
        self.options = repr(options)
        self.memory = method.policy.start()
        self.last: np.ndarray | None = None
        self.pattern: tuple[np.ndarray, np.ndarray] | None = None
        self.fronts: Any = None

    def advance(self, index: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Solves system `index`, or takes its recorded solution."""
        context = jnp.asarray(float(arrays["context"]))
        self.log.size = arrays["rhs"].size
        try:
            kept = self.log.recorded.solution(index)
        except OSError:
            kept = None
        if kept is None:
            solved = self._solve(index, arrays, context)
        else:
            solved = self._replay(index, kept, context)
        log = self.log
        log.counts.append(int(solved["count"]))
        log.relaxation.append(float(solved["relaxation"]))
        log.ratio.append(float(solved["ratio"]))
        log.failed.append(bool(solved["failed"]))
        self.last = np.asarray(solved["x"])

    def _solve(
        self, index: int, arrays: Mapping[str, np.ndarray], context: Any
    ) -> Mapping[str, np.ndarray]:
        pattern = (arrays["indices"], arrays["indptr"])
        if self.pattern is None or not all(
            np.array_equal(a, b) for a, b in zip(pattern, self.pattern, strict=True)
        ):
            self.pattern = pattern
            self.fronts = jax.tree.map(jnp.asarray, Wavefronts.of(*pattern))
        rhs = jnp.asarray(arrays["rhs"])
        warm = self.log.warm_start and self.last is not None
        start = jnp.asarray(self.last) if warm else jnp.zeros_like(rhs)
        system = SequenceSystem(jnp.asarray(arrays["data"]), rhs, start, context)
        tools = _Tools(self.fronts, jnp.asarray(self.log.rtol), self.log.criterion)
        solved, self.memory = _round(
            self.method, tools, system, jnp.asarray(index), self.memory, self.key
        )
        kept = _plain(solved) | {"options": np.frombuffer(self.options.encode(), "u1")}
        self.log.recorded.keep(index, kept)
        return kept

    def _replay(
        self, index: int, kept: Mapping[str, np.ndarray], context: Any
    ) -> Mapping[str, np.ndarray]:
        """The policy learns again what it learned then."""
        if bytes(kept["options"]).decode() != self.options:
            expected = "solutions of the same solver, policy and cap, or an empty one"
            raise InvalidArgument("solve_sequence.folder", expected, "others")
        choice = Choice(**{name: jnp.asarray(kept[name]) for name in _CHOICE})
        loss = jnp.asarray(kept["loss"])
        if float(loss) >= 0:
            self.memory = _learn(self.method, self.memory, choice, context, loss)
        return kept


_CHOICE = (
    "relaxation",
    "arm",
    "probability",
    "draw",
    "normaliser",
    "scale",
    "group",
)


class _Tools(eqx.Module):
    """What `play_round` asks of a stream."""

    fronts: Any
    rtol: Any
    criterion: AbstractCriterion

    def jacobi_radius(self, index: Any) -> Any:
        del index
        expected = "YoungRelaxation(radius=...)"
        raise InvalidArgument("solve_sequence.policy", expected, "no radius")


@eqx.filter_jit
def _round(method, tools, system, index, memory, key):
    return play_round(method, tools, system, index, memory, key)


@eqx.filter_jit
def _learn(method, memory, choice, context, loss):
    known = method.policy.learn(memory, choice, context, loss)
    return jax.tree.map(lambda a, b: jnp.where(loss >= 0, a, b), known, memory)


def _plain(solved: Solved) -> dict[str, np.ndarray]:
    names = ("x", "count", "loss", "ratio", "failed")
    own = {name: np.asarray(getattr(solved, name)) for name in names}
    return own | {name: np.asarray(getattr(solved.choice, name)) for name in _CHOICE}


def _named(
    systems: Iterable[Any], policy: AbstractPolicy, log: SequenceLog
) -> Iterator[dict[str, np.ndarray]]:
    """Checked systems as arrays; an unusable one raises `_Unusable`, unrecorded."""
    for given in systems:
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            raise _Unusable("(A, b) or (A, b, context)", type(given).__name__)
        operator, rhs, *context = given
        try:
            matrix = as_csr("systems", operator)
            vector = np.asarray(rhs)
            stacked = stack_systems("systems", [(matrix, vector)])
            check_entries(_Where(), stacked.data, stacked.indices, stacked.indptr)
        except InvalidInput as error:
            raise _Unusable(error.expected, error.got) from error
        if vector.dtype.kind not in "biuf" or not np.all(np.isfinite(vector)):
            raise _Unusable("a finite right-hand side", "NaN, infinity or no number")
        if log.size not in (None, vector.size):
            raise _Unusable(f"{log.size} unknowns, as before", vector.size)
        number = float(context[0]) if context else 0.0
        if not np.isfinite(number):
            raise _Unusable("a finite context", number)
        if bool(policy.outside(jnp.asarray(number))):
            low, high = (float(bound) for bound in policy.domain() or ())
            raise _Unusable(f"a context in [{low:g}, {high:g}]", number)
        yield {
            "data": stacked.data[0],
            "indices": stacked.indices,
            "indptr": stacked.indptr,
            "rhs": vector.astype(np.float64),
            "context": np.asarray(number),
        }


class _Where(eqx.Module):
    """Stands for the owner in messages of `check_entries`."""
