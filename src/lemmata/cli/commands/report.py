"""`lemmata report`: pages about finished studies."""

import argparse
from pathlib import Path

from .._refusal import Refusal

SUMMARY = "write pages about finished studies"
TEXT = """\
Turns the folder that `lemmata study` wrote into static pages that open from disk: a
front page over all systems, and one per system with plots, certificate and the
paper's figure beside ours."""
EXAMPLES = """\
  lemmata report
  lemmata report lemmata-studies -o lemmata-report --benchmarks benchmarks/results"""
STUDIES = "lemmata-studies"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add = parser.add_argument
    add(
        "studies",
        nargs="?",
        default=STUDIES,
        metavar="STUDIES_DIR",
        help=f"what `lemmata study` wrote (default: {STUDIES})",
    )
    add(
        "-o",
        "--output",
        default="lemmata-report",
        metavar="DIR",
        help="folder for the pages (default: lemmata-report)",
    )
    add("--benchmarks", metavar="DIR", help="results of benchmarks to show, if any")


def run(args: argparse.Namespace) -> int:
    """Writes the pages and prints where they are."""
    studies = Path(args.studies)
    if not studies.is_dir():
        raise Refusal(
            f"There is no folder {studies}; `lemmata study --all` writes one."
        )
    if not list(studies.glob("*/study.json")):
        raise Refusal(
            f"{studies} holds no study; `lemmata study --all -o DIR` writes them."
        )
    benchmarks = Path(args.benchmarks) if args.benchmarks else None
    if benchmarks is not None and not benchmarks.is_dir():
        raise Refusal(f"There is no folder {benchmarks}.")
    from ...report import write_report

    print(write_report(studies, Path(args.output), benchmarks))
    return 0
