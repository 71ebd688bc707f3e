"""`lemmata info SLUG`: everything about one system."""

import argparse
import dataclasses
from collections.abc import Iterable

from ... import catalogue
from .. import _show

SUMMARY = "one system: its data, methods, options and claims"
TEXT = """\
Shows what a system solves and who wrote the paper, which arrays each problem takes,
every method with its options and their defaults, and what an answer can claim."""
EXAMPLES = """\
  lemmata info {slug}
  lemmata info {slug} --json"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "slug", metavar="SYSTEM", help="a name that `lemmata list` shows"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints one entry."""
    entry = catalogue.entry(args.slug)
    if args.json:
        print(_show.as_json(dataclasses.asdict(entry) | {"room": entry.room}))
        return 0
    console = _show.console()
    paper = entry.paper
    where = f"{paper.venue}, arXiv {paper.arxiv}" if paper.arxiv else paper.venue
    console.print(f"{entry.slug}: {entry.title}", style="bold")
    console.print(f"{entry.question}\n")
    console.print(f"Paper: {paper.authors.rstrip('.')}. {paper.title}. {where}\n")
    for problem in entry.problems:
        _problem(entry, problem)
    for method in entry.methods:
        _class(method, "Baseline" if method.baseline else "Method")
    for part in entry.parts:
        _class(part, "Option type")
    _claims(entry.claims)
    print(f"Start with: lemmata init {entry.slug}")
    return 0


def _problem(entry: catalogue.Entry, problem: catalogue.Problem) -> None:
    solvers = [m.name for m in entry.methods if problem.kind in m.solves]
    rows = [
        (f"{d.name}=FILE", "array" if d.required else "array, optional", "", d.about)
        for d in problem.data
    ]
    rows += _options(problem.options)
    _show.table(
        ("name", "type", "default", "meaning"),
        rows,
        title=f"Problem {problem.name}: {problem.about}",
    )
    print(f"  solved by {', '.join(solvers) or 'no method here'}\n")


def _class(method: catalogue.Method, word: str) -> None:
    title = f"{word} {method.name}: {method.about}"
    if method.options:
        _show.table(
            ("name", "type", "default", "meaning"), _options(method.options), title
        )
    else:
        _show.console().print(f"{title}\n", style="bold")


def _options(options: Iterable[catalogue.Option]) -> list[tuple[str, str, str, str]]:
    return [(o.name, o.type, o.default or "required", o.about) for o in options]


def _claims(claims: Iterable[catalogue.ClaimEntry]) -> None:
    rows = [
        (c.id, c.about + (f" Withheld {c.withheld_when}" if c.withheld_when else ""))
        for c in claims
    ]
    _show.table(("claim", "says"), rows, title="Claims")
