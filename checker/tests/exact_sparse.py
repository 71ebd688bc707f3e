"""Independent oracles in fractions for transport with a cap, for tiny cases."""

import itertools
from fractions import Fraction

import numpy as np

from lemmata_checker.packed import Packed

from . import exact


def conjugate(s: list, b: Fraction, gamma: Fraction, cap: int) -> Fraction:
    """O_j over all supports: where t > 0 exactly on a set, t_i = (s_i - tau)/gamma."""
    best = None
    for size in range(1, cap + 1):
        for chosen in itertools.combinations([v for v in s if v is not None], size):
            tau = (sum(chosen) - gamma * b) / size
            t = [(v - tau) / gamma for v in chosen]
            if min(t) < 0:
                continue
            linear = sum(v * w for v, w in zip(chosen, t, strict=True))
            value = linear - gamma / 2 * sum(w * w for w in t)
            best = value if best is None or value > best else best
    assert best is not None
    return best


def conjugates(packed: Packed, alpha, cap: int | None = None) -> Fraction:
    """sum_j O_j(alpha - c_j), exactly, for axis columns."""
    gamma, total = Fraction(packed.json["gamma"]), Fraction(0)
    for j, share in enumerate(exact.shares(packed.arrays["target"])):
        column = packed.arrays["cost"][:, j].tolist()
        s = [
            None if c == np.inf else Fraction(v) - Fraction(c)
            for v, c in zip(alpha.tolist(), column, strict=True)
        ]
        total += conjugate(s, share, gamma, cap or packed.json["cap"])
    return total


def semi_dual(packed: Packed, alpha, cap: int | None = None) -> Fraction:
    """D(alpha), exactly, for axis columns."""
    shares = exact.shares(packed.arrays["source"])
    linear = sum(w * Fraction(v) for w, v in zip(shares, alpha.tolist(), strict=True))
    return linear - conjugates(packed, alpha, cap)


def plan(value, prefix: str = "") -> dict[tuple[int, int], Fraction]:
    """A packed plan as entries with exact masses."""
    names = (f"{prefix}{name}" for name in ("rows", "columns", "mass"))
    triples = zip(*(value[name].tolist() for name in names), strict=True)
    return {(i, j): Fraction(mass) for i, j, mass in triples}


def objective(packed: Packed, plan: dict) -> Fraction:
    """<C, T> + gamma/2 |T|^2."""
    gamma, total = Fraction(packed.json["gamma"]), Fraction(0)
    for (i, j), mass in plan.items():
        total += Fraction(packed.arrays["cost"][i, j]) * mass + gamma / 2 * mass**2
    return total


def with_figures(packed: Packed, value: dict) -> dict:
    """The value with its objective and dual value stated, both rounded once."""
    columns = packed.json["axis"] == "columns"
    arrays = packed.arrays
    turned = packed
    if not columns:
        sides = {"source": arrays["target"], "target": arrays["source"]}
        turned = packed._replace(arrays={"cost": arrays["cost"].T, **sides})
    dual = semi_dual(turned, value["alpha" if columns else "beta"])
    allowed = {
        place: mass
        for place, mass in plan(value).items()
        if np.isfinite(arrays["cost"][place])
    }
    return value | {
        "objective": np.array(float(objective(packed, allowed))),
        "dual_value": np.array(float(dual)),
    }
