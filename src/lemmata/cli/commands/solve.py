"""`lemmata solve`: a problem in files goes in; answer and certificate come out."""

import argparse
import sys
from pathlib import Path
from typing import Any

from .. import _build, _certificate, _output, _progress, _show
from .._refusal import Refusal
from . import _asking

SUMMARY = "solve a problem given in files; write answer and certificate"
TEXT = """\
Reads your arrays, solves, has the independent checker decide what the answer is worth,
and writes a folder: answer.lemma (the certificate), solution.json, value/*.npy.
Exit code 0 means converged and every claim holds; 1 means that it did not, and the
answer is written all the same. Ctrl-C keeps the answer so far."""
EXAMPLES = """\
  lemmata solve {slug} --data {data} \\
      --option {option} -o answer
  lemmata solve {slug} --data {data} \\
      --method {method} --max-steps 100 --json
  lemmata solve run.toml --time-limit 60 --checkpoint"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    _asking.arguments(parser)
    add = parser.add_argument
    add("--method", metavar="NAME", help="which method (default: the problem's own)")
    add("-o", "--output", metavar="DIR", help="folder for the answer (default: SYSTEM)")
    add("--key", type=int, metavar="N", help="random key, from 0 (default: 0)")
    add("--time-limit", type=float, metavar="S", help="stop after S seconds")
    add("--max-steps", type=int, metavar="N", help="stop after N steps")
    add(
        "--checkpoint",
        action="store_true",
        default=None,
        help="keep DIR/checkpoint.zip up to date, and resume from it if it is there",
    )
    add("--start", metavar="FILE", help="warm-start from an earlier .lemma file")
    add("--json", action="store_true", help="print JSON")
    add(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="tell on stderr how it goes (default: if it is a terminal)",
    )


def run(args: argparse.Namespace) -> int:
    """Solves, writes, prints. Returns the exit code."""
    asked = _asking.ask(args)
    request = asked.request
    folder = _output.reserve(request.output)
    method = _build.method(asked.entry, request, asked.problem)
    checkpoint = folder / _output.CHECKPOINT if request.run.get("checkpoint") else None
    from ...core import solve

    solution = solve(
        asked.problem,
        method,
        key=request.run.get("key"),
        start=_start(request.run.get("start"), asked.problem),
        max_steps=request.run.get("max_steps"),
        time_limit=request.run.get("time_limit"),
        progress=_progress.of_run(args.progress),
        checkpoint=checkpoint,
        throw=False,
    )
    summary = _output.write(folder, solution, asked.question)
    if checkpoint and solution.result.name == "converged":
        checkpoint.unlink(missing_ok=True)  # of no use to a run that is over
    if args.json:
        print(_show.as_json(summary))
    else:
        show(solution, summary, folder)
    return exit_code(solution)


def show(solution: Any, summary: dict[str, Any], folder: Path) -> None:
    """The answer for the reader, and the command to run next."""
    headline(solution)
    _certificate.show(solution.certificate)
    value = "value/*.npy, " if summary["files"]["value"] else ""
    print(f"Answer: {folder / _output.ANSWER} ({value}{_output.SUMMARY} beside it)")
    for note in summary["notes"]:
        print(f"Note: {note}")
    if solution.result.name in ("max_steps", "time_limit", "interrupted"):
        print(f"To go on from here: --start {folder / _output.ANSWER}")
    print(f"Have it decided again on your own data:\n  {summary['check']}")
    sys.stdout.flush()


def headline(solution: Any) -> None:
    """Problem, method, effort, and why the run stopped."""
    seconds = ", ".join(f"{k} {v:.2g} s" for k, v in solution.stats.seconds.items())
    problem = type(solution.problem).__name__
    if solution.method is not None:
        problem += f" by {type(solution.method).__name__}: {solution.stats.steps} steps"
    print(f"{problem}; {seconds}")
    print(f"{solution.result.name}: {solution.result.sentence}")


def exit_code(solution: Any) -> int:
    """0 converged and certified, 130 interrupted, 1 otherwise."""
    if solution.result.name == "interrupted":
        return 130
    return 0 if solution.result.name == "converged" and solution.certified else 1


def _start(file: str | None, problem: Any) -> Any:
    """An earlier answer: to its own problem, or to this one if that did not travel."""
    if file is None:
        return None
    from ...core import UnreadableFile, load

    try:
        return load(file)
    except UnreadableFile as error:
        try:
            return load(file, problem=problem)
        except UnreadableFile:
            raise Refusal(f"--start {file}: {error}") from error
