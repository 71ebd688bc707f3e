"""`lemmata study`: replay what the papers report, and have it judged."""

import argparse
from pathlib import Path
from typing import Any

from ... import catalogue
from .. import _show, _studying
from .._refusal import Refusal
from .report import STUDIES

SUMMARY = "replay what the papers report, and have every answer judged"
TEXT = """\
Runs the study of one, several or all systems. A study declares what it expects of each
claim (holds, fails, withheld); the separate program lemmata-check decides. Exit code
0 means that judge and study agree on everything. Sizes: tour takes seconds a system,
quick minutes, paper the full configuration."""
EXAMPLES = """\
  lemmata study --list
  lemmata study {slug} --size quick -o lemmata-studies
  lemmata study --all --size tour && lemmata report"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add = parser.add_argument
    add("slugs", nargs="*", metavar="SYSTEM", help="names that `lemmata list` shows")
    add("--all", action="store_true", help="every system")
    add("--list", action="store_true", help="list the studies and run none")
    add(
        "--size",
        choices=("tour", "quick", "paper"),
        default="tour",
        help="how much of it (default: tour)",
    )
    add(
        "-o",
        "--output",
        default=STUDIES,
        metavar="DIR",
        help=f"folder for what the studies leave (default: {STUDIES})",
    )
    add("--workers", type=int, default=2, metavar="N", help="processes (default: 2)")
    add("--cluster", metavar="ADDRESS", help="run on the Dask scheduler at ADDRESS")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Runs the studies, prints verdicts against what was declared."""
    entries = catalogue.entries()
    if args.list:
        return _list(args, [entry for entry in entries.values() if entry.study])
    if args.all and args.slugs:
        raise Refusal("Name systems or pass --all, not both.")
    if not args.all and not args.slugs:
        raise Refusal("Name at least one system, or pass --all; --list shows them.")
    if args.workers < 1:
        raise Refusal(f"--workers must be at least 1, got {args.workers}.")
    slugs = list(entries) if args.all else [catalogue.entry(s).slug for s in args.slugs]
    from ...studies import run_studies

    with _studying.progress(len(slugs)) as report:
        summary = run_studies(
            list(dict.fromkeys(slugs)),
            args.size,
            Path(args.output),
            workers=args.workers,
            progress=report,
            cluster=args.cluster,
        )
    if args.json:
        print(_show.as_json(_studying.as_json(summary)))
    else:
        _studying.show(summary, args.output)
    return 0 if summary.agrees else 1


def _list(args: argparse.Namespace, entries: list[Any]) -> int:
    if args.json:
        print(_show.as_json([{"slug": e.slug, "study": e.study} for e in entries]))
        return 0
    rows = [(e.slug, e.paper.title) for e in entries]
    _show.table(("study", "paper"), rows)
    return 0
