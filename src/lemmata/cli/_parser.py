"""The tree of commands, their help, and what happens to words that fit nowhere."""

import argparse
import importlib
from typing import Any, NoReturn

from ._refusal import Refusal, nearest

COMMANDS = (
    "list",
    "info",
    "init",
    "solve",
    "certify",
    "check",
    "study",
    "report",
    "completion",
)
_TEXT = """\
Solve learning and numerical problems so that every answer comes with a certificate:
what was promised, what was measured on this very instance, and the evidence with
which `lemmata-check`, a separate program, decides it again."""
_TOUR = """\
a first session:
  lemmata list                 what there is, by question
  lemmata info {slug}
                               its data, methods, options and claims
  lemmata init {slug} -o run.toml
                               a commented run file: fill in your files
  lemmata solve run.toml -o answer
                               answer and certificate in a folder
  lemmata check answer/answer.lemma
                               decide every claim again

exit codes: 0 done and certified; 1 a claim fails or the run did not converge (the
answer is written all the same); 2 bad usage or input; 130 interrupted.
With --debug, anywhere, an error shows its traceback."""


class Parser(argparse.ArgumentParser):
    """argparse, with errors as one sentence and no guessing of abbreviations."""

    def __init__(self, **settings: Any):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def format_help(self) -> str:
        """The help, its examples filled in from the catalogue."""
        from ._example import fill

        return fill(super().format_help())

    def error(self, message: str) -> NoReturn:
        """Raises `Refusal` instead of printing the usage."""
        raise Refusal(f"{message}; see `{self.prog} --help`.")


def build(*, completing: bool = False) -> Parser:
    """The whole parser.

    `completing` attaches what a shell may offer (systems, files, folders); parsing does
    not need it, so other commands do not pay for it.
    """
    parser = Parser(prog="lemmata", description=_TEXT, epilog=_TOUR)
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command"
    )
    for name in COMMANDS:
        module = importlib.import_module(f".commands.{name}", __package__)
        text = f"{module.TEXT}\n\nexamples:\n{module.EXAMPLES}"
        child = commands.add_parser(name, help=module.SUMMARY, description=text)
        module.arguments(child)
        child.set_defaults(run=module.run, parser=child)
        if completing:
            from ._completion import annotate

            annotate(child)
    return parser


def run(parser: Parser, words: list[str]) -> int:
    """Parses and runs. Raises `Refusal` for words that fit nowhere."""
    if not words:
        parser.print_help()
        return 2
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        hint = nearest(words[0], COMMANDS)
        raise Refusal(f"There is no command {words[0]!r}; {hint}")
    if words[0] == "check":  # its words belong to another program
        from .commands.check import forward

        return forward(words[1:])
    args, extra = parser.parse_known_args(words)
    if extra:
        options = args.parser._option_string_actions if "parser" in args else ()
        known = [option for option in options if option.startswith("--")]
        hint = nearest(extra[0], known) if extra[0].startswith("-") else ""
        where = f"`{' '.join(['lemmata', words[0]])}`"
        raise Refusal(f"{where} does not take {extra[0]!r}; {hint}".rstrip("; "))
    return args.run(args)


def _version() -> str:
    from .. import __version__

    return f"lemmata {__version__}"
