"""Rules of trained attention weights: direction, margin, survivors, path."""

import math

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import frobenius_norm
from ..intervals import Ball, exact, multiply, total
from ..rigor import U, gamma
from .geometry_attention_data import (
    NORMS,
    TRAINING,
    UP,
    Constraints,
    constraints,
    distance_to_optimum,
    least_margin,
    multipliers_of,
    norm_floor,
    real,
    upper_norm,
    weights_of,
)

UNDECIDED = 1e-6  # up to here a probability counts as gone
SLACK = 1e-6  # how well recorded equalities and least norms must hold


def _said(good: bool) -> str:
    return "checked" if good else "violated"


def _norm(case: Case) -> str:
    norm = case.parameters.get("norm")
    if norm not in NORMS:
        raise Malformed("norm: expected 'frobenius' or 'nuclear'")
    return norm


def reference(
    case: Case, at: Constraints, norm: str
) -> tuple[np.ndarray, float, float]:
    """(W_ref, its norm, the bound that mu proves): feasible, of little excess."""
    d = at.queries.shape[1]
    weights = real(case.witness, "reference", (d, d))
    least, where = least_margin(at, at.margins(exact(weights)))
    if not least >= 1:
        raise Malformed(f"reference: the margin is below 1 at {where}")
    size = upper_norm(exact(weights), norm)
    return weights, size, norm_floor(at, multipliers_of(case.witness, at), norm)


def cosine_down(one: Ball, other: np.ndarray) -> float:
    """Lower bound on <A, B> / (||A||_F ||B||_F)."""
    inner = float(total(multiply(one, exact(other)), (0, 1)).lower())
    sizes = upper_norm(one, "frobenius") * upper_norm(exact(other), "frobenius")
    if inner < 0:  # then the norms belong below
        size = float(np.linalg.norm(one.mid) * np.linalg.norm(other))
        sizes = size * (1 - gamma(2 * other.size + 8)) - 2 * frobenius_norm(one.radius)
    if not sizes > 0:
        raise Malformed("a zero matrix has no direction")
    return inner / sizes - 4 * U


def direction(case: Case) -> Measurement:
    """Cosine of W with the SVM solution; its distance from the reference is taken off.

    Frobenius: ||W_ref - W*||_F <= r gives directions within 2 r / ||W_ref||_F.
    """
    norm, at, weights = _norm(case), constraints(case), weights_of(case)
    found, size, floor = reference(case, at, norm)
    least, where = least_margin(at, at.margins(weights))
    cosine, figures = cosine_down(weights, found), {"gap": size / floor - 1}
    assumptions = {f"W selects these tokens ({where})": _said(least > 0)}
    if norm == "frobenius":
        away = distance_to_optimum(size, floor)
        length = float(np.linalg.norm(found)) * (1 - gamma(found.size + 8))
        cosine -= 2 * away / length * UP
        figures["distance to the solution"] = away
    else:
        assumptions["the nuclear solution is unique"] = "unchecked"
    if least > 0:
        figures["excess of norm"] = upper_norm(weights, norm) / least / floor - 1
    return Measurement(cosine, figures=figures, assumptions=assumptions)


def margin(case: Case) -> Measurement:
    """Least margin / ||W|| over the largest there is, at most ||sum mu A|| / sum mu."""
    norm, at, weights = _norm(case), constraints(case), weights_of(case)
    least, where = least_margin(at, at.margins(weights))
    floor = norm_floor(at, multipliers_of(case.witness, at), norm)
    size = upper_norm(weights, norm)
    if not size > 0:
        raise Malformed("weights: all zero")
    share = least / size * floor
    share -= abs(share) * 8 * U
    return Measurement(share, f"least at {where}", {"least margin": least})


def survivors(case: Case) -> Measurement:
    """1 - cosine of W with W^fin + c W^mm, for the tokens that it keeps."""
    at, weights = constraints(case), weights_of(case)
    shape, selected = at.active.shape, case.witness["selected"]
    kept = case.witness.get("kept")
    if kept is None or kept.dtype != np.bool_ or kept.shape != shape:
        raise Malformed(f"kept: expected flags of shape {shape}")
    threshold, c = (_number(case, name) for name in ("threshold", "coefficient"))
    if not UNDECIDED < threshold < 1:
        raise Malformed("threshold: expected a probability above 1e-6")
    behind = np.where(at.active, at.margins(weights).mid, np.inf)
    behind[np.arange(len(selected)), selected] = 0.0
    chance = np.exp(-behind)
    chance = chance / np.sum(chance, axis=1, keepdims=True)
    nu, odds = (real(case.witness, name, shape) for name in ("multipliers", "odds"))
    straight, finite = at.combine(nu), at.combine(odds)
    assumptions = {
        "the tokens kept are those above the threshold": _said(
            bool(np.array_equal(kept, chance > threshold))
        ),
        "no token is undecided": _said(
            not np.any((chance > UNDECIDED) & (chance <= threshold))
        ),
        **_direction_checks(at, kept, nu, straight),
        "W^fin gives the tokens kept their odds": _said(
            _has_odds(at, kept, selected, chance, odds, finite)
        ),
    }
    model = finite.mid + c * straight.mid
    return Measurement(
        1 - cosine_down(weights, model),
        figures={"tokens kept": float(np.sum(kept)), "c": c},
        assumptions=assumptions,
    )


