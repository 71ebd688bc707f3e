"""A certificate for the reader: as a table, and as JSON."""

import dataclasses
from typing import Any

from . import _show


def show(certificate: Any) -> None:
    """One line per claim: verdict, name, grade, figures, and what to know about it."""
    rows = [
        (
            "holds" if decision.holds else "FAILS",
            decision.id,
            decision.grade,
            f"{decision.measured:.4g} {decision.relation} {decision.promised:.4g}",
            _remark(decision),
        )
        for decision in certificate.decisions
    ]
    rows += [("withheld", w.id, "", "", w.reason) for w in certificate.withheld]
    columns = ("", "claim", "grade", "measured, promised", "")
    _show.table(columns, rows or [("", "no claim was made", "", "", "")])


def as_json(certificate: Any) -> dict[str, Any]:
    """Claims as decided and claims withheld."""
    return {
        "claims": [dataclasses.asdict(decision) for decision in certificate.decisions],
        "withheld": [dataclasses.asdict(entry) for entry in certificate.withheld],
    }


def _remark(decision: Any) -> str:
    """What failed, and assumptions nobody checked; what holds needs no words."""
    parts = []
    if not decision.holds:
        parts = [decision.statement, decision.detail]
    open_ends = [name for name, how in decision.assumptions.items() if how != "checked"]
    if open_ends:
        parts.append(f"assuming {', '.join(open_ends)}")
    return "; ".join(part for part in parts if part)
