"""What a shell may offer after each word. Needs shtab: only `completion` loads it."""

import argparse

import shtab

from .. import catalogue

_FOLDERS = ("output", "studies")
_FILES = ("file", "files", "start")


def annotate(parser: argparse.ArgumentParser) -> None:
    """Attaches systems, files and folders to the arguments that take them."""
    for action in parser._actions:
        if action.dest in ("slug", "slugs", "target"):
            action.choices = list(catalogue.entries())
        elif action.dest in _FOLDERS:
            action.complete = shtab.DIRECTORY  # pyright: ignore
        elif action.dest in _FILES:
            action.complete = shtab.FILE  # pyright: ignore
