"""Local Lipschitz constants: how much the envelopes gain, and how far one can split.

Source: Shi, Wang, Zhang, Kolter and Hsieh, NeurIPS 2022 (arXiv 2210.07394).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..certify import (
    Area,
    BoundPropagation,
    BranchAndBound,
    GlobalProduct,
    IntervalJacobian,
    LocalLipschitz,
    Monotonicity,
    Network,
    PointSearch,
    RecurJac,
    SignPrograms,
)
from ..certify._bound_methods import prepared
from ..core import Solution
from ._desk import Desk
from ._local_lipschitz_networks import (
    TRAIN,
    diabetes,
    digits,
    leaders,
    perceptron,
    small_images,
    trained,
)
from ._record import Expected, Plot, Series

SEARCH = PointSearch(candidates=8, steps=10)
OURS = BoundPropagation(search=SEARCH)
_OURS = "envelopes (ours)"
METHODS = {
    "product of norms": GlobalProduct(SEARCH),
    "interval Jacobian": IntervalJacobian(SEARCH),
    "RecurJac": RecurJac(SEARCH),
    _OURS: OURS,
}
_OPEN: dict[str, Expected] = {"certify.monotone/1": "withheld"}


@dataclass(frozen=True)
class _Size:
    points: int
    radii: tuple[float, ...]
    networks: tuple[str, ...]
    domains: int
    epochs: int
    exact: bool
    features: Sequence[int] = range(10)


SIZES = {
    "tour": _Size(1, (0.01, 0.03), ("width 32",), 500, 300, False, (2,)),
    "quick": _Size(
        10,
        (0.01, 0.03, 0.1),
        ("width 32", "depth 4", "convolutions", "synthetic"),
        20_000,
        1_500,
        True,
    ),
    "paper": _Size(
        100,
        (0.003, 0.01, 0.03, 0.1),
        ("width 32", "depth 4", "convolutions", "synthetic", "wide"),
        200_000,
        1_500,
        True,
    ),
}


def study(size: str, desk: Desk) -> None:
    """Bounds on trained networks, branch and bound, monotone features."""
    chosen = SIZES[size]
    desk.say(
        "How fast can a classifier's scores change when every pixel may move by eps? A "
        "product of layer norms is far off. Bounds of the Jacobian over the box are "
        "closer, and the closer the better a product of two unknowns (the gradient "
        "that comes down, the slope of the ReLU) is enclosed: by constants, or by "
        "the two lines that are its exact envelopes. All bounds here are decided again "
        "with rounding accounted for, and stand beside a gradient that is attained."
    )
    curves = {}
    for name in chosen.networks:
        network, points = _network(name, chosen.epochs)
        curves[name] = _table(desk, name, network, points, chosen)
        if name == "width 32":
            _search(desk, network, points, chosen)
    desk.plot(_plot(curves[chosen.networks[0]], chosen))
    _monotone(desk, chosen)


def _network(name: str, epochs: int) -> tuple[Network, np.ndarray]:
    """A trained network, and points that it was not trained on."""
    if name == "synthetic":
        features, labels = leaders(10_000, 16, seed=0)
        split = 7_000
        module: Any = perceptron((16, 32, 32, 10))
        epochs = min(epochs, 10)
    else:
        features, labels = digits()
        split = TRAIN
        module = {
            "width 32": lambda: perceptron((64, 32, 32, 10)),
            "depth 4": lambda: perceptron((64, 50, 50, 50, 10)),
            "convolutions": lambda: small_images(4),
            "wide": lambda: perceptron((64, 200, 200, 10)),
        }[name]()
    network, _ = trained(module, features[:split], labels[:split], epochs)
    return network, features[split:]


@eqx.filter_jit
def _uppers(problem: LocalLipschitz) -> Any:
    """Largest bound over classes by each method: one program."""
    rows = jnp.asarray(problem.rows)
    return [jnp.max(method.bounds(problem, rows).norm) for method in METHODS.values()]


def _figures(problem: LocalLipschitz) -> list[float]:
    """These bounds, and the largest norm attained."""
    points, _ = prepared(problem, OURS, jax.random.key(0))
    return [float(norm) for norm in (*_uppers(problem), points.norms.max())]


def _table(desk: Desk, name: str, network: Network, points: Any, size: _Size) -> Any:
    rows, curves = [], {label: [] for label in (*METHODS, "attained")}
    for radius in size.radii:
        boxes = (
            LocalLipschitz.around(network, x, radius) for x in points[: size.points]
        )
        with jax.enable_x64(True):
            found = np.array([_figures(problem) for problem in boxes])
        mean = dict(zip(curves, found.mean(axis=0).tolist(), strict=True))
        for label, value in mean.items():
            curves[label].append(value)
        ratios = [f"{mean[label] / mean[_OURS]:.2f}" for label in list(METHODS)[:3]]
        rows.append((radius, *(f"{v:.1f}" for v in mean.values()), *ratios))
    columns = ("eps", *curves, "product / ours", "interval / ours", "RecurJac / ours")
    title = f"Largest local Lipschitz bound over classes, {name}"
    desk.table(f"{title}, mean of {size.points} points", columns, rows)
    if size.exact:
        problem = LocalLipschitz.around(network, points[0], size.radii[-1])
        title = f"{name}: every class within eps = {size.radii[-1]}"
        desk.solve(name.replace(" ", "_"), title, problem, OURS)
    return curves


def _search(desk: Desk, network: Network, points: Any, size: _Size) -> None:
    """Branch and bound, and exactly on a small part of the box."""
    output = 0 if size.exact else "all"
    problem = LocalLipschitz.around(network, points[0], 0.03, output)
    limit = size.domains
    method = BranchAndBound(
        BoundPropagation(search=SEARCH), Area(), batch_size=64, max_domains=limit
    )
    title = f"Boxes split by signs of ReLUs, up to {limit} of them"
    solution = desk.solve("split", title, problem, method)
    trace = solution.stats.trace
    if len(trace):
        desk.plot(
            Plot(
                "splitting",
                "xy",
                "Upper and lower bound over the domains looked at",
                caption=f"Width 32, eps 0.03; output: {output}.",
                x_label="domains",
                y_label="l_inf local Lipschitz constant",
                series=(
                    _series(
                        "upper", trace["domains"], trace["lipschitz_upper"], "ours"
                    ),
                    _series(
                        "lower", trace["domains"], trace["lipschitz_lower"], "bound"
                    ),
                ),
            )
        )
    if size.exact:
        exact = BranchAndBound(
            BoundPropagation(search=SEARCH),
            prune=SignPrograms(),
            batch_size=64,
            max_domains=limit,
        )
        small = LocalLipschitz.around(network, points[0], 0.01, 0)
        title = "One class, sign patterns without a point dropped"
        desk.solve("exact", title, small, exact)


def _monotone(desk: Desk, size: _Size) -> None:
    """Which features can only raise, or only lower, the predicted progression?"""
    features, target, names = diabetes()
    module = perceptron((10, 16, 16, 1), seed=3)
    network, loss = trained(module, features, target, 300)
    middle, rows = np.median(features, axis=0), []
    for j, name in enumerate(names):
        if j not in size.features:
            continue
        problem = Monotonicity.along(network, middle, j, -1.0, 1.0, 0)
        if j == 2:
            found = desk.solve(
                "monotone", "Body mass over its whole range", problem, expect={}
            )
            _expect_as_found(desk, found)
        else:
            found = desk.attempt(problem, problem.default_method())
        low, high = found.value.derivative_lower[0], found.value.derivative_upper[0]
        words = {1: "rises", -1: "falls", 0: "not shown"}
        verdict = words[int(found.value.verdicts[0])]
        rows.append((name, f"{low:.3f}", f"{high:.3f}", verdict))
    title = "Prediction for the median patient as one feature runs over its whole range"
    columns = ("feature", "least derivative", "greatest derivative", "verdict")
    desk.table(f"{title} (training loss {loss:.2f})", columns, rows)


def _expect_as_found(desk: Desk, found: Solution) -> None:
    """A feature need not be monotone: then the claim is withheld, with the reason."""
    if found.certificate.withheld:
        desk.record.cases[-1].expected.update(_OPEN)


def _series(name: str, x: Any, y: Any, role: Any) -> Series:
    return Series(name, [float(v) for v in x], [float(v) for v in y], "line", role)


def _plot(curves: dict[str, list[float]], size: _Size) -> Plot:
    roles = ("baseline", "baseline", "baseline", "ours", "bound")
    return Plot(
        "bounds",
        "xy",
        "Bounds over the radius of the box, width 32",
        caption="Means over test points of the largest bound over classes.",
        x_label="eps",
        y_label="l_inf local Lipschitz constant",
        x_log=len(size.radii) > 1,
        y_log=True,
        series=tuple(
            Series(name, list(size.radii), values, "line", role)
            for (name, values), role in zip(curves.items(), roles, strict=True)
        ),
    )
