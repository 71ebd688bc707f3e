"""What an answer about stability is worth, whoever computed it."""

import math
from typing import Any

import numpy as np

from ..core import Claim, Withheld
from ._stability_value import Stability

_SAFE = 1e-9  # relative, between what is computed here and what the judge can show
_SHARPNESS = 1e-8  # relative error of trace, Frobenius norm and top eigenvalue
DELTA = 0.05  # of the bound on the test loss
CLIP = 1.0  # losses are clipped there

THRESHOLD, STABLE = "certify.sgd_threshold/1", "certify.sgd_stable/1"
UNSTABLE, TRACE = "certify.sgd_unstable/1", "certify.sgd_trace/1"
NORM, SHARPNESS = "certify.sgd_path_norm/1", "certify.sgd_sharpness/1"
EQUIVALENCE = "certify.sgd_trace_equivalence/1"
GENERALISATION = "certify.sgd_path_generalization/1"


def answer_claims(problem: Any, value: Stability) -> tuple[Claim | Withheld, ...]:
    """Claims about the point and the learning rate."""
    lower, upper, growth = proved_rates(problem, value)
    stable = _stable(problem, lower, upper)
    return (
        Claim(THRESHOLD, float(problem.gap_tol)),
        Claim(SHARPNESS, _SHARPNESS),
        stable,
        _unstable(problem, lower, upper, growth),
        _trace(problem, isinstance(stable, Claim)),
        *_norm_claims(problem, value, isinstance(stable, Claim)),
    )


def proved_rates(problem: Any, value: Stability) -> tuple[float, float, float]:
    """Three figures, in floating point.

    The largest learning rate that S proves stable, the smallest that M proves unstable,
    and the growth of second moments that M shows at the problem's rate.
    """
    c = _maps(problem, value)
    s, m = np.asarray(value.lyapunov), np.asarray(value.growth)
    above = _pencil(c.noise(s), c.mean(s))
    with np.errstate(all="ignore"):
        top, below = float(np.sum(m * c.noise(m))), float(np.sum(m * c.mean(m)))
        eta = float(problem.learning_rate)
        growth = 1 + (eta**2 * top - 2 * eta * below) / float(np.sum(m * m))
        return (2 / above if above > 0 else 0.0), float(2 * below / top), growth


class _maps:
    """C and D in NumPy, any coordinates."""

    def __init__(self, problem: Any, value: Stability):
        self.blocks = np.asarray(value.coordinates)
        self.n, self.share = len(self.blocks), problem.share
        self.flat = self.blocks.reshape(-1, self.blocks.shape[2])
        self.hessian = self.flat.T @ self.flat / self.n

    def mean(self, m: np.ndarray) -> np.ndarray:
        half = self.hessian @ m
        return (half + half.T) / 2

    def noise(self, m: np.ndarray) -> np.ndarray:
        image = (self.flat @ m).reshape(self.blocks.shape)
        inside = np.einsum("ikr,ilr->ikl", image, self.blocks)
        spread = np.einsum("ikl,ilr->ikr", inside, self.blocks).reshape(self.flat.shape)
        outer = self.hessian @ m @ self.hessian
        found = (1 - self.share) * outer + self.share / self.n * (self.flat.T @ spread)
        return (found + found.T) / 2


def _pencil(y: np.ndarray, x: np.ndarray) -> float:
    """The largest eigenvalue of X^-1 Y, or infinity if X is not positive definite.

    Rows and columns that are zero in both are left out.
    """
    kept = np.diagonal(x) > 0
    with np.errstate(all="ignore"):
        scale = 1 / np.sqrt(np.diagonal(x)[kept])
        x, y = (a[np.ix_(kept, kept)] * scale[:, None] * scale for a in (x, y))
    try:
        inverse = np.linalg.inv(np.linalg.cholesky(x))
        return float(np.linalg.eigvalsh(inverse @ y @ inverse.T)[-1])
    except np.linalg.LinAlgError:
        return math.inf


def _stable(problem: Any, lower: float, upper: float) -> Claim | Withheld:
    eta, loss = float(problem.learning_rate), problem.relative_loss()
    if not problem.allow_residual and loss is not None and loss > problem.loss_tol:
        reason = (
            f"not a minimum that interpolates: mean squared residual {loss:.1e} of the "
            f"targets', allowed {float(problem.loss_tol):.1e}; train on, or pass "
            "allow_residual=True to judge the Gauss-Newton part alone"
        )
        return Withheld(STABLE, reason)
    if eta <= lower * (1 - _SAFE):
        return Claim(STABLE, 1.0)
    if eta > upper:
        reason = f"unstable: second moments grow above the learning rate {upper:.6g}"
        return Withheld(STABLE, reason)
    reason = (
        f"no matrix here proves it beyond {lower:.6g}; "
        f"instability is proved above {upper:.6g}"
    )
    return Withheld(STABLE, reason)


