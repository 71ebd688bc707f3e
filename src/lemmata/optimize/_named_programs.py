"""Problems by name, for commands and run files: `HS7`, `pde`, `logistic`."""

import json
from typing import Any

import numpy as np

from ..core import InvalidArgument
from ._constrained import EqualityConstrained
from ._constrained_logistic import ConstrainedLogistic
from ._hock_schittkowski import hock_schittkowski
from ._pde_control import PDEControl

TAKES = {
    "logistic": ("features", "labels", "matrix", "rhs"),
    "pde": ("target", "weight"),
}
REQUIRED = {"logistic": ("features", "labels"), "pde": ("target",)}


def content_of(text: str) -> Any:
    """Recorded operations written as JSON, or the name itself."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        expected = "a problem's name, or recorded operations as JSON"
        raise InvalidArgument("EqualityConstrained.program", expected, error) from error


def named_program(
    name: str, arrays: dict[str, np.ndarray], tolerances: dict[str, Any]
) -> EqualityConstrained:
    """A problem by its name, with the arrays that it takes and its start, if given.

    **Raises:** `InvalidArgument` for an unknown name, a missing or a surplus array.
    """
    kind = name.lower()
    takes = TAKES.get(kind, ())
    for extra in set(arrays) - {*takes, "x0", "multipliers0"}:
        expected = f"only {', '.join([*takes, 'x0', 'multipliers0'])} with {name}"
        raise InvalidArgument("EqualityConstrained.data", expected, extra)
    for lacking in set(REQUIRED.get(kind, ())) - set(arrays):
        raise InvalidArgument(
            "EqualityConstrained.data", f"{lacking} with {name}", None
        )
    given = {key: arrays[key] for key in takes if key in arrays}
    if kind == "logistic":
        design, labels = given.pop("features"), given.pop("labels").reshape(-1)
        found = ConstrainedLogistic(design, labels, **given, **tolerances)
    elif kind == "pde":
        target = given["target"]
        weight = float(given["weight"]) if "weight" in given else 0.1
        size = target.shape[0] if target.ndim else 0
        found = PDEControl(size, target=target, weight=weight, **tolerances)
    else:
        found = hock_schittkowski(name, **tolerances)
    starts = [arrays.get(key, getattr(found, key)) for key in ("x0", "multipliers0")]
    return EqualityConstrained(
        found.objective, found.constraint, *starts, data=found.data, **tolerances
    )
