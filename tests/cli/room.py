"""A room of toys with nested options, and its catalogue entry."""

from typing import final

import equinox as eqx
import jax.numpy as jnp

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem
from lemmata.core import AbstractMethod, Outcome, require
from tests.toys import Damped as Damped, DampedState, Diagonal as Diagonal, Root


class AbstractSchedule(eqx.Module):
    pass


@final
class Constant(AbstractSchedule):
    damping: float = 0.5


@final
class Mixed(AbstractSchedule):
    first: Constant = Constant()
    share: float = 0.5


@final
class Scheduled(AbstractMethod):
    """The damped iteration with a nested option."""

    schedule: AbstractSchedule | None = Constant(0.25)
    rounds: int = eqx.field(default=1, static=True)
    polish: bool = eqx.field(default=False, static=True)
    norm: str = eqx.field(default="max", static=True)
    weights: tuple[float, ...] = (1.0, 2.0)

    def validate(self):
        require(self, "rounds", self.rounds > 0, expected="> 0", got=self.rounds)

    def init(self, problem, key):
        return DampedState(jnp.zeros_like(problem.b), jnp.asarray(0.0), key)

    def step(self, problem, state):
        pull = (problem.b - problem.a * state.x) / problem.a
        return DampedState(state.x + 0.5 * pull, state.noise, state.key)

    def done(self, problem, state):
        residual = jnp.max(jnp.abs(problem.b - problem.a * state.x))
        return ~(residual > 0.5 * problem.tol)

    def finish(self, problem, state):
        return Root(state.x)


@final
class Liar(AbstractMethod):
    """Stops at once, content with zero."""

    def init(self, problem, key):
        return jnp.zeros_like(problem.b)

    def step(self, problem, state):
        return state

    def done(self, problem, state):
        return jnp.asarray(True)

    def finish(self, problem, state):
        return Root(state)

    def outcome(self, problem, state):
        return Outcome("converged", "It says so.")


KIND = "toy.diagonal/1"
_DAMPING = Option("damping", "float", "0.5", "Step length, in units of 1/a.")
ENTRY = Entry(
    slug="toy-diagonal",
    title="Diagonal systems",
    question="How do I divide one vector by another?",
    paper=Paper("toy", "On division", "A. Divider", "Toys 1 (2020)"),
    problems=(
        Problem(
            "Diagonal",
            KIND,
            "Find x with a x = b, entrywise.",
            (
                Data("a", "Positive numbers, shape (n,)."),
                Data("b", "Right-hand side, shape (n,)."),
            ),
            (
                Option("tol", "float", "1e-10", "Residual that is promised."),
                Option("secret", "bool", "False", "Disclose nothing."),
            ),
        ),
        Problem(
            "Identity",
            "toy.identity/1",
            "Find x with x = c.",
            (Data("c", "Anything."), Data("d", "More.", required=False)),
            (Option("scale", "float", "", "What to measure in."),),
        ),
    ),
    methods=(
        Method(
            "Scheduled",
            "Damped iteration with a schedule.",
            (KIND,),
            (
                Option(
                    "schedule", "Constant | Mixed | None", "Constant(0.25)", "Damping."
                ),
                Option("rounds", "int", "1", "How often."),
                Option("polish", "bool", "False", "Whether to polish."),
                Option("norm", '"max" | "sum"', "'max'", "Which norm."),
                Option("weights", "tuple[float, ...]", "(1.0, 2.0)", "Weights."),
            ),
        ),
        Method(
            "Damped",
            "Damped iteration with noise.",
            (KIND,),
            (_DAMPING, Option("room", "int", "0", "Room to leave.")),
            baseline=True,
        ),
        Method("Liar", "Stops at once.", (KIND,), baseline=True),
        Method("Identify", "Returns c.", ("toy.identity/1",)),
    ),
    parts=(
        Method("Constant", "Always the same.", (), (_DAMPING,)),
        Method(
            "Mixed",
            "Two schedules.",
            (),
            (
                Option("first", "Constant", "Constant()", "The first schedule."),
                Option("share", "float", "0.5", "Of the first."),
            ),
        ),
    ),
    claims=(ClaimEntry("toy.residual/1", "The residual is small."),),
    example="tests.cli.room:example",
    study="tests.cli.room",
    benchmark="none.py",
)
