"""Claims put to the checker, and what the checker says of them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lemmata_checker.case import Case, Decision, decide

from ._claim import Claim, Withheld


@dataclass(frozen=True)
class Certificate:
    """Every claim about an answer with the checker's decision, and the claims withheld.

    Truth of a certificate is `certificate.holds`: at least one claim, and all decided
    in the answer's favour. `certificate["marginals"]` is one decision.
    """

    claims: tuple[Claim, ...]
    decisions: tuple[Decision, ...]
    withheld: tuple[Withheld, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether there is a claim and all claims hold."""
        return bool(self.decisions) and all(d.holds for d in self.decisions)

    @property
    def refused(self) -> tuple[Decision, ...]:
        """The claims that do not hold."""
        return tuple(d for d in self.decisions if not d.holds)

    def __getitem__(self, name: str) -> Decision:
        """The decision on a claim, by id or by the bare name within it."""
        for decision in self.decisions:
            if name in (decision.id, bare_name(decision.id)):
                return decision
        issued = ", ".join(bare_name(d.id) for d in self.decisions) or "none"
        raise KeyError(f"{name}: not among the claims issued ({issued})")

    def __contains__(self, name: str) -> bool:
        return any(name in (d.id, bare_name(d.id)) for d in self.decisions)

    def __str__(self) -> str:
        rows = [_row(decision) for decision in self.decisions]
        rows += [("withheld", bare_name(w.id), "", w.reason) for w in self.withheld]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
        return "\n".join(
            "  ".join(
                [*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]
            )
            for row in rows
        )


def bare_name(claim_id: str) -> str:
    """`marginals` of `transport.marginals/1`."""
    return claim_id.partition(".")[2].partition("/")[0]


def _row(decision: Decision) -> tuple[str, str, str, str]:
    verdict = "holds" if decision.holds else "FAILS"
    figures = f"{decision.measured:.4g} {decision.relation} {decision.promised:.4g}"
    return verdict, bare_name(decision.id), decision.grade, figures


def judge(
    problem: Any,
    value: Any,
    claims: Iterable[Claim | Withheld],
    trace: Mapping[str, np.ndarray],
) -> Certificate:
    """Has the checker decide every claim; shared passes are made once."""
    return decided(opened(problem, value, trace), claims)


def opened(problem: Any, value: Any, trace: Mapping[str, np.ndarray]) -> Case:
    """The case in which all claims about one answer are decided."""
    seed = int.from_bytes(os.urandom(4), "little")
    return Case(problem.pack(), value.pack(), trace=dict(trace), seed=seed)


def decided(case: Case, claims: Iterable[Claim | Withheld]) -> Certificate:
    """The claims with the checker's decisions."""
    issued, decisions, withheld = [], [], []
    for claim in claims:
        if isinstance(claim, Withheld):
            withheld.append(claim)
            continue
        witness = {name: np.asarray(a) for name, a in claim.witness.items()}
        one = replace(case, witness=witness, parameters=dict(claim.parameters))
        issued.append(claim)
        decisions.append(decide(claim.id, float(claim.promised), one))
    return Certificate(tuple(issued), tuple(decisions), tuple(withheld))
