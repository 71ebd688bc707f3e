"""Rules about how a two-layer network was found: a sampled dual, and a linear rate.

Sources: Campi and Garatti, SIAM J. Optimization 19 (2008), theorem 1, for the scenario
bound; Chernoff's bound for fresh draws, -log P(X <= k) >= m KL(k / m || p).
"""

import math

import numpy as np

from ..case import Case, Malformed, Measurement
from ..rigor import U
from ..sparse import real
from .geometry_relu_data import dual_of, setting
from .geometry_relu_dual import admissible

DRAWS = 4096  # fresh directions
_LEAST = 16  # residuals, at the end of a run


def scenario(case: Case) -> Measurement:
    """Upper bound on the probability of violation, from fresh draws of the judge.

    It fails with probability at most delta. The promise must also be what the scenario
    theorem gives for N features: sum over i <= n of C(N, i) p^i (1-p)^(N-i) <= delta.
    """
    at = setting(case)
    delta, count = case.parameters.get("delta"), case.parameters.get("features")
    if isinstance(delta, bool) or not isinstance(delta, float) or not 0 < delta < 1:
        raise Malformed(f"delta: expected a number in (0, 1), got {delta!r}")
    if type(count) is not int or not 1 <= count <= 2**40:
        raise Malformed(f"features: expected a positive integer, got {count!r}")
    theta = admissible(at, dual_of(case))
    rng = np.random.default_rng(case.seed)
    wrong = 0
    for _ in range(DRAWS // 512):
        u = rng.normal(size=(512, at.inputs.shape[1]))
        u /= np.linalg.norm(u, axis=1)[:, None]
        pull = np.abs(np.maximum(at.inputs @ u.T, 0.0).T @ theta)
        wrong += int(np.sum(pull > at.decay))
    bound = chernoff(wrong, DRAWS, delta)
    theorem = scenario_level(count, at.targets.size, delta)
    return Measurement(
        bound,
        detail=f"fails for at most a share {delta:g} of the judge's draws",
        figures={
            "violations": float(wrong),
            "draws": float(DRAWS),
            "theorem's probability": theorem,
        },
        assumptions={"theta is that of the sampled program": "unchecked"},
    )


def chernoff(wrong: int, draws: int, delta: float) -> float:
    """The largest p with draws KL(wrong / draws || p) <= log(1 / delta)."""
    share, room = wrong / draws, math.log(1 / delta) / draws * (1 + 1e-9)
    low, high = share, 1.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        low, high = (middle, high) if _kl(share, middle) <= room else (low, middle)
    return high


def _kl(q: float, p: float) -> float:
    first = q * math.log(q / p) if q > 0 else 0.0
    return first + ((1 - q) * math.log((1 - q) / (1 - p)) if q < 1 else 0.0)


def scenario_level(features: int, samples: int, delta: float) -> float:
    """The least p for which the theorem's binomial tail is at most delta; 1 if none."""
    if features <= samples:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        inside = _log_tail(features, samples, middle) <= math.log(delta)
        low, high = (low, middle) if inside else (middle, high)
    return high


def _log_tail(count: int, most: int, p: float) -> float:
    """Log of the sum over i <= most of C(count, i) p^i (1 - p)^(count - i)."""
    if not 0 < p < 1:
        return 0.0 if p <= 0 else -math.inf
    logs = [
        math.lgamma(count + 1)
        - math.lgamma(i + 1)
        - math.lgamma(count - i + 1)
        + i * math.log(p)
        + (count - i) * math.log1p(-p)
        for i in range(most + 1)
    ]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(v - top) for v in logs))


def linear_rate(case: Case) -> Measurement:
    """r^2 of a falling line through log(residual), one per step."""
    trace = real(case.witness.get("residual"), "residual", 1)
    tail = trace
    if tail.size < _LEAST or np.any(tail <= 0):
        raise Malformed(f"expected {_LEAST} residuals > 0 in the tail")
    step = np.arange(tail.size) - (tail.size - 1) / 2
    height = np.log(tail)
    slope = float(step @ height / (step @ step))
    spread = height - np.mean(height)
    total = float(spread @ spread)
    left = spread - slope * step
    fit = 1.0 - float(left @ left) / total if total > 0 else -math.inf
    figures = {"factor per step": math.exp(slope), "rows": float(tail.size)}
    return Measurement(fit - 4 * U if slope < 0 else -math.inf, figures=figures)
