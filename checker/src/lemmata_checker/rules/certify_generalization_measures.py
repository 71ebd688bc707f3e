"""Values of generalization measures on a trained model, bounded from above."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..case import Case, Malformed
from ..rigor import gamma
from .certify_generalization_capacity import (
    norms,
    pac_bayes_spectral,
    path_norm,
    spectral_margin,
    vc_dimension,
)
from .certify_generalization_formulas import (
    ROUNDED,
    compression,
    occam,
    vapnik,
)
from .certify_generalization_linear import ridge_stability
from .certify_generalization_models import (
    Margins,
    every_parameter,
    margins,
    network,
    parameters,
    square_norms,
    train,
)
from .certify_generalization_numbers import (
    binomial_upper,
)
from .certify_generalization_played import delta_of, option
from .certify_generalization_posterior import pac_bayes
from .certify_generalization_rademacher import kernel_class, linear_class
from .certify_generalization_shells import shell_delta, shell_of

CONTROL = "hold_out"
GIBBS = ("pac_bayes",)
CAPACITIES = ("spectral_margin", "pac_bayes_spectral", "path_norm")
UNJUDGED = "custom"


@dataclass
class Figure:
    """A value, enclosed; of a bound only `high` counts."""

    high: float
    low: float = 0.0
    assumptions: dict[str, str] = field(default_factory=dict)


def records(case: Case) -> list[dict[str, Any]]:
    """The measures that the judge knows, in order. Raises `Malformed`."""
    stated = case.problem.json.get("measures")
    if not isinstance(stated, list) or not 0 < len(stated) <= 100:
        raise Malformed("measures: expected a list of 1 to 100 records")
    for record in stated:
        name = record.get("name") if isinstance(record, dict) else None
        if name != UNJUDGED and name not in _FIGURES:
            raise Malformed(f"measures: unknown {name!r}")
    return [record for record in stated if record["name"] != UNJUDGED]


def value_array(case: Case, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A float64 array of the value, finite. Raises `Malformed`."""
    found = case.value.get(name)
    if found is None or found.dtype != np.float64 or found.shape != shape:
        raise Malformed(f"{name}: expected float64 of shape {shape}")
    if not np.all(np.isfinite(found)):
        raise Malformed(f"{name}: expected finite numbers")
    return found


def figure(case: Case, place: int) -> Figure:
    """The value of one known measure, once per certificate."""
    record = records(case)[place]
    return case.shared(
        f"generalization: measure {place}",
        lambda: _FIGURES[record["name"]](case, record),
    )


def _margins(case: Case) -> Margins:
    found = margins(case, "train")
    if found is None:
        raise Malformed("train_inputs and train_labels: missing")
    return found


def train_loss(case: Case) -> float:
    """The share of training errors, at least."""
    found = _margins(case)
    return found.errors() / len(found.low)


def _margin(record: Mapping[str, Any]) -> float:
    return option(record, "margin", 0, 1e300)


def _occam(case: Case, record: Mapping[str, Any]) -> Figure:
    bits, weights = record.get("bits"), every_parameter(network(case))
    if bits not in (16, 32, 64):
        raise Malformed(f"measure.bits: expected 16, 32 or 64, got {bits!r}")
    short = {16: np.float16, 32: np.float32, 64: np.float64}[bits]
    with np.errstate(over="ignore"):
        fits = np.array_equal(weights.astype(short).astype(np.float64), weights)
    size = bits * len(weights) * math.log(2)
    n = len(train(case).labels)
    value = occam(train_loss(case), size, n, delta_of(record))
    said = {f"weights of {bits} bits": "checked" if fits else "violated"}
    return Figure(value, assumptions=said | {"architecture fixed before": "unchecked"})


def _vc(case: Case, record: Mapping[str, Any]) -> Figure:
    n = len(train(case).labels)
    value = vapnik(train_loss(case), vc_dimension(case), n, delta_of(record))
    return Figure(value, assumptions={"architecture fixed before": "unchecked"})


def _compression(case: Case, record: Mapping[str, Any]) -> Figure:
    found, size, ordered = _margins(case), record.get("size"), record.get("ordered")
    n = len(found.low)
    if type(size) is not int or not 0 <= size < n or not isinstance(ordered, bool):
        raise Malformed(f"measure.size: expected an integer in [0, {n}) and ordered")
    value = compression(found.errors(), size, n, delta_of(record), ordered)
    said = {"the kept samples alone give this model": "unchecked"}
    return Figure(value, assumptions=said)


