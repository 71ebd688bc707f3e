"""`lemmata list`: what there is."""

import argparse

from ... import catalogue
from .. import _show

SUMMARY = "what there is, by the user's question"
TEXT = """\
Lists every system: its name, and the question that it answers. A name is
ROOM-SYSTEM; the room is also the module, `lemmata.ROOM`."""
EXAMPLES = """\
  lemmata list
  lemmata list --json | jq '.[].slug'"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints the catalogue's names."""
    found = list(catalogue.entries().values())
    if args.json:
        fields = ("slug", "room", "question", "title")
        records = [{name: getattr(entry, name) for name in fields} for entry in found]
        print(_show.as_json(records))
        return 0
    _show.table(
        ("system", "question", "paper"),
        [(entry.slug, entry.question, entry.title) for entry in found],
    )
    print("lemmata info SYSTEM tells the rest.")
    return 0
