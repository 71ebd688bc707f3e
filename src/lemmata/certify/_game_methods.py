"""Playing a generalization game, and computing its floor."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import equinox as eqx
import jax
import numpy as np

from ..core import AbstractMethod, require
from ._game import GameRecord, GeneralizationGame
from ._measure import Sample, number
from ._world import AbstractWorld

PAPER = ("gastpar2024fantastic",)


class GameState(eqx.Module):
    """Rounds played so far."""

    key: int = eqx.field(static=True)
    estimates: np.ndarray
    losses: np.ndarray
    worlds: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """By name, for a checkpoint."""
        stamp = np.asarray(self.key, dtype=np.int64)
        names = ("estimates", "losses", "worlds")
        return {"key": stamp} | {name: getattr(self, name) for name in names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "GameState":
        """Inverse of `to_arrays`."""
        names = ("estimates", "losses", "worlds")
        return cls(int(arrays["key"]), *(np.asarray(arrays[name]) for name in names))


def integer_key(key: Any) -> int:
    """A number in [0, 2^63) made of a JAX key."""
    high, low = np.asarray(jax.random.key_data(key), dtype=np.uint64).reshape(-1)[:2]
    return int((int(high) << 32 | int(low)) % 2**63)


@final
class PlayGame(AbstractMethod):
    """Plays all rounds and records what the measure said.

    The measure gets copies of sample and answer and nothing else; the world, the seed
    and the truth are out of its reach.

    **Options:**

    - `batch`: rounds drawn in one step, >= 1.
    """

    batch: int = eqx.field(static=True, default=500)

    host: ClassVar[bool] = True

    def validate(self) -> None:
        whole = isinstance(self.batch, int) and self.batch >= 1
        require(self, "batch", whole, expected="an integer >= 1", got=self.batch)

    def init(self, problem: GeneralizationGame, key: Any) -> GameState:
        empty = np.zeros(0)
        return GameState(integer_key(key), empty, empty, np.zeros(0, dtype=np.int64))

    def step(self, problem: GeneralizationGame, state: GameState) -> GameState:
        start = len(state.estimates)
        stop = min(start + self.batch, problem.rounds)
        rounds = problem.world.rounds(state.key, start, stop)
        exact = np.array([float(loss) for loss in rounds.losses])
        said = estimates(problem, rounds, state.key, start)
        return GameState(
            state.key,
            np.concatenate([state.estimates, said]),
            np.concatenate([state.losses, exact[rounds.place]]),
            np.concatenate([state.worlds, rounds.world]),
        )

    def done(self, problem: GeneralizationGame, state: GameState) -> bool:
        return len(state.estimates) >= problem.rounds

    def finish(self, problem: GeneralizationGame, state: GameState) -> GameRecord:
        floor = np.asarray(problem.stated_no_go(state.key))
        stamp = np.asarray(state.key, dtype=np.int64)
        if not self.done(problem, state):
            return GameRecord(floor, stamp)
        return GameRecord(floor, stamp, state.estimates, state.losses, state.worlds)

    def observe(self, problem: GeneralizationGame, state: GameState) -> dict[str, Any]:
        away = np.abs(state.estimates - state.losses) >= float(problem.accuracy)
        return {"rounds": len(away), "failures": float(np.mean(away))}

    def to_arrays(self, state: GameState) -> dict[str, np.ndarray]:
        return state.to_arrays()

    def from_arrays(self, problem: Any, arrays: Mapping[str, np.ndarray]) -> GameState:
        return GameState.from_arrays(arrays)

    def citations(self) -> tuple[str, ...]:
        return PAPER


def estimates(
    problem: GeneralizationGame, rounds: Any, key: int, start: int
) -> np.ndarray:
    """What the measure says in each round, (R,)."""
    world, measure = problem.world, problem.measure
    fresh, size = None, measure.fresh()
    if size:
        fresh = world.judged().fresh(rounds, key, start, size)
    where = type(measure).__name__
    said = np.empty(len(rounds.world))
    algorithm: AbstractWorld | None = world if world.observed == 2 else None
    for r in range(len(said)):
        unseen = None if fresh is None else (int(fresh[r]), size)
        sample = Sample(rounds.points[r].copy(), rounds.labels[r].copy(), unseen)
        hypothesis = world.hypothesis(rounds.hypothesis[r])
        said[r] = number(measure.value(hypothesis, sample, algorithm), where)
    return said


@final
class ExactNoGo(AbstractMethod):
    """The floor alone: exact, or sampled for a family too large to enumerate."""

    host: ClassVar[bool] = True

    def init(self, problem: GeneralizationGame, key: Any) -> GameRecord | int:
        return integer_key(key)

    def step(self, problem: GeneralizationGame, state: Any) -> GameRecord:
        return self.finish(problem, state)

    def done(self, problem: GeneralizationGame, state: Any) -> bool:
        return isinstance(state, GameRecord)

    def finish(self, problem: GeneralizationGame, state: Any) -> GameRecord:
        if isinstance(state, GameRecord):
            return state
        floor = np.asarray(problem.stated_no_go(state))
        return GameRecord(floor, np.asarray(state, dtype=np.int64))

    def observe(self, problem: GeneralizationGame, state: Any) -> dict[str, Any]:
        return {"no_go": float(state.no_go)}

    def to_arrays(self, state: Any) -> dict[str, np.ndarray]:
        if isinstance(state, GameRecord):
            return state.pack()
        return {"key": np.asarray(state, dtype=np.int64)}

    def from_arrays(self, problem: Any, arrays: Mapping[str, np.ndarray]) -> Any:
        if "no_go" in arrays:
            return GameRecord(**arrays)
        return int(arrays["key"])

    def citations(self) -> tuple[str, ...]:
        return PAPER
