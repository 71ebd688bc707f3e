"""Expected against decided: what became of every claim, and the counts of a system."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ._study import Case, Claim, Study

GRADES = ("proof", "confidence", "evidence")
ABSENT = "expected, but the certificate says nothing about it"


@dataclass(frozen=True)
class Outcome:
    """One claim of one case.

    `status`: "held", "failed" (as expected), "withheld", or "disagrees". `claim` is
    `None` where nothing was decided, and `reason` then says why.
    """

    id: str
    status: str
    expected: str
    found: str
    claim: Claim | None
    reason: str = ""


@dataclass(frozen=True)
class JudgedCase:
    """A case with the outcome of each of its claims; none where it is not judged."""

    case: Case
    outcomes: tuple[Outcome, ...]

    @property
    def judged(self) -> bool:
        """The separate judge has seen this certificate."""
        return self.case.verdict is not None

    @property
    def disagreements(self) -> int:
        """How many claims came out otherwise than expected.

        At least 1 for an unreadable certificate and where the study itself says that
        the judge does not agree, even if every single claim looks right.
        """
        found = sum(outcome.status == "disagrees" for outcome in self.outcomes)
        verdict = self.case.verdict
        unreadable = verdict is not None and verdict.exit == 2
        return max(found, int(unreadable or self.case.agrees is False))

    def expectations(self) -> str:
        """What was expected, counted: "5 hold, 1 withheld"."""
        expected = Counter(outcome.expected for outcome in self.outcomes)
        shown = []
        for word, one, many in (
            ("holds", "holds", "hold"),
            ("fails", "fails", "fail"),
            ("withheld", "withheld", "withheld"),
        ):
            if amount := expected[word]:
                shown.append(f"{amount} {one if amount == 1 else many}")
        return ", ".join(shown)


@dataclass
class Tally:
    """Counts over cases; `grades` counts the claims that hold by their grade."""

    held: int = 0
    failed: int = 0
    withheld: int = 0
    disagreements: int = 0
    unjudged: int = 0
    grades: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Adds the counts of `other`."""
        self.held += other.held
        self.failed += other.failed
        self.withheld += other.withheld
        self.disagreements += other.disagreements
        self.unjudged += other.unjudged
        self.grades += other.grades


def judge(case: Case) -> JudgedCase:
    """The outcome of each claim that was decided, withheld or expected."""
    if case.verdict is None:
        return JudgedCase(case, ())
    decided = [_decided(claim, case.expected) for claim in case.verdict.claims]
    withheld = [
        _missing(name, "withheld", case.expected, reason)
        for name, reason in case.verdict.withheld.items()
    ]
    seen = {outcome.id for outcome in [*decided, *withheld]}
    absent = [
        _missing(name, "absent", case.expected, ABSENT)
        for name in case.expected
        if name not in seen
    ]
    return JudgedCase(case, (*decided, *withheld, *absent))


def _decided(claim: Claim, expectations: dict[str, str]) -> Outcome:
    expected = expectations.get(claim.id, "nothing")
    found = "holds" if claim.holds else "fails"
    status = {"holds": "held", "fails": "failed"}[found]
    status = status if expected == found else "disagrees"
    return Outcome(claim.id, status, expected, found, claim)


def _missing(
    name: str, found: str, expectations: dict[str, str], reason: str
) -> Outcome:
    expected = expectations.get(name, "nothing")
    status = "withheld" if expected == found else "disagrees"
    return Outcome(name, status, expected, found, None, reason)


def tally(study: Study) -> Tally:
    """The counts of one study."""
    total = Tally()
    for judged in map(judge, study.cases):
        total.add(_tally(judged))
    return total


def _tally(judged: JudgedCase) -> Tally:
    statuses = Counter(outcome.status for outcome in judged.outcomes)
    grades = Counter(
        outcome.claim.grade
        for outcome in judged.outcomes
        if outcome.claim is not None and outcome.claim.holds
    )
    return Tally(
        held=statuses["held"],
        failed=statuses["failed"],
        withheld=statuses["withheld"],
        disagreements=judged.disagreements,
        unjudged=int(not judged.judged),
        grades=grades,
    )


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of all counts."""
    everything = Tally()
    for one in tallies:
        everything.add(one)
    return everything
