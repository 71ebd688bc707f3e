"""`lemmata-check`: decide the claims of certificates again.

Exit codes: 0 every claim holds and every requirement is met, 1 not so, 2 not a
readable certificate, or used wrongly. There is no other way out.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .case import Rule

_EPILOG = """\
exit codes: 0 every claim holds and every requirement is met; 1 a claim fails, a
requirement is not met, nothing is claimed, or the problem given is not the one
certified; 2 not a readable certificate, or used wrongly.

examples:
  lemmata-check answer.lemma
  lemmata-check answer.lemma --problem cost=C.npy --problem epsilon=1e-3
  lemmata-check answer.lemma --require 'transport.marginals/1<=1e-9'
"""


def main(
    argv: Sequence[str] | None = None,
    rules: "Mapping[str, Rule] | None" = None,
) -> int:
    """Run the command; the exit code is the worst over all files.

    `rules` replaces the registry of claims, for tests of new ones.
    """
    try:
        try:
            code = _run(argv, rules)
        except SystemExit as done:  # argparse: 0 after --help, 2 after a usage error
            code = 0 if done.code in (0, None) else 2
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output left: nothing was told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except BaseException as error:  # see above: no other way out
        return _give_up(error)


def _run(argv: Sequence[str] | None, rules: "Mapping[str, Rule] | None") -> int:
    parser = _parser()
    options = parser.parse_intermixed_args(argv)
    problem = _pairs(parser, options.problem)
    outcomes = []
    for name in options.files:
        outcome = _outcome(name, problem, options, rules)
        outcomes.append(outcome)
        if not options.json:
            _say(outcome["text"], sys.stderr if "error" in outcome else sys.stdout)
    code = max(outcome["exit_code"] for outcome in outcomes)
    if options.json:
        import json

        for outcome in outcomes:
            del outcome["text"]
        several = {"exit_code": code, "files": outcomes}
        print(json.dumps(outcomes[0] if len(outcomes) == 1 else several, indent=1))
    return code


def _outcome(
    name: str,
    problem: Mapping[str, str],
    options: argparse.Namespace,
    rules: "Mapping[str, Rule] | None",
) -> dict[str, Any]:
    """What happened to one file, for JSON, and as text."""
    from .document import read
    from .errors import BadRequest, Unreadable
    from .render import printable, render
    from .report import check

    try:
        document = read(name, rules=rules)
        report = check(document, problem, options.require, options.seed, rules)
    except (Unreadable, BadRequest) as error:
        outcome = {"file": name, "exit_code": 2, "error": str(error)}
        return outcome | {"text": printable(f"{name}: {error}")}
    outcome = {"file": name, "exit_code": 0 if report.holds else 1}
    return outcome | report.to_json() | {"text": render(name, report)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lemmata-check",
        description="Decide the claims of certificates again; believe none of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="a .lemma file")
    add(
        "--problem",
        action="append",
        default=[],
        metavar="NAME=FILE|VALUE",
        help="judge on your own array (.npy .npz .csv .tsv .mtx), network (.onnx) or "
        "value; repeatable",
    )
    add(
        "--require",
        action="append",
        default=[],
        metavar="ID[<=X]",
        help="fail unless this is claimed, holds, and promises X or better; repeatable",
    )
    add(
        "--json",
        action="store_true",
        help="print JSON: the file's object, or for several exit_code and files",
    )
    add("--seed", type=_seed, metavar="N", help="repeat the draws of an earlier check")
    return parser


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"expected an integer from 0, got {text!r}")
    return int(text)


def _pairs(parser: argparse.ArgumentParser, texts: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, mark, given = text.partition("=")
        if not mark or not name or not given:
            parser.error(f"--problem {text!r}: expected NAME=FILE or NAME=VALUE")
        if name in pairs:
            parser.error(f"--problem {name} is given twice")
        pairs[name] = given
    return pairs


def _say(text: str, stream: Any) -> None:
    """Print, whatever the terminal's encoding."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _give_up(error: BaseException) -> int:
    sentences = {
        KeyboardInterrupt: "interrupted; nothing was decided",
        MemoryError: "not enough memory; nothing was decided",
        RecursionError: "the file nests too deep; nothing was decided",
    }
    kind = type(error).__name__
    sentence = sentences.get(
        type(error),
        f"unexpected {kind}, please report it; nothing was decided: {error}",
    )
    try:
        _say(f"lemmata-check: {sentence}", sys.stderr)
    except Exception:
        return 2  # not even stderr: the code must speak
    return 2


if __name__ == "__main__":
    sys.exit(main())
