"""What the judge's own functions find in an answer, for answers made on the host."""

import math
from typing import Any

import numpy as np

from lemmata_checker.case import Case, Malformed
from lemmata_checker.rules._certify_lipsdp_inequality import bound_of
from lemmata_checker.rules._certify_lipsdp_question import proof, question
from lemmata_checker.rules.certify_lipsdp_pairs import attained

from ..core import InvalidArgument

SLACK = 1e-9  # relative: what another machine's rounding may add


def least_bound(problem: Any, value: Any) -> float:
    """The least bound that the value's multipliers show, with slack; may be inf.

    **Raises:** `InvalidArgument` for multipliers that do not fit the network.
    """
    case = Case(problem.pack(), value.pack())
    try:
        found = bound_of(question(case), proof(case)).bound
    except Malformed as error:
        raise InvalidArgument("multipliers", "a proof of a bound", error) from error
    return found * (1 + SLACK) if math.isfinite(found) else found


def attained_by(problem: Any, pair: Any) -> float:
    """The ratio that a pair of inputs attains, less some slack."""
    asked = question(Case(problem.pack()))
    shape = (2, problem.network.inputs)
    pair = np.asarray(pair, dtype=np.float64)
    if pair.shape != shape or not np.all(np.isfinite(pair)):
        raise InvalidArgument("pair", f"finite numbers of shape {shape}", pair.shape)
    return attained(asked.network, asked.selected, pair, asked.linf) * (1 - SLACK)
