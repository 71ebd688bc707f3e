"""The one driver: chunks, limits, progress, checkpoints, and the judge at the end."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lemmata_checker.packed import digest

from . import _checkpoint as checkpoints
from ._arrays import float64, to_jax, to_numpy
from ._certificate import decided, opened
from ._chunk import Chunk, Pace, begin, compiled, conclude, hosted
from ._claim import INTERRUPTED, JUDGED, MAX_STEPS, NOT_FINITE, TIME_LIMIT, Outcome
from ._clock import compile_clock
from ._describe import as_key, describe
from ._errors import InvalidArgument, NotCertified, NotConverged
from ._method import AbstractMethod
from ._problem import AbstractProblem, AbstractValue
from ._progress import ProgressEvent, ProgressListener, listener
from ._solution import Solution, Stats

SAVE_SECONDS = 10.0  # a checkpoint at least this often, and whenever a run stops


def solve(
    problem: AbstractProblem,
    method: AbstractMethod | None = None,
    *,
    key: Any = None,
    start: Any = None,
    max_steps: int | None = None,
    time_limit: float | None = None,
    progress: bool | ProgressListener | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    throw: bool = True,
) -> Solution:
    """Solves a problem and has the checker decide what the answer is worth.

    **Arguments:**

    - `problem`: what to solve, and how good an answer must be.
    - `method`: how; None takes the problem's default.
    - `key`: integer or JAX random key; None means 0. Recorded in the solution.
    - `start`: a `Solution` or value to warm-start from.
    - `max_steps`: bound on the number of steps, over all stages.
    - `time_limit`: bound on seconds, compilation included; looked at between chunks.
    - `progress`: True for a line on stderr, or a function of a `ProgressEvent`.
    - `checkpoint`: file to resume from if it exists, and to keep up to date.
    - `throw`: raise when the run stopped early or a claim about the answer fails;
      otherwise return the solution with `result` and failed claims in it. A claim about
      the run (a rate, a descent) that fails is a finding and never raises.

    **Raises:** `NotConverged`, `NotCertified` (both carry `.solution`),
    `CheckpointMismatch`, `InvalidArgument`.
    """
    method = _check(problem, method, max_steps, time_limit)
    jax_key, recorded = as_key(key)
    begun = time.perf_counter()
    with float64(), compile_clock() as compiling, listener(progress) as report:
        here = _Run(problem, method, jax_key, report, begun)
        here.open(start, checkpoint, recorded)
        outcome = here.iterate(max_steps, time_limit)
        value = to_numpy(here.finish())
        state = to_numpy(here.state) if not method.host else here.state
        compile_seconds = compiling.seconds()
    trace = here.trace()
    ran = time.perf_counter()
    case = opened(problem, value, trace)
    worth = problem.claims_in(case, value)
    shown = method.claims(problem, value, state, trace)
    certificate = decided(case, [*worth, *shown])
    seconds = {
        "compile": min(compile_seconds, ran - begun),
        "run": max(ran - begun - compile_seconds, 0.0),
        "certify": time.perf_counter() - ran,
    }
    stats = Stats(here.steps, here.stage + 1, seconds, trace)
    solution = Solution(problem, method, value, outcome, certificate, stats, recorded)
    if throw:
        _raise_unless_good(solution, here.finished, {claim.id for claim in worth})
    return solution


def certify(problem: AbstractProblem, value: AbstractValue) -> Solution:
    """Judges an answer that was not computed here.

    **Arguments:**

    - `problem`: the problem that the answer is said to solve.
    - `value`: made by `problem.candidate(...)`.

    **Returns:** a `Solution` without method; never raises for a wrong answer.
    """
    if not isinstance(value, AbstractValue):
        expected = "a value made by problem.candidate(...)"
        raise InvalidArgument("certify.value", expected, type(value).__name__)
    begun = time.perf_counter()
    case = opened(problem, value, {})
    certificate = decided(case, problem.claims_in(case, value))
    seconds = {"certify": time.perf_counter() - begun}
    return Solution(problem, None, value, JUDGED, certificate, Stats(seconds=seconds))


@dataclass
class _Run:
    """One run in progress; the attributes always describe a finished chunk."""

    problem: Any
    method: Any
    key: Any
    report: ProgressListener
    begun: float
    state: Any = None
    steps: int = 0
    stage: int = 0
    finished: bool = False
    rows: list[dict[str, np.ndarray]] = field(default_factory=list)
    save_to: Path | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    saved: float = 0.0

    def __post_init__(self) -> None:
        if not self.method.host:
            self.problem, self.method = to_jax(self.problem), to_jax(self.method)

    def open(self, start: Any, checkpoint: Any, recorded_key: Any) -> None:
        if checkpoint is not None:
            self.save_to = Path(checkpoint)
            self.identity = checkpoints.identity(
                digest(to_numpy(self.problem).pack()),
                type(self.method).__qualname__,
                recorded_key,
                describe(self.method),
            )
            if self.save_to.exists():
                self._resume(checkpoints.load(self.save_to, self.identity))
                return
        if start is not None:
            value = start.value if isinstance(start, Solution) else start
            self.state = self.method.warm_start(self.problem, to_jax(value), self.key)
        elif self.method.host:
            self.state = self.method.init(self.problem, self.key)
        else:
            self.state = begin(self.problem, self.method, self.key)

    def _resume(self, found: checkpoints.Checkpoint) -> None:
        self.state = self.method.from_arrays(self.problem, found.state)
        self.steps, self.stage = found.steps, found.stage
        self.rows = [found.trace] if found.trace else []

    def iterate(self, max_steps: int | None, time_limit: float | None) -> Outcome:
        pace, advance = Pace(), self._advance()
        try:
            while True:
                chunk = pace.take(advance, max(self._left(max_steps), 0))
                self._accept(chunk)
                if chunk.done:
                    following = self.method.restage(self.problem, self.state)
                    if following is None:
                        return self._stopped()
                    self.state, self.stage = following, self.stage + 1
                elif self._left(max_steps) <= 0:
                    return self._limited(MAX_STEPS)
                if time_limit is not None and self._elapsed() > time_limit:
                    return self._limited(TIME_LIMIT)
        except KeyboardInterrupt:
            return self._limited(INTERRUPTED)

    def _left(self, max_steps: int | None) -> float:
        return float("inf") if max_steps is None else max_steps - self.steps

    def _advance(self) -> Callable[[int], Chunk]:
        move = hosted if self.method.host else compiled
        return lambda limit: move(self.problem, self.method, self.state, limit)

    def _accept(self, chunk: Chunk) -> None:
        self.state, self.steps = chunk.state, self.steps + chunk.steps
        if chunk.steps:
            self.rows.append(chunk.trace)
        observed = {k: float(v[-1]) for k, v in chunk.trace.items() if len(v)}
        name = type(self.method).__name__
        self.report(ProgressEvent(name, self.steps, self._elapsed(), observed))
        if self.save_to and time.perf_counter() - self.saved > SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        if self.save_to is None:
            return
        state = self.method.to_arrays(self.state)
        checkpoints.save(
            self.save_to,
            checkpoints.Checkpoint(
                self.identity, self.steps, self.stage, state, self.trace()
            ),
        )
        self.saved = time.perf_counter()

    def _stopped(self) -> Outcome:
        self.finished = True
        self._save()
        last = {name: column[-1:] for name, column in self.trace().items()}
        if any(np.isnan(value).any() for value in last.values()):
            return NOT_FINITE
        return self.method.outcome(self.problem, self.state)

    def _limited(self, outcome: Outcome) -> Outcome:
        self._save()
        return outcome

    def _elapsed(self) -> float:
        return time.perf_counter() - self.begun

    def trace(self) -> dict[str, np.ndarray]:
        names = self.rows[0] if self.rows else ()
        joined = {n: np.concatenate([row[n] for row in self.rows]) for n in names}
        self.rows = [joined] if joined else []
        return joined

    def finish(self) -> Any:
        if self.method.host:
            return self.method.finish(self.problem, self.state)
        return jax.block_until_ready(conclude(self.problem, self.method, self.state))


def _check(
    problem: Any, method: Any, max_steps: Any, time_limit: Any
) -> AbstractMethod:
    if not isinstance(problem, AbstractProblem):
        expected = "a problem, such as lemmata.transport.EntropicTransport(...)"
        raise InvalidArgument("solve.problem", expected, type(problem).__name__)
    method = problem.default_method() if method is None else method
    if not isinstance(method, AbstractMethod):
        got = method.__name__ if isinstance(method, type) else type(method).__name__
        expected = "an instance of a method, such as lemmata.transport.Sinkhorn()"
        raise InvalidArgument("solve.method", expected, got)
    if max_steps is not None and max_steps < 0:
        raise InvalidArgument("solve.max_steps", "None or >= 0", max_steps)
    if time_limit is not None and not time_limit > 0:
        raise InvalidArgument("solve.time_limit", "None or > 0 seconds", time_limit)
    return method


def _raise_unless_good(solution: Solution, finished: bool, worth: set[str]) -> None:
    """A claim about the run that fails is a finding; one about the answer raises."""
    good = finished and solution.result.name == "converged"
    if not good:
        message = f"{solution.result}\n{solution.certificate}"
        raise NotConverged(message + "\nThe solution is in .solution.", solution)
    certificate = solution.certificate
    failing = [d.id for d in certificate.refused if d.id in worth]
    if failing or not certificate.decisions:
        failing = ", ".join(failing) or "no claim was made"
        message = f"Not certified ({failing}).\n{certificate}"
        raise NotCertified(message + "\nThe solution is in .solution.", solution)
