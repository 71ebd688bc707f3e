"""Deciding a whole certificate, on its own data or on the user's."""

import math
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .case import Case, Decision, Relation, Rule, decide
from .document import Document
from .errors import BadRequest
from .packed import Packed
from .rebuild import Source, rebuild

_REQUIREMENT = re.compile(r"([a-z0-9_./]+?)\s*(?:(<=|>=)\s*(\S+))?")
_STATED = ("method", "key", "result", "stats", "versions")


@dataclass(frozen=True)
class Report:
    """What was decided.

    **Fields:**

    - `system`, `kind`: as in the file.
    - `decisions`: one per claim, in the file's order.
    - `withheld`: records with `id` and `reason`.
    - `absent`: ids that this kind of problem calls for, or that were required,
      neither claimed nor withheld.
    - `sources`: every piece of the problem.
    - `same_problem`: whether the problem judged is the one certified.
    - `unmet`: one sentence per requirement that is not met.
    - `unjudged`: those of `"value/…"` that no claim looked at.
    - `seed`: what rules that draw were given.
    - `stated`: method, key, result, stats, versions, which nobody checks.
    """

    system: str
    kind: str
    decisions: tuple[Decision, ...]
    withheld: tuple[dict[str, str], ...]
    absent: tuple[str, ...]
    sources: tuple[Source, ...]
    same_problem: bool
    unmet: tuple[str, ...]
    unjudged: tuple[str, ...]
    seed: int
    stated: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """At least one claim, all hold, on the problem certified, as required."""
        held = bool(self.decisions) and all(d.holds for d in self.decisions)
        return held and self.same_problem and not self.unmet

    @property
    def verdict(self) -> str:
        """The outcome in one line."""
        count = len(self.decisions)
        failed = sum(not decision.holds for decision in self.decisions)
        if not count:
            verdict = "This file certifies nothing: it makes no claim."
        elif failed:
            verdict = (
                f"{failed} of {count} claims FAIL." if count > 1 else "The claim FAILS."
            )
        else:
            verdict = f"All {count} claims hold." if count > 1 else "The claim holds."
        if not self.same_problem:
            verdict += " The file certifies another problem than the one given."
        if self.unmet:
            verdict += " Required, but not met: " + "; ".join(self.unmet) + "."
        return verdict

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON, with the decisions as `claims`.

        A number that is not finite becomes null.
        """
        plain = {"holds": self.holds, "verdict": self.verdict} | asdict(self)
        plain["claims"] = plain.pop("decisions")
        plain["sources"] = [source._asdict() for source in self.sources]
        return _finite(plain)


class _Watched(Mapping[str, np.ndarray]):
    """A mapping that remembers which of its arrays somebody looked at."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self._arrays = arrays
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        array = self._arrays[name]
        self.seen.add(name)
        return array

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class _Requirement(NamedTuple):
    id: str
    relation: Relation
    limit: float | None

    def unmet(self, decisions: Sequence[Decision]) -> Iterator[str]:
        """A sentence for each decision that falls short."""
        for decision in decisions:
            strict = self.limit is None or (
                decision.promised <= self.limit
                if self.relation == "<="
                else decision.promised >= self.limit
            )
            if not decision.holds:
                yield f"{self.id} fails"
            elif not strict:
                promised = f"{self.relation} {decision.promised!r}"
                yield f"{self.id} promises only {promised}, not {self.limit!r}"


def check(
    document: Document,
    problem_files: Mapping[str, str] | None = None,
    requirements: Sequence[str] = (),
    seed: int | None = None,
    rules: Mapping[str, Rule] | None = None,
) -> Report:
    """Decide every claim of a document again.

    **Arguments:**

    - `problem_files`: name of an array to a file of it, or name of a JSON field
      to its value as text; they replace what the document says.
    - `requirements`: `"ID"`, `"ID<=X"` or `"ID>=X"`: there is such a claim, and
      each one holds and promises at least that much.
    - `seed`: for rules that draw; fresh if not given.

    **Raises:** `BadRequest`, `Unreadable`: nothing was decided.
    """
    if rules is None:
        from .rules import RULES as rules  # loads every room's rules: only if asked
    wanted = [_requirement(text, rules) for text in requirements]
    problem, sources, same = rebuild(document, problem_files or {})
    seed = secrets.randbelow(2**53) if seed is None else seed
    value = _Watched(document.value)
    decisions = _decide_all(document, problem, value, seed, rules)
    absent, unmet = _missing(document, decisions, wanted, rules)
    referred = {
        p for claim in document.claims for p in claim.get("witness", {}).values()
    }
    unseen = [f"value/{name}" for name in document.value if name not in value.seen]
    return Report(
        document.system,
        problem.kind,
        decisions,
        tuple(document.withheld),
        absent,
        sources,
        same,
        unmet,
        tuple(path for path in unseen if path not in referred),
        seed,
        {name: getattr(document, name) for name in _STATED},
    )


def _decide_all(
    document: Document,
    problem: Packed,
    value: Mapping[str, np.ndarray],
    seed: int,
    rules: Mapping[str, Rule],
) -> tuple[Decision, ...]:
    folders = {f: getattr(document, f) for f in ("value", "witness", "trace")}
    memo: dict[str, Any] = {}
    decisions = []
    for claim in document.claims:
        witness = {}
        for name, path in claim.get("witness", {}).items():
            folder, key = path.split("/")
            witness[name] = folders[folder][key]
        parameters = claim.get("parameters", {})
        case = Case(problem, value, witness, parameters, document.trace, seed, memo)
        decisions.append(decide(claim["id"], claim["promised"], case, rules))
    return tuple(decisions)


def _requirement(text: str, rules: Mapping[str, Rule]) -> _Requirement:
    match = _REQUIREMENT.fullmatch(text.strip())
    if match is None:
        raise BadRequest(f"requirement {text!r}: expected ID, ID<=X or ID>=X")
    claim_id, relation, figure = match.groups()
    if claim_id not in rules:
        raise BadRequest(f"requirement {text!r}: no claim is called {claim_id!r}")
    right = rules[claim_id].relation
    if relation is None:
        return _Requirement(claim_id, right, None)
    if relation != right:
        raise BadRequest(f"requirement {text!r}: this claim promises {right}")
    try:
        limit = float(figure)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise BadRequest(f"requirement {text!r}: {figure!r} is not a finite number")
    return _Requirement(claim_id, right, limit)


def _missing(
    document: Document,
    decisions: Sequence[Decision],
    wanted: Sequence[_Requirement],
    rules: Mapping[str, Rule],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Absent ids, and a sentence for each requirement that is not met."""
    reasons = {entry["id"]: entry["reason"] for entry in document.withheld}
    made = {decision.id for decision in decisions}
    usual = {rule.id for rule in rules.values() if document.problem.kind in rule.kinds}
    absent = (usual | {need.id for need in wanted}) - made - set(reasons)
    unmet = []
    for need in wanted:
        if need.id in made:
            unmet += need.unmet([d for d in decisions if d.id == need.id])
        elif need.id in reasons:
            unmet.append(f"{need.id} is withheld ({reasons[need.id]})")
        else:
            unmet.append(f"{need.id} is absent")
    return tuple(sorted(absent)), tuple(unmet)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    return (
        [_finite(entry) for entry in value]
        if isinstance(value, list | tuple)
        else value
    )
