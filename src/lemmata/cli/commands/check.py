"""`lemmata check`: the separate program `lemmata-check`, for convenience."""

import argparse

SUMMARY = "decide a certificate's claims again (the same as lemmata-check)"
TEXT = """\
Decides every claim of a .lemma file again. This is the separate program
`lemmata-check`, which needs neither lemmata nor JAX: use that one where the verdict
matters, from an installation of your own. Its exit codes: 0 all claims hold, 1 some
claim fails, 2 not a readable certificate."""
EXAMPLES = """\
  lemmata check answer/answer.lemma
  lemmata check answer/answer.lemma --problem {data}
  lemmata check answer/answer.lemma --require {claim} --json"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The checker's arguments, for help and completion only."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .lemma file")
    add = parser.add_argument
    add("--problem", metavar="NAME=FILE", help="judge on your own data; repeatable")
    add("--require", metavar="ID[<=X]", help="turn an absent claim into a failure")
    add("--json", action="store_true", help="print JSON")
    add("--seed", metavar="N", help="repeat the draws of an earlier check")


def run(args: argparse.Namespace) -> int:
    """Never reached: the words go to the checker unparsed."""
    raise AssertionError(args)


def forward(words: list[str]) -> int:
    """Runs the checker on the words as they are."""
    from lemmata_checker.cli import main

    return main(words)