def _frobenius(case: Case, record: Mapping[str, Any]) -> Figure:
    """L_gamma + 2 c 2^j (sqrt(2 ln 2 L) + 1) sqrt(sum ||x||^2) / n + deviation.

    Golowich, Rakhlin, Shamir 2018, theorem 1: the Rademacher complexity of networks
    with prod ||A_i||_F <= M. Here M = 2^j >= prod / gamma, a union over j; c = 1 for
    one output, 2K for K: the margin is sqrt(2)-Lipschitz in K outputs (Maurer 2016).
    """
    found, margin, n = norms(case), _margin(record), len(train(case).labels)
    product = math.prod(found.frobenius) / margin * (1 + found.rounding)
    shell, outputs = shell_of(product), network(case).outputs
    factor = 1.0 if outputs == 1 else 2.0 * outputs
    depth = math.sqrt(2 * math.log(2) * len(found.frobenius)) + 1
    data = math.sqrt(float(np.sum(square_norms(case))) * (1 + gamma(n))) / n
    complexity = factor * 2.0**shell * depth * data
    loss = _margins(case).below(margin) / n
    return Figure(_deviating(loss, complexity, n, shell, delta_of(record)))


def _deviating(
    loss: float, complexity: float, n: int, shell: int, delta: float
) -> float:
    away = 3 * math.sqrt(math.log(2 / shell_delta(delta, shell)) / (2 * n))
    return (loss + 2 * complexity + away) * ROUNDED


def _capacity(function: Callable[..., Any]) -> Callable[..., Figure]:
    def measure(case: Case, record: Mapping[str, Any]) -> Figure:
        found = function(case, record, _margin(record))
        return Figure(found.high, found.low)

    return measure


def _hold_out(case: Case, record: Mapping[str, Any]) -> Figure:
    found = margins(case, "test")
    if found is None:
        raise Malformed("hold_out: expected test_inputs and test_labels")
    value = binomial_upper(found.errors(), len(found.low), delta_of(record))
    return Figure(value, assumptions={"fresh test set": "unchecked"})


def _pac_bayes(case: Case, record: Mapping[str, Any]) -> Figure:
    deviation = value_array(
        case, "posterior_deviation", (len(parameters(network(case))),)
    )
    index, key = case.value.get("prior_index"), case.value.get("key")
    for name, array in (("prior_index", index), ("key", key)):
        if array is None or array.shape != () or array.dtype != np.int64:
            raise Malformed(f"{name}: expected one int64")
    assert index is not None
    assert key is not None
    value = pac_bayes(case, record, deviation, int(index), int(key))
    said = {
        "prior centred at weights from before training": "unchecked",
        "pseudo-random normal numbers": "unchecked",
    }
    return Figure(value, assumptions=said)


def _rademacher(
    found: Callable[..., tuple[int, float]], *assumptions: str
) -> Callable[..., Figure]:
    said = dict.fromkeys(("key of the signs chosen before", *assumptions), "unchecked")

    def measure(case: Case, record: Mapping[str, Any]) -> Figure:
        shell, complexity = found(case, record)
        n = len(train(case).labels)
        loss = _margins(case).below(_margin(record)) / n
        value = _deviating(loss, complexity, n, shell, delta_of(record))
        return Figure(value, assumptions=said)

    return measure


def _ridge(case: Case, record: Mapping[str, Any]) -> Figure:
    said = {"inputs lie in the ball of the largest": "unchecked"}
    return Figure(ridge_stability(case, record), assumptions=said)


_FIGURES: dict[str, Callable[..., Figure]] = {
    "occam": _occam,
    "vc": _vc,
    "compression": _compression,
    "frobenius_product": _frobenius,
    "spectral_margin": _capacity(spectral_margin),
    "pac_bayes_spectral": _capacity(pac_bayes_spectral),
    "path_norm": _capacity(path_norm),
    "pac_bayes": _pac_bayes,
    "rademacher": _rademacher(linear_class),
    "kernel_rademacher": _rademacher(
        kernel_class, "kernel and its parameters chosen before"
    ),
    "ridge_stability": _ridge,
    CONTROL: _hold_out,
}
BOUNDS = tuple(name for name in _FIGURES if name not in CAPACITIES)
