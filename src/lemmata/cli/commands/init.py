"""`lemmata init SLUG`: a commented run file to fill in."""

import argparse
import os
import secrets
from pathlib import Path

from ... import catalogue
from .. import _template
from .._refusal import Refusal

SUMMARY = "write a commented run file to fill in"
TEXT = """\
Writes SYSTEM.toml: every array and option with its meaning, type and default. Name your
files under [data], take the # away from the options that you want to change, and give
the file to `lemmata solve`. An existing file is left alone."""
EXAMPLES = """\
  lemmata init {slug}
  lemmata init {slug} --method {method} -o run.toml
  lemmata init {slug} -o -        prints it"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add = parser.add_argument
    add("slug", metavar="SYSTEM", help="a name that `lemmata list` shows")
    add("--problem", metavar="NAME", help="which problem (default: the first)")
    add("--method", metavar="NAME", help="which method (default: the first that fits)")
    add("-o", "--output", metavar="FILE", help="run file (default: SYSTEM.toml)")
    add("--force", action="store_true", help="replace an existing file")


def run(args: argparse.Namespace) -> int:
    """Writes the template."""
    entry = catalogue.entry(args.slug)
    text = _template.template(entry, args.problem, args.method)
    if args.output == "-":
        print(text, end="")
        return 0
    path = Path(args.output or f"{entry.slug}.toml")
    if path.suffix != ".toml":
        raise Refusal(f"{path}: the name of a run file ends in .toml.")
    if path.exists() and not args.force:
        raise Refusal(
            f"{path} is there already; --force replaces it, -o names another."
        )
    unfinished = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"Wrote {path}. Fill in [data], then: lemmata solve {path}")
    return 0
