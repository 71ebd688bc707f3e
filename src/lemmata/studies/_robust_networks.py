"""Robust two-layer networks: a toy whose worst case is known, and digits.

Source: Bai, Gautam and Sojoudi, SIAM J. Math. Data Science 5 (2023), section 5.
"""

from typing import Any

import jax
import numpy as np

from ..core import Solution, float64
from ..geometry import (
    FGSM,
    PGD,
    AdversarialTraining,
    BackPropagation,
    RobustConvexReLU,
    Sampled,
    attack_loss,
)
from ._desk import Desk


def robust(desk: Desk, radii: tuple[float, ...], long: bool) -> None:
    rng = np.random.default_rng(1)
    x = np.hstack([rng.normal(size=(16, 2)), np.ones((16, 1))])
    y = np.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0)
    rows = []
    for loss in ("hinge", "squared", "logistic")[: 3 if long else 1]:
        for radius in radii:
            problem = RobustConvexReLU(x, y, loss, weight_decay=0.01, radius=radius)
            name = f"robust_{loss}{radius:g}".replace(".", "_")
            title = f"Robust {loss} loss, radius {radius:g}"
            robust = desk.solve(name, title, problem)
            rows.append((loss, radius, "convex", *_worst(problem, robust)))
            rivals: list[Any] = []
            if long:
                rivals += [
                    BackPropagation(30, steps=600),
                    AdversarialTraining(FGSM(), 30, steps=600),
                    AdversarialTraining(PGD(), 30, steps=600),
                ]
            for method in rivals:
                found = desk.attempt(problem, method)
                name = type(method).__name__
                if isinstance(method, AdversarialTraining):
                    name = f"{name}, {type(method.attack).__name__}"
                rows.append((loss, radius, name, *_worst(problem, found)))
    columns = ("loss", "radius", "method", "loss found by PGD", "proved cost")
    desk.table("Worst loss over the balls, toy of 16 samples", columns, rows)


def _worst(problem: RobustConvexReLU, solution: Solution) -> tuple:
    with float64():
        key = jax.random.key(0)
    found = attack_loss(problem, solution.value, PGD(), key)
    proved = solution.certificate["robust_loss"].figures["cost"]
    return f"{found:.4f}", f"{proved:.4f}"


def digits(desk: Desk, count: int) -> None:
    """Digits 2 against 8, four by four pixels, robust against shifts of each pixel."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    chosen = (labels == 2) | (labels == 8)
    x = images[chosen].reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16) / 16
    x = np.hstack([x, np.ones((len(x), 1))])
    y = np.where(labels[chosen] == 8, 1.0, -1.0)
    train, test = slice(0, count), slice(count, None)
    rows = []
    for radius in (0.02, 0.05):
        patterns = Sampled(8, radius=radius, draws=1)
        problem = RobustConvexReLU(
            x[train], y[train], weight_decay=0.001, radius=radius, patterns=patterns
        )
        title = f"Digits 2 against 8, radius {radius:g}"
        name = f"digits{radius:g}".replace(".", "_")
        found = [desk.solve(name, title, problem)]
        found.append(desk.attempt(problem, BackPropagation(40, steps=600)))
        attack = AdversarialTraining(PGD(), 40, steps=600)
        found.append(desk.attempt(problem, attack))
        for solution in found:
            rows.append(_digits_row(problem, solution, x[test], y[test]))
    columns = ("radius", "method", "clean accuracy", "accuracy for sure", "proved cost")
    desk.table("Digits 2 against 8, held-out samples", columns, rows)


def _digits_row(problem: Any, solution: Solution, x: np.ndarray, y: np.ndarray):
    """`for sure`: held-out samples that no shift can move to the wrong side."""
    value = solution.value
    held = RobustConvexReLU(
        x, y, weight_decay=1.0, radius=problem.radius, patterns=Sampled(1)
    )
    u, a = np.asarray(value.hidden_weights), np.asarray(value.output_weights)
    f, reach = held.range(u, a)
    clean, sure = np.mean(y * f > 0), np.mean(y * f - reach > 0)
    proved = solution.certificate["robust_loss"].figures["cost"]
    name = type(solution.method).__name__
    radius = float(problem.radius)
    return radius, name, f"{clean:.3f}", f"{sure:.3f}", f"{proved:.4f}"
