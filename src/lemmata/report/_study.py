"""What a study folder says, as typed data. `study.json` is read, never trusted."""

from dataclasses import dataclass
from pathlib import Path

from ._fields import Node, read_json
from ._plot import Plot, read_plot

FORMAT = "lemmata-study/1"
EXPECTED = ("holds", "fails", "withheld")


@dataclass(frozen=True)
class Claim:
    """One decided claim, as the separate judge printed it."""

    id: str
    grade: str
    relation: str
    statement: str
    promised: float | None
    measured: float | None
    holds: bool
    detail: str
    figures: dict[str, float]
    assumptions: dict[str, str]
    unit: str = ""
    parameters: str = ""


@dataclass(frozen=True)
class Verdict:
    """The judge's answer to one certificate; `withheld` maps id to reason.

    `error` is what it says of a file that it cannot read.
    """

    exit: int
    error: str
    claims: tuple[Claim, ...]
    withheld: dict[str, str]


@dataclass(frozen=True)
class Case:
    """One certificate of a study and what was expected of it."""

    name: str
    title: str
    file: str
    method: str
    result: str
    sentence: str
    steps: float | None
    seconds: dict[str, float]
    expected: dict[str, str]
    verdict: Verdict | None
    agrees: bool | None


@dataclass(frozen=True)
class Figure:
    """The paper's figure beside ours."""

    quantity: str
    paper: str
    ours: str
    note: str


@dataclass(frozen=True)
class Table:
    """A titled table; cells are text, numbers, yes or no, or nothing."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | bool | None, ...], ...]

    @property
    def numeric(self) -> set[int]:
        """The columns, the first aside, in which every cell is a number or empty."""
        return {
            index
            for index in range(1, len(self.columns))
            if all(
                isinstance(row[index], int | float | None)
                and not isinstance(row[index], bool)
                for row in self.rows
            )
        }


@dataclass(frozen=True)
class Study:
    """Everything that one study left behind."""

    slug: str
    size: str
    title: str
    seconds: float | None
    summary: tuple[str, ...]
    cases: tuple[Case, ...]
    plots: tuple[Plot, ...]
    figures: tuple[Figure, ...]
    comparisons: tuple[Table, ...]
    skipped: str
    versions: dict[str, str]


def read_study(path: Path) -> Study:
    """A study.json. Raises `Unreadable` with the place that is wrong."""
    root = read_json(path, FORMAT)
    return Study(
        slug=root["slug"].text(),
        size=root["size"].text(),
        title=root["title"].text(),
        seconds=root["seconds"].number(),
        summary=tuple(node.text() for node in root["summary"].items(64)),
        cases=tuple(_case(node) for node in root["cases"].items(256)),
        plots=tuple(read_plot(node) for node in root["plots"].items(64)),
        figures=tuple(_figure(node) for node in root["figures"].items(256)),
        comparisons=tuple(_table(node) for node in root["comparisons"].items(64)),
        skipped=root["skipped"].text(),
        versions=root["versions"].texts(),
    )


def _case(node: Node) -> Case:
    expected = {}
    for key, value in node["expected"].pairs():
        expected[key] = value.choice(EXPECTED)
    verdict = node["verdict"]
    return Case(
        name=node["name"].text(),
        title=node["title"].text() or node["name"].text(),
        file=node["file"].text(),
        method=node["method"].text(),
        result=node["result"]["name"].text(),
        sentence=node["result"]["sentence"].text(),
        steps=node["steps"].number(),
        seconds=node["seconds"].numbers(),
        expected=expected,
        verdict=None if verdict.missing else _verdict(verdict),
        agrees=node["agrees"].flag(),
    )


def _verdict(node: Node) -> Verdict:
    withheld = {}
    for item in node["withheld"].items():
        withheld[item["id"].text()] = item["reason"].text()
    code = node["exit"].number()
    return Verdict(
        exit=2 if code is None or code not in (0, 1) else int(code),
        error=node["error"].text(),
        claims=tuple(_claim(item) for item in node["claims"].items()),
        withheld=withheld,
    )


def _claim(node: Node) -> Claim:
    return Claim(
        id=node["id"].text(),
        grade=node["grade"].choice(("evidence", "confidence", "proof")),
        relation=node["relation"].choice(("<=", ">=")),
        statement=node["statement"].text(),
        promised=node["promised"].number(),
        measured=node["measured"].number(),
        holds=node["holds"].flag() is True,
        detail=node["detail"].text(),
        figures=node["figures"].numbers(),
        assumptions=node["assumptions"].texts(),
        unit=node["unit"].text(),
        parameters=", ".join(f"{k} {v}" for k, v in node["parameters"].texts().items()),
    )


def _figure(node: Node) -> Figure:
    return Figure(
        quantity=node["quantity"].text(),
        paper=node["paper"].text(),
        ours=node["ours"].text(),
        note=node["note"].text(),
    )


def _table(node: Node) -> Table:
    columns = tuple(item.text() for item in node["columns"].items(64))
    rows = []
    for row in node["rows"].items():
        cells = tuple(cell.cell() for cell in row.items(64))
        if len(cells) != len(columns):
            raise row.expected(f"{len(columns)} cells")
        rows.append(cells)
    return Table(node["title"].text(), columns, tuple(rows))