def _number(case: Case, name: str) -> float:
    value = case.parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{name}: expected a number")
    if not math.isfinite(value):
        raise Malformed(f"{name}: not finite")
    return float(value)


def _direction_checks(at: Constraints, kept, nu, straight: Ball) -> dict[str, str]:
    """W^mm keeps the survivors equal, the others behind, and has the least norm.

    sum of nu over the others <= <sum nu A, W> for every such W, as in `norm_floor`.
    """
    equal, unequal = at.active & kept, at.active & ~kept
    margins = at.margins(straight).mid
    good = not np.any(nu[~at.active]) and not np.any(nu[unequal] < 0)
    good = good and np.all(np.abs(margins[equal]) <= SLACK)
    good = good and np.all(margins[unequal] >= 1 - SLACK)
    size = upper_norm(straight, "frobenius")
    floor = float(np.sum(nu[unequal])) / size if size > 0 else 0.0
    least = size <= floor * (1 + SLACK) if np.any(unequal) else not np.any(nu)
    return {
        "W^mm keeps them equal and the others behind": _said(bool(good)),
        "W^mm has the least norm": _said(bool(least)),
    }


def _has_odds(at: Constraints, kept, selected, chance, odds, finite: Ball) -> bool:
    """A combination of the equalities alone with the right logarithms: least norm."""
    equal = at.active & kept
    if np.any(odds[~equal] != 0):
        return False
    best = chance[np.arange(len(selected)), selected][:, None]
    wanted = np.log(best / np.where(kept, chance, 1.0))
    found = at.margins(finite).mid
    away = np.abs(found - wanted)[equal]
    return bool(np.all(away <= SLACK * (1 + np.abs(wanted[equal]))))


def path(case: Case) -> Measurement:
    """Cosine of the last W_R with the SVM solution; it must rise along the radii."""
    norm, at = _norm(case), constraints(case)
    found, size, floor = reference(case, at, norm)
    d = at.queries.shape[1]
    radii = real(case.witness, "radii", None)
    if (
        radii.ndim != 1
        or radii.size < 2
        or np.any(np.diff(radii) <= 0)
        or radii[0] <= 0
    ):
        raise Malformed("radii: expected two or more, increasing and positive")
    steps = real(case.witness, "path", (radii.size, d, d))
    norms = np.array([upper_norm(exact(w), norm) for w in steps])
    cosines = np.array([cosine_down(exact(w), found) for w in steps])
    answer = weights_of(case).mid
    return Measurement(
        float(cosines[-1]),
        figures={
            "1 - cosine at the least radius": float(1 - cosines[0]),
            "1 - cosine at the largest": float(1 - cosines[-1]),
            "gap": size / floor - 1,
        },
        assumptions={
            "each W_R is within its radius": _said(
                bool(np.all(norms <= radii * (1 + 1e-9)))
            ),
            "the answer is the last of the path": _said(
                bool(np.linalg.norm(answer - steps[-1]) <= 1e-9 * radii[-1])
            ),
            "1 - cosine falls along the path": _said(bool(cosines[-1] >= cosines[0])),
            "each W_R is a global minimum": "unchecked",
        },
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "geometry.attention_direction/1",
        "evidence",
        ">=",
        "the cosine between the trained W and the least-norm weights that select the "
        "same tokens is at least promised",
        "",
        direction,
        (TRAINING,),
    ),
    Rule(
        "geometry.attention_margin/1",
        "proof",
        ">=",
        "least margin / ||W|| of the trained weights is at least promised times the "
        "largest that any weights have for these tokens",
        "",
        margin,
        (TRAINING,),
    ),
    Rule(
        "geometry.surviving_tokens/1",
        "evidence",
        "<=",
        "1 - cosine between the trained W and W^fin + c W^mm of the generalised SVM "
        "for the tokens it keeps is at most promised",
        "",
        survivors,
        (TRAINING,),
    ),
    Rule(
        "geometry.attention_path/1",
        "evidence",
        ">=",
        "the best weights W_R of norm R turn towards the SVM solution; at the largest "
        "R their cosine is at least promised",
        "",
        path,
    ),
)
