"""A claim, the rule that judges it, and the one place where it is decided."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from .errors import Malformed as Malformed
from .packed import Packed

T = TypeVar("T")
Grade = Literal["proof", "confidence", "evidence"]
Relation = Literal["<=", ">="]


@dataclass
class Case:
    """What a rule may look at.

    **Fields:**

    - `problem`: the packed problem, the user's own data where given.
    - `value`: the answer, name to array.
    - `witness`: this claim's arrays, by the names that its rule knows.
    - `parameters`: this claim's JSON scalars and lists.
    - `trace`: what the run recorded, name to array.
    - `seed`: for a rule that draws; printed, so that it can be repeated.
    - `memo`: one dictionary per certificate, behind `shared`.
    """

    problem: Packed
    value: Mapping[str, np.ndarray] = field(default_factory=dict)
    witness: Mapping[str, np.ndarray] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    trace: Mapping[str, np.ndarray] = field(default_factory=dict)
    seed: int = 0
    memo: dict[str, Any] = field(default_factory=dict)

    def shared(self, name: str, compute: Callable[[], T]) -> T:
        """`compute()`, once per certificate.

        Every claim that asks for `name` gets the same result, so it may depend
        on problem, value and trace, not on one claim's witness or parameters
        unless they are part of `name`.
        """
        if name not in self.memo:
            self.memo[name] = compute()
        return self.memo[name]


@dataclass
class Measurement:
    """What a rule found.

    **Fields:**

    - `measured`: the figure compared with the promise, rounding included.
    - `detail`: one sentence for the reader, may be empty.
    - `figures`: further numbers worth showing.
    - `assumptions`: name to `"checked"`, `"unchecked"` or `"violated"`.
    """

    measured: float
    detail: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    assumptions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = {*self.assumptions.values()} - {"checked", "unchecked", "violated"}
        if unknown:  # in a rule: the claim then does not hold
            raise ValueError(f"an assumption cannot be {', '.join(sorted(unknown))}")


@dataclass(frozen=True)
class Rule:
    """What a claim id means; the judge owns it, no file can restate it.

    **Fields:**

    - `id`: `room.claim_name/version`.
    - `grade`, `relation`, `statement`, `unit`: as printed.
    - `measure`: recomputes the figure; raises `Malformed` where it cannot.
    - `kinds`: problem kinds whose certificates normally make this claim; the
      report lists it as absent from one that neither makes nor withholds it.
    """

    id: str
    grade: Grade
    relation: Relation
    statement: str
    unit: str
    measure: Callable[[Case], Measurement]
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """One claim, decided. `margin` is the room left, negative if it fails."""

    id: str
    grade: Grade
    relation: Relation
    statement: str
    promised: float
    measured: float
    holds: bool
    margin: float
    detail: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    assumptions: dict[str, str] = field(default_factory=dict)
    unit: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


def decide(
    claim_id: str,
    promised: float,
    case: Case,
    rules: Mapping[str, Rule] | None = None,
) -> Decision:
    """Decide one claim. Bad data never raises: the claim then does not hold.

    A claim holds if promise and measured figure are finite, the relation is
    true and no assumption is violated.

    **Raises:** `KeyError` for an id that no rule has.
    """
    if rules is None:
        from .rules import RULES as rules  # the rules import this module
    rule = rules[claim_id]
    promise, found = _number(promised), _measure(rule, case)
    measured, detail = _number(found.measured), found.detail
    margin = promise - measured if rule.relation == "<=" else measured - promise
    violated = [
        name for name, state in found.assumptions.items() if state == "violated"
    ]
    # The comparison itself, not the sign of the margin, which is rounded.
    true = measured <= promise if rule.relation == "<=" else measured >= promise
    finite = math.isfinite(promise) and math.isfinite(measured)
    if not math.isfinite(promise):
        detail = f"a promise must be a finite number. {detail}".strip()
    if violated:
        detail = f"assumption violated: {', '.join(violated)}. {detail}".strip()
    return Decision(
        rule.id,
        rule.grade,
        rule.relation,
        rule.statement,
        promise,
        measured,
        holds=bool(finite and true and not violated),
        margin=margin,
        detail=detail,
        figures={name: _number(figure) for name, figure in found.figures.items()},
        assumptions=dict(found.assumptions),
        unit=rule.unit,
        parameters=dict(case.parameters),
    )


def _measure(rule: Rule, case: Case) -> Measurement:
    """The rule's own measurement, or NaN with the reason why there is none."""
    try:
        with np.errstate(all="ignore"):  # rules look at what comes out
            return rule.measure(case)
    except Malformed as error:
        return Measurement(math.nan, f"cannot be judged: {error}")
    except (MemoryError, RecursionError):
        raise  # says nothing about the data: the caller reports it
    except Exception as error:  # any data may be hostile; a surprise never holds
        reason = f"{type(error).__name__}: {error}"
        return Measurement(math.nan, f"the rule could not be evaluated ({reason})")


def _number(value: Any) -> float:
    """A float, NaN for whatever is not a real number."""
    if isinstance(value, bool | np.bool_ | str | bytes):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