def _unstable(
    problem: Any, lower: float, upper: float, growth: float
) -> Claim | Withheld:
    eta = float(problem.learning_rate)
    if growth > 1 + _SAFE:
        return Claim(UNSTABLE, 1 + 0.99 * (growth - 1))
    if eta <= lower:
        return Withheld(UNSTABLE, f"stable: proved up to the learning rate {lower:.6g}")
    return Withheld(UNSTABLE, f"growth is proved above {upper:.6g} only")


def _trace(problem: Any, stable: bool) -> Claim | Withheld:
    if not stable:
        return Withheld(TRACE, "a bound for stable points, and this is not shown to be")
    return Claim(TRACE, float(problem.trace_bound) * (1 + _SAFE))


def _norm_claims(
    problem: Any, value: Stability, stable: bool
) -> tuple[Claim | Withheld, ...]:
    norms = problem.norm_bound()
    if norms is None:
        reason = "for TwoLayerReLU and DiagonalLinear, which the judge evaluates itself"
        return tuple(Withheld(i, reason) for i in (NORM, EQUIVALENCE, GENERALISATION))
    if not norms.weighted > 0:
        reason = "the norm is zero on these data"
        return tuple(Withheld(i, reason) for i in (NORM, EQUIVALENCE, GENERALISATION))
    norm = Claim(NORM, 1 + _SAFE)
    if not stable:
        norm = Withheld(NORM, "a bound for stable points, and this is not shown to be")
    return norm, _equivalence(problem, value), _generalisation(problem)


def _equivalence(problem: Any, value: Stability) -> Claim | Withheld:
    from ._stability_models import TwoLayerReLU

    inputs = np.asarray(problem.inputs)
    n, d = inputs.shape
    if not isinstance(problem.network, TwoLayerReLU):
        return Withheld(EQUIVALENCE, "about two-layer ReLU networks")
    away = float(np.linalg.norm(inputs.T @ inputs / n - np.eye(d), 2))
    noise = 4 * math.sqrt(d / n)
    if away > noise or noise > 1:
        reason = (
            f"the inputs are not seen to be isotropic: ||X'X/n - I|| = {away:.2f}, "
            f"sampling explains {noise:.2f}, and at most 1 is asked"
        )
        return Withheld(EQUIVALENCE, reason)
    return Claim(EQUIVALENCE, noise)


def _generalisation(problem: Any) -> Claim | Withheld:
    bound = generalisation_bound(problem)
    if not math.isfinite(bound):
        return Withheld(GENERALISATION, "the bound is not finite")
    parameters = {"delta": DELTA, "clip": CLIP}
    return Claim(GENERALISATION, bound * (1 + 1e-9), parameters=parameters)


def generalisation_bound(
    problem: Any, *, delta: float = DELTA, clip: float = CLIP
) -> float:
    """Bound on the expected loss min((f(x) - y)^2 / 2, clip) of fresh samples.

    Train loss + 2 sqrt(2 clip) R + 3 clip sqrt(log(2 / delta_k) / 2n) with R the
    empirical Rademacher complexity of the class {norm <= 2^k}, the least that holds
    this network: 2 2^k sqrt(sum ||x_i||^2) / n for path norms (contraction),
    2^k max_j sqrt(sum_i x_ij^2) sqrt(2 log 2d) / n for l_1 norms. All classes share
    delta: delta_k = delta / (1.5 (|k| + 1) (|k| + 2)).
    """
    from ._stability_models import TwoLayerReLU

    inputs, targets = np.asarray(problem.inputs), np.asarray(problem.targets)
    n, d = inputs.shape
    away = problem.network.predictions(problem.params, problem.inputs) - targets
    train = float(np.mean(np.minimum(away**2 / 2, clip)))
    k = math.ceil(math.log2(float(problem.norm_bound().norm)))
    if isinstance(problem.network, TwoLayerReLU):
        complexity = 2 * math.sqrt(float(np.sum(inputs**2))) / n
    else:
        largest = math.sqrt(float(np.max(np.sum(inputs**2, axis=0))))
        complexity = largest * math.sqrt(2 * math.log(2 * d)) / n
    share = delta / (1.5 * (abs(k) + 1) * (abs(k) + 2))
    deviation = 3 * clip * math.sqrt(math.log(2 / share) / (2 * n))
    return train + 2 * math.sqrt(2 * clip) * 2.0**k * complexity + deviation
