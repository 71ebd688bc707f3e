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
    Reduced,
)
from ..core import Solution
from ._desk import Desk
from ._lipschitz_networks import (
    residual,
    trained,
    trained_equilibrium,
    trained_residual,
    training,
)
from ._lipschitz_plots import depth_plot, epoch_plot

MAXMIN: dict[str, Any] = {"op": "group_sort", "size": 2}


@dataclass(frozen=True)
class _Size:
    epochs: int
    moments: tuple[int, ...]  # epochs after which a bound is shown
    hidden: int  # width of the two layers of that network
    depths: tuple[int, ...] = ()  # hidden layers of `width`
    width: int = 32
    rest: bool = True  # other activations, l_inf, residual and implicit networks
    residuals: int = 10


SIZES = {
    "tour": _Size(12, (1, 2, 4, 7, 12), 8, rest=False, residuals=0),
    "quick": _Size(60, (1, 5, 15, 30, 60), 32, (2, 5, 8)),
    "paper": _Size(60, (1, 5, 15, 30, 60), 32, (2, 5, 8, 18), 128, residuals=50),
}


def study(size: str, desk: Desk) -> None:
    """Bounds of every form, their ratio to the product of norms, attained pairs."""
    config = SIZES[size]
    _epochs(desk, config)
    if config.depths:
        _depths(desk, config)
    if config.rest:
        _activations(desk, config)
        _linf(desk, config)
        _residuals(desk, config)
    _equilibrium(desk, config)


def bounds(solution: Solution) -> tuple[float, float, float]:
    """Attained, proved, and the product of norms that the judge found."""
    value, decision = solution.value, solution.certificate["global_lipschitz_improves"]
    found = decision.figures.get("product of norms", np.nan)
    return float(value.lipschitz_lower), float(value.lipschitz_upper), float(found)


def _epochs(desk: Desk, config: _Size) -> None:
    sizes = (64, config.hidden, config.hidden, 10)
    networks, accuracies = training(sizes, MAXMIN, config.epochs)
    found, rows = [], []
    for moment in config.moments:
        problem, method = GlobalLipschitz(networks[moment - 1]), Eigenvalue()
        if moment == config.moments[-1]:
            title = f"2 hidden layers of {config.hidden} sorted in pairs"
            solution = desk.solve("trained", title, problem, method)
        else:
            solution = desk.attempt(problem, method)
        found.append(bounds(solution))
        figures = (f"{x:.5g}" for x in found[-1])
        rows.append((str(moment), f"{accuracies[moment - 1]:.3f}", *figures))
    desk.plot(epoch_plot(config.moments, found))
    names = ("epochs", "accuracy", "attained", "bound", "product of norms")
    desk.table("Bounds in l_2 during training", names, rows)
    first, last = found[0], found[-1]
    desk.say(
        f"From epoch {config.moments[0]} to {config.moments[-1]} the proved bound on "
        f"the Lipschitz constant goes from {first[1]:.4g} to {last[1]:.4g}, the "
        f"product of the layers' norms from {first[2]:.4g} to {last[2]:.4g}. A pair "
        f"of inputs attains {last[0] / last[1]:.3f} of the last bound."
    )


def _forms() -> dict[str, Any]:
    return {
        "S = P = 0 (the paper's)": Eigenvalue(Reduced()),
        "gamma = 0": Eigenvalue(DiagonalOnly()),
        "MaxMin as ReLU": Eigenvalue(CompositeReLU()),
    }


def _depths(desk: Desk, config: _Size) -> None:
    found: dict[str, list[float]] = {}
    rows = []
    for depth in config.depths:
        sizes = (64, *(config.width,) * depth, 10)
        network, accuracy = trained(sizes, MAXMIN, config.epochs)
        problem = GlobalLipschitz(network)
        title = f"{depth} hidden layers of {config.width} sorted in pairs"
        ours = desk.solve(f"maxmin{depth}", title, problem, Eigenvalue())
        solutions = {"eliminated (ours)": ours}
        for name, method in _forms().items():
            solutions[name] = desk.attempt(problem, method)
        for name, solution in solutions.items():
            upper = bounds(solution)[1]
            found.setdefault(name, []).append(upper)
            certified = "yes" if solution.certified else "no"
            seconds = f"{solution.stats.seconds['run']:.2f}"
            cells = (name, f"{upper:.5g}", seconds, certified)
            rows.append((str(depth), f"{accuracy:.3f}", *cells))
        attained, _, product = bounds(ours)
        found.setdefault("product of norms", []).append(product)
        found.setdefault("attained", []).append(attained)
    names = ("hidden layers", "accuracy", "form", "bound", "seconds", "certified")
    desk.table("Bounds in l_2 by form of the inequality", names, rows)
    desk.plot(depth_plot(config.depths, found))
    _figures(desk, config, found)


