"""Lets docstrings write `<C, P>` for an inner product without it becoming a tag."""

import re
from typing import Any

import griffe


class InnerProducts(griffe.Extension):
    """Escapes `<` before a letter, outside code, in every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for every object that it has read."""
        if obj.docstring is not None:
            parts = obj.docstring.value.split("`")
            parts[::2] = [re.sub(r"<(?=[A-Za-z])", "&lt;", part) for part in parts[::2]]
            obj.docstring.value = "`".join(parts)
