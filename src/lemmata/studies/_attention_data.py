"""Data of the studies of attention: the paper's, and rows of digits."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..geometry import AttentionTraining, LinearHead, QuadraticHead, ReluHead


def sequences(
    n: int = 6, t: int = 8, d: int = 10, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(tokens, queries, labels, v) as in the paper: unit tokens, the first one asks."""
    rng = np.random.default_rng(seed)
    tokens = rng.normal(size=(n, t, d))
    tokens /= np.linalg.norm(tokens, axis=2, keepdims=True)
    v, labels = rng.normal(size=d), rng.choice([-1.0, 1.0], n)
    return tokens, tokens[:, 0].copy(), labels, v


def training(seed: int = 0) -> AttentionTraining:
    """The paper's linear head."""
    tokens, queries, labels, v = sequences(seed=seed)
    return AttentionTraining(tokens, queries, labels, LinearHead(v))


def nonlinear(d: int, seed: int, kind: str = "relu") -> AttentionTraining:
    """The authors' two nonlinear heads on three inputs of four tokens."""
    tokens, queries, labels, v = sequences(3, 4, d, seed)
    rng = np.random.default_rng(seed + 1000)
    head: Any = (
        ReluHead(rng.normal(size=(4 * d, d)))
        if kind == "relu"
        else QuadraticHead(v, 1.0)
    )
    return AttentionTraining(tokens, queries, labels, head)


def digits(count: int) -> AttentionTraining:
    """Rows of 8 x 8 digits 3 and 8 as tokens with their place; the mean row asks."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, target = load_digits(return_X_y=True)
    chosen = np.isin(target, (3, 8))
    rows = images[chosen].reshape(-1, 8, 8) / 16.0
    labels = np.where(target[chosen] == 8, 1.0, -1.0)
    place = np.broadcast_to(np.eye(8), rows.shape)
    tokens = np.concatenate([rows, place], axis=2)
    means = tokens.mean(axis=1)
    fitted = LogisticRegression(fit_intercept=False, max_iter=1000).fit(means, labels)
    head = LinearHead(8 * fitted.coef_[0])
    return AttentionTraining(tokens[:count], means[:count], labels[:count], head)


def mean_distance(cosines: Sequence[float]) -> float:
    """Mean of 1 - cosine where there is a cosine, NaN where there is none."""
    found = [1 - c for c in cosines if not np.isnan(c)]
    return float(np.mean(found)) if found else float("nan")