def _figures(desk: Desk, config: _Size, found: dict[str, list[float]]) -> None:
    ours, paper, product, attained = (
        np.array(found[name])
        for name in (
            "eliminated (ours)",
            "S = P = 0 (the paper's)",
            "product of norms",
            "attained",
        )
    )
    desk.say(
        f"With {config.depths[-1]} hidden layers the eliminated form proves a bound of "
        f"{ours[-1] / product[-1]:.3f} times the product of norms, and "
        f"{ours[-1] / paper[-1]:.3f} times what the paper's reduced multipliers show. "
        f"A pair of inputs attains {attained[-1] / ours[-1]:.3f} of it."
    )
    known = {5: "0.752", 8: "0.514"}
    for depth, ratio in zip(config.depths, paper / product, strict=True):
        if depth in known:
            desk.figure(
                f"reduced bound over product of norms, {depth} hidden layers",
                paper=f"{known[depth]} ({depth} layers of 32, MNIST)",
                ours=f"{ratio:.3f}",
                note="The first from the authors' published weights. How far a network "
                "is trained changes it.",
            )


def _activations(desk: Desk, config: _Size) -> None:
    rows, width = [], config.width
    kinds: dict[str, dict[str, Any]] = {
        "groups of four": {"op": "group_sort", "size": 4},
        "all sorted": {"op": "group_sort", "size": width},
        "reflections of pairs": {"op": "householder"},
        "ReLU": {"op": "relu"},
    }
    networks = {
        name: trained((64, width, width, 10), record, config.epochs)
        for name, record in kinds.items()
    }
    networks["h + MaxMin(W h)"] = trained_residual(width, 2, config.epochs)
    networks["4 layers of 64, pairs"] = trained(
        (64, *(64,) * 4, 10), MAXMIN, config.epochs
    )
    for name, (network, accuracy) in networks.items():
        problem = GlobalLipschitz(network)
        slug = "_".join("".join(c if c.isalnum() else " " for c in name).split())
        ours = desk.solve(slug.lower(), f"{name}", problem, Eigenvalue())
        figures = (f"{x:.5g}" for x in bounds(ours))
        rows.append((name, f"{accuracy:.3f}", *figures))
    names = ("network", "accuracy", "attained", "bound", "product of norms")
    desk.table("Other networks, l_2", names, rows)


def _linf(desk: Desk, config: _Size) -> None:
    sizes = (64, config.width, config.width, 10)
    network, _ = trained(sizes, MAXMIN, config.epochs, seed=1)
    problem = GlobalLipschitz(network, "linf", 0)
    ours = desk.solve("linf", "one score, inputs in l_inf", problem, Eigenvalue())
    _, upper, product = bounds(ours)
    desk.say(
        f"From l_inf to one score the bound is {upper / product:.2g} times the product "
        "of norms."
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
        best, upper, other = (bounds(s)[1] for s in (truth, ours, reduced))
        exact += upper <= best * (1 + 1e-6)
        worse += other > upper * (1 + 1e-6)
    desk.figure(
        "residual layers x + MaxMin(W x) whose bound is the exact constant",
        paper=None,
        ours=f"{exact} of {config.residuals}",
        note=f"The paper's reduced multipliers show less on {worse}.",
    )


def _equilibrium(desk: Desk, config: _Size) -> None:
    title = "z = MaxMin(W z + U x), y = C z"
    if not config.rest:
        rng = np.random.default_rng(0)
        weight = 0.3 * rng.normal(size=(6, 6))
        parts = weight, rng.normal(size=(6, 3)), rng.normal(size=(2, 6))
        problem = ImplicitLipschitz(*parts, activation=MaxMin())
        desk.solve("equilibrium", title, problem)
        return
    problem, accuracy = trained_equilibrium(config.width // 2, config.epochs)
    ours = desk.solve("equilibrium", f"{title}, trained", problem)
    w, u, c = (
        float(np.linalg.norm(part, 2))
        for part in (problem.weight, problem.input_weight, problem.output)
    )
    desk.say(
        f"A trained implicit layer (accuracy {accuracy:.3f}) has a bound of "
        f"{float(ours.value.lipschitz_upper):.4g}; |C| |U| / (1 - |W|) is "
        f"{c * u / (1 - w):.4g}."
    )
