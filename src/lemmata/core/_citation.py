"""The papers behind a configuration, from the one bibliography."""

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files


@cache
def bibliography() -> dict[str, str]:
    """BibTeX entries by key, as `references.bib` gives them."""
    text = files("lemmata").joinpath("references.bib").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=@)", text.strip())
    return {entry.split("{", 1)[1].split(",", 1)[0]: entry.strip() for entry in entries}


def bibtex(keys: Iterable[str]) -> str:
    """The entries of `keys`, in order, separated by blank lines."""
    return "\n\n".join(bibliography()[key] for key in dict.fromkeys(keys))
