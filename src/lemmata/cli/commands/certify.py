"""`lemmata certify`: judge an answer that was computed elsewhere."""

import argparse
import inspect
from pathlib import Path
from typing import Any

from .. import _assign, _certificate, _data, _output, _show
from .._refusal import Refusal, nearest
from . import _asking
from .solve import headline

SUMMARY = "judge an answer that was computed elsewhere"
TEXT = """\
Takes your problem and an answer from any other program, completes what a proof needs
(such as dual variables), and has every claim decided. Exit code 0 means that every
claim holds, 1 that one fails. With -o the certificate is written too."""
EXAMPLES = """\
  lemmata certify {slug} --data {data} \\
      --value NAME=answer.npy -o judged
  lemmata certify run.toml --value NAME=answer.npy      problem from a run file"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    _asking.arguments(parser)
    parser.add_argument(
        "--value",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=FILE",
        help="arrays of the answer, in the formats of --data; a name given again "
        "gathers its arrays in order, for a pair",
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="write the certificate there"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Judges, writes if asked to, prints. Returns the exit code."""
    files = _assign.files("--value", args.value)
    asked = _asking.ask(args)
    folder = _output.reserve(Path(args.output)) if args.output else None
    value = _candidate(asked.problem, files)
    from ...core import certify

    solution = certify(asked.problem, value)
    if folder is None:
        packed = asked.problem.pack()
        summary = _output.describe(solution, asked.question, packed)
    else:
        summary = _output.write(folder, solution, asked.question)
    if args.json:
        print(_show.as_json(summary))
    else:
        headline(solution)
        _certificate.show(solution.certificate)
        if folder is not None:
            print(f"Certificate: {folder / _output.ANSWER}")
            for note in summary["notes"]:
                print(f"Note: {note}")
            print(f"Have it decided again on your own data:\n  {summary['check']}")
    return 0 if solution.certified else 1


def _candidate(problem: Any, files: dict[str, list[str]]) -> Any:
    """The answer as a value; its own errors pass."""
    taken = inspect.signature(problem.candidate).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    needed = [
        n
        for n, p in taken.items()
        if p.default is p.empty and p.kind is not p.VAR_KEYWORD
    ]
    for name in files:
        if name not in taken and not open_ended:
            raise Refusal(f"--value {name}: {nearest(name, taken)}")
    lacking = [f"--value {name}=FILE" for name in needed if name not in files]
    if lacking or not files:
        words = (
            " ".join(lacking) or f"--value NAME=FILE, NAME one of {', '.join(taken)}"
        )
        raise Refusal(f"The answer is missing: pass {words}.")
    answer = {}
    for name, given in files.items():
        arrays = [_data.load("--value", {name: file})[name] for file in given]
        answer[name] = arrays[0] if len(arrays) == 1 else tuple(arrays)
    return problem.candidate(**answer)
