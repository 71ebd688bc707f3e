"""Global Lipschitz bounds of networks trained on digits, all forms of the inequality.

Source: Pauli et al., ICLR 2024 (arXiv 2401.14033), section 5. Its networks are larger
and were trained on MNIST; the columns are the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..certify import (
    BruteForce,
    CompositeReLU,
    DiagonalOnly,
    Eigenvalue,
    GlobalLipschitz,
    ImplicitLipschitz,
    LipSDP,
    MaxMin,
    NormProduct,
    Reduced,
)
from ._desk import Desk
from ._lipschitz_networks import residual, trained
from ._record import Plot, Series

MAXMIN: dict[str, Any] = {"op": "group_sort", "size": 2}


@dataclass(frozen=True)
class _Size:
    epochs: int
    depths: tuple[int, ...]  # hidden layers of `width`
    width: int
    others: bool  # groups of four, all sorted, reflections, ReLUs
    linf: bool
    residuals: int
    forms: int = 5  # so many of `_forms`


SIZES = {
    "tour": _Size(3, (2,), 8, False, False, 0, forms=3),
    "quick": _Size(60, (2, 4, 5, 8), 32, True, True, 10),
    "paper": _Size(60, (2, 4, 5, 8, 18), 128, True, True, 50),
}


def study(size: str, desk: Desk) -> None:
    """Bounds of every form, their ratio to the product of norms, attained pairs."""
    config = SIZES[size]
    _depths(desk, config)
    if config.others:
        _activations(desk, config)
    if config.linf:
        _linf(desk, config)
    if config.residuals:
        _residuals(desk, config)
    _equilibrium(desk)


def _forms() -> dict[str, Any]:
    return {
        "eliminated (ours)": Eigenvalue(),
        "S = P = 0 (the paper's)": Eigenvalue(Reduced()),
        "product of norms": NormProduct(),
        "gamma = 0": Eigenvalue(DiagonalOnly()),
        "MaxMin as ReLU": Eigenvalue(CompositeReLU()),
    }


def _depths(desk: Desk, config: _Size) -> None:
    bounds: dict[str, list[float]] = {}
    attained, rows = [], []
    for depth in config.depths:
        sizes = (64, *(config.width,) * depth, 10)
        network, accuracy = trained(sizes, MAXMIN, config.epochs)
        problem = GlobalLipschitz(network)
        for name, method in list(_forms().items())[: config.forms]:
            if name.startswith("eliminated"):
                solution = desk.solve(
                    f"maxmin{depth}",
                    f"{depth} hidden layers of {config.width} sorted in pairs",
                    problem,
                    method,
                )
                attained.append(float(solution.value.lipschitz_lower))
            else:
                solution = desk.attempt(problem, method)
            upper = float(solution.value.lipschitz_upper)
            bounds.setdefault(name, []).append(upper)
            seconds = solution.stats.seconds["run"]
            certified = "yes" if solution.certified else "no"
            cells = (name, f"{upper:.5g}", f"{seconds:.2f}", certified)
            rows.append((str(depth), f"{accuracy:.3f}", *cells))
    desk.table(
        "Bounds in l_2 by form of the inequality",
        ("hidden layers", "accuracy", "form", "bound", "seconds", "certified"),
        rows,
    )
    ratio = bounds["eliminated (ours)"][-1] / bounds["product of norms"][-1]
    gain = bounds["eliminated (ours)"][-1] / bounds["S = P = 0 (the paper's)"][-1]
    desk.say(
        f"With {config.depths[-1]} hidden layers the eliminated form proves a bound of "
        f"{ratio:.3f} times the product of norms, and {gain:.3f} times what the "
        f"paper's reduced multipliers show. A pair of inputs attains "
        f"{attained[-1] / bounds['eliminated (ours)'][-1]:.3f} of it."
    )
    desk.figure(
        f"bound over product of norms, {config.depths[-1]} hidden layers",
        paper="0.33 (18 layers of 128, MNIST)",
        ours=f"{ratio:.3f}",
        note="24,271 against 74,167, as a public review quotes the paper.",
    )
    series = [
        Series(
            name,
            [float(d) for d in config.depths[: len(values)]],
            values,
            style="markers" if len(values) == 1 else "line",
            role="ours" if name.startswith("eliminated") else "baseline",
        )
        for name, values in bounds.items()
    ]
    found = Series(
        "attained",
        [float(d) for d in config.depths],
        attained,
        style="markers",
        role="bound",
    )
    desk.plot(
        Plot(
            "depths",
            "xy",
            "Bounds on the l_2 constant",
            caption="What stands above the markers is proved, the markers attained.",
            x_label="hidden layers",
            y_label="Lipschitz constant",
            y_log=True,
            series=(*series, found),
        )
    )


def _activations(desk: Desk, config: _Size) -> None:
    rows = []
    width = config.width
    kinds: dict[str, dict[str, Any]] = {
        "groups of four": {"op": "group_sort", "size": 4},
        "all sorted": {"op": "group_sort", "size": width},
        "reflections of pairs": {"op": "householder"},
        "ReLU": {"op": "relu"},
    }
    for name, record in kinds.items():
        network, accuracy = trained((64, width, width, 10), record, config.epochs)
        problem = GlobalLipschitz(network)
        slug = name.replace(" ", "_").lower()
        ours = desk.solve(slug, f"2 hidden layers, {name}", problem, Eigenvalue())
        product = desk.attempt(problem, NormProduct())
        figures = [
            float(ours.value.lipschitz_lower),
            float(ours.value.lipschitz_upper),
            float(product.value.lipschitz_upper),
        ]
        rows.append((name, f"{accuracy:.3f}", *(f"{x:.5g}" for x in figures)))
    desk.table(
        "Other activations",
        ("activation", "accuracy", "attained", "bound", "product of norms"),
        rows,
    )


def _linf(desk: Desk, config: _Size) -> None:
    sizes = (64, config.width, config.width, 10)
    network, _ = trained(sizes, MAXMIN, config.epochs, seed=1)
    problem = GlobalLipschitz(network, "linf", 0)
    ours = desk.solve("linf", "one score, inputs in l_inf", problem, Eigenvalue())
    product = desk.attempt(problem, NormProduct())
    ratio = float(ours.value.lipschitz_upper) / float(product.value.lipschitz_upper)
    desk.say(
        f"From l_inf to one score the bound is {ratio:.2g} times the product of norms."
    )


def _residuals(desk: Desk, config: _Size) -> None:
    exact, worse = 0, 0
    for seed in range(config.residuals):
        weight = np.random.default_rng(seed).normal(size=(4, 4)) / 2
        problem = GlobalLipschitz(residual([weight]))
        if seed == 0:
            title = "x + MaxMin(W x)"
            ours = desk.solve("residual", title, problem, Eigenvalue(rtol=1e-9))
            desk.solve("clarabel", f"{title} by Clarabel", problem, LipSDP())
        else:
            ours = desk.attempt(problem, Eigenvalue(rtol=1e-9))
        truth = desk.attempt(problem, BruteForce())
        reduced = desk.attempt(problem, Eigenvalue(Reduced()))
        best, upper, other = (
            float(s.value.lipschitz_upper) for s in (truth, ours, reduced)
        )
        exact += upper <= best * (1 + 1e-6)
        worse += other > upper * (1 + 1e-6)
    desk.figure(
        "residual layers whose bound is the exact constant",
        paper=None,
        ours=f"{exact} of {config.residuals}",
        note=f"The paper's reduced multipliers show less on {worse}.",
    )


def _equilibrium(desk: Desk) -> None:
    rng = np.random.default_rng(0)
    weight = 0.3 * rng.normal(size=(6, 6))
    parts = weight, rng.normal(size=(6, 3)), rng.normal(size=(2, 6))
    problem = ImplicitLipschitz(*parts, activation=MaxMin())
    desk.solve("equilibrium", "z = MaxMin(W z + U x), y = C z", problem)
