"""Scenes of the study of attention: ranks of solutions, trajectories in the plane."""

import numpy as np

from ..geometry import (
    AttentionSVM,
    AttentionTraining,
    NormalizedGradient,
    selection,
)
from ._attention_data import sequences
from ._desk import Desk
from ._record import Plot, Series


def ranks(desk: Desk, inputs: tuple[int, ...], runs: int) -> None:
    """(b): ranks of the solutions."""
    rows = []
    for n in inputs:
        for t in (5, 15):
            found = []
            for seed in range(max(4, runs // 4)):
                tokens, queries, labels, v = sequences(n, t, 20, seed)
                scores = labels[:, None] * (tokens @ v)
                found.append(
                    [
                        desk.attempt(
                            AttentionSVM(tokens, queries, scores=scores, norm=norm),
                            None,
                        ).value.rank
                        for norm in ("nuclear", "frobenius")
                    ]
                )
            middle = np.median(found, axis=0)
            rows.append((n, t, float(middle[0]), float(middle[1])))
    columns = ("n", "T", "nuclear", "Frobenius")
    desk.table("Median ranks of the solutions, d = 20", columns, rows)


def plane(desk: Desk) -> None:
    """(d): trajectories of W z in two dimensions for one input."""
    tokens = np.array([[[1.0, 0.1], [-0.3, 0.9], [-0.6, -0.8]]])
    problem = AttentionTraining(
        tokens, np.array([[1.0, 0.0]]), [1.0], np.array([1.0, 0.4])
    )
    series = []
    target: list[float] = [0.0, 0.0]
    for key in range(4):
        points = []
        for steps in (1, 2, 4, 8, 16, 32, 64, 128):
            method = NormalizedGradient(steps=steps, check_every=128)
            weights = desk.attempt(problem, method, key=key).value.weights
            image = weights[:, 0] / np.linalg.norm(weights)
            points.append(image)
        path = np.array(points)
        series.append(Series(f"start {key}", path[:, 0].tolist(), path[:, 1].tolist()))
        weights = selection(problem, weights).frobenius.value.weights
        target = (weights[:, 0] / np.linalg.norm(weights)).tolist()
    series.append(Series("SVM", [target[0]], [target[1]], "markers", "bound"))
    desk.plot(
        Plot(
            "plane",
            "xy",
            "Directions of W z in the plane",
            caption="One input of three tokens; four random starts, 128 steps.",
            x_label="first coordinate",
            y_label="second coordinate",
            series=tuple(series),
        )
    )
