"""Claims about the stability of SGD at a minimum, and about its sharpness."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..intervals import Ball, multiply, square_root, total
from ..rigor import U
from .certify_stability_data import (
    KIND,
    array,
    flag,
    gradients,
    number,
    numbers,
    relative_loss,
)
from .certify_stability_moments import (
    Moments,
    growth,
    moments,
    stable_rate,
    top_eigenvalue,
)


def scalar(case: Case, name: str) -> float:
    """A positive figure of the value."""
    found = float(array(case.value, name, 0))
    if not found > 0:
        raise Malformed(f"{name}: expected a number > 0")
    return found


def assumptions(case: Case, found: Moments) -> dict[str, str]:
    """What linear stability rests on: where the gradients come from."""
    loss = relative_loss(case)
    allowed = number(case, "loss_tol")
    if flag(case, "allow_residual") or loss is None:
        minimum = "unchecked"
    else:
        minimum = "checked" if loss <= allowed else "violated"
    rows = case.problem.json.get("model") == "rows"
    return {
        "interpolating minimum": minimum,
        "gradient rows are the model's": "unchecked" if rows else "checked",
        "coordinates span the gradients": "checked" if found.proved else "unchecked",
    }


def _figures(case: Case, found: Moments) -> dict[str, float]:
    loss = relative_loss(case)
    return {
        "stable up to": stable_rate(case),
        "unstable above": growth(case).rate,
        "directions": float(found.rows.mid.shape[1]),
        "left out": float(len(found.kept) - found.rows.mid.shape[1]),
        "phi": found.phi,
        "agreement of inner products": found.away,
    } | ({} if loss is None else {"relative loss": loss})


def threshold(case: Case) -> Measurement:
    """(max(upper, stated) - min(lower, stated)) / max(upper, stated)."""
    found = moments(case)
    stated = scalar(case, "max_learning_rate")
    lower, upper = stable_rate(case), growth(case).rate
    high, low = max(upper, stated), min(lower, stated)
    width = (high - low) / high * (1 + 2 * U) if math.isfinite(high) else math.inf
    assumed = assumptions(case, found)
    assumed.pop("interpolating minimum")
    return Measurement(width, figures=_figures(case, found), assumptions=assumed)


def stable(case: Case) -> Measurement:
    """The learning rate over that which S proves."""
    found = moments(case)
    proved = stable_rate(case)
    eta = found.numbers.learning_rate
    measured = eta / proved * (1 + 2 * U) if proved > 0 else math.inf
    detail = "" if proved > 0 else "S proves no learning rate"
    return Measurement(
        measured, detail, _figures(case, found), assumptions(case, found)
    )


def unstable(case: Case) -> Measurement:
    """The factor by which second moments grow in the long run, at least."""
    found = moments(case)
    measured = growth(case).factor
    detail = "" if measured > 0 else "M shows no growth at this learning rate"
    return Measurement(
        measured, detail, _figures(case, found), assumptions(case, found)
    )


def trace(case: Case) -> Measurement:
    """Tr G; stability itself is judged again, as the bound rests on it."""
    found, count = gradients(case), numbers(case)
    n = found.samples
    gram = found.gram
    diagonal = Ball(np.diagonal(gram.mid), np.diagonal(gram.radius))
    upper = float(total(diagonal, (0,)).upper())
    proved = stable_rate(case)
    state = "checked" if count.learning_rate <= proved else "violated"
    bound = 2 * count.batch_size * count.outputs / count.learning_rate
    return Measurement(
        upper / n * (1 + 4 * U),
        figures={"2 B K / eta": bound},
        assumptions={"stable at this learning rate": state},
    )


def sharpness(case: Case) -> Measurement:
    """Largest relative error of the stated trace, Frobenius norm and top eigenvalue."""
    found = gradients(case)
    gram, n = found.gram, found.samples
    diagonal = Ball(np.diagonal(gram.mid), np.diagonal(gram.radius))
    own = total(diagonal, (0,))
    square = total(multiply(gram, gram), (0, 1))
    root = square_root(square.reshape((1,)))
    low, high = top_eigenvalue(gram)
    enclosed = {
        "trace": (float(own.lower()), float(own.upper())),
        "frobenius": (float(root.lower()[0]), float(root.upper()[0])),
        "lambda_max": (low, high),
    }
    worst, figures = 0.0, {}
    for name, (below, above) in enclosed.items():
        stated = scalar(case, name)
        below, above = below / n * (1 - 2 * U), above / n * (1 + 2 * U)
        away = max(above - stated, stated - below) / below
        worst = max(worst, away) if below > 0 else math.inf
        figures[name] = above
    return Measurement(worst * (1 + 8 * U), figures=figures)


def _rule(name: str, relation, statement: str, measure, unit: str = "") -> Rule:
    return Rule(
        f"certify.{name}/1", "proof", relation, statement, unit, measure, (KIND,)
    )


RULES = (
    _rule(
        "sgd_threshold",
        "<=",
        "the largest mean-square stable learning rate and the stated one lie in one "
        "proved interval of relative width <= promised",
        threshold,
    ),
    _rule(
        "sgd_stable",
        "<=",
        "the learning rate is <= promised times one up to which SGD, linearised at "
        "this minimum, is stable in the mean square: E[d'S d] never grows",
        stable,
    ),
    _rule(
        "sgd_unstable",
        ">=",
        "SGD, linearised at this minimum, has starts from which E||d_t||^2 grows like "
        "rho^t, rho >= promised",
        unstable,
        "factor a step",
    ),
    _rule(
        "sgd_trace",
        "<=",
        "the trace of the Hessian is <= promised, as stability implies for 2 B K / eta",
        trace,
    ),
    _rule(
        "sgd_sharpness",
        "<=",
        "stated trace, Frobenius norm and largest eigenvalue of the Hessian are right "
        "to promised, relatively",
        sharpness,
    ),
)
