"""The registry: every claim id that this judge can decide.

A module `<room>_*.py` beside this one adds rules by exporting
`RULES: tuple[Rule, ...]`; names with a leading underscore are shared helpers.
"""

import importlib
import pkgutil

from ..case import Rule


def _collect() -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for name in sorted(found.name for found in pkgutil.iter_modules(__path__)):
        if name.startswith("_"):
            continue
        for rule in getattr(importlib.import_module(f".{name}", __name__), "RULES", ()):
            if rule.id in rules:
                raise ValueError(f"two rules have the id {rule.id}")
            rules[rule.id] = rule
    return rules


RULES: dict[str, Rule] = _collect()
