"""Global Lipschitz bounds: multipliers are taken, the inequality is formed and decided.

Source: Pauli et al., ICLR 2024 (arXiv 2401.14033).
"""

import math

from ..case import Case, Malformed, Measurement, Rule
from ._certify_lipsdp_inequality import Shown, shown
from ._certify_lipsdp_product import norm_product
from ._certify_lipsdp_question import GLOBAL, array_of, question


def upper(case: Case, linf: bool) -> Measurement:
    """The least bound that the multipliers show; the stated one must cover it."""
    asked = question(case)
    if asked.linf != linf:
        raise Malformed(f"norm: expected {'linf' if linf else 'l2'}")
    stated = float(array_of(case.value, "lipschitz_upper", (), least=0.0))
    found: Shown = shown(case)
    detail = f"decided by {found.engine}"
    if found.order:
        detail = f"{detail}, order {found.order}"
    if not found.bound <= stated:
        detail = f"{stated!r} is stated, {found.bound!r} is shown"
        return Measurement(math.inf, detail)
    return Measurement(found.bound, detail, {"order": float(found.order)})


def improves(case: Case) -> Measurement:
    """Bound over the product of the layers' norms, the latter from below."""
    found, product = shown(case), norm_product(question(case))
    stated = float(array_of(case.value, "lipschitz_upper", (), least=0.0))
    if not found.bound <= stated:
        return Measurement(math.inf, f"{stated!r} is stated, {found.bound!r} is shown")
    if not product.lower > 0:
        return Measurement(math.inf, "the product of norms may be 0")
    ratio = math.nextafter(found.bound / product.lower, math.inf)
    return Measurement(ratio, "", {"product of norms": product.upper})


RULES = (
    Rule(
        "certify.global_lipschitz_l2/1",
        "proof",
        "<=",
        "||f(x) - f(y)||_2 <= promised ||x - y||_2 for all x, y",
        "",
        lambda case: upper(case, linf=False),
    ),
    Rule(
        "certify.global_lipschitz_linf/1",
        "proof",
        "<=",
        "sum of |f_i(x) - f_i(y)| over the outputs asked about <= promised "
        "||x - y||_inf for all x, y",
        "",
        lambda case: upper(case, linf=True),
    ),
    Rule(
        "certify.global_lipschitz_improves/1",
        "proof",
        "<=",
        "the bound is at most promised times the product of the layers' norms",
        "",
        improves,
        kinds=(GLOBAL,),
    ),
)
