"""A tiny attention SVM, for the gauntlet."""

from typing import Any

import numpy as np

from ._attention_active_set import DualActiveSet
from ._attention_svm import AttentionSVM


def attention_svm() -> tuple[Any, Any]:
    """Three inputs of four tokens in five dimensions, one of them padded."""
    rng = np.random.default_rng(4)
    tokens = rng.normal(size=(3, 4, 5))
    tokens /= np.linalg.norm(tokens, axis=2, keepdims=True)
    scores = rng.normal(size=(3, 4))
    lengths = np.array([4, 4, 3])
    problem = AttentionSVM(tokens, tokens[:, 0].copy(), scores=scores, lengths=lengths)
    return problem, DualActiveSet()
