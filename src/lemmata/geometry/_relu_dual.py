"""Lower bounds on the convex program's optimum; on the host.

theta is feasible if, for each pattern and sign, some mu >= 0 has |+-X'D theta + X'E mu|
<= beta; the least norm over mu is that of the projection of +-X'D theta on the cone.
Scaled by beta over the largest of these norms, theta bounds the optimum from below.
"""

from typing import Any, NamedTuple

import numpy as np

from ._relu_cones import Cones
from ._relu_losses import Loss


class Lower(NamedTuple):
    """A dual bound for the loss as a plain sum.

    - `value`: the bound. - `largest`: the largest of the norms.
    - `pulls`: +-X'D theta, (2P, d). - `norms`: of their projections, (2P,), or upper
      bounds where these are at most beta.
    """

    value: float
    largest: float
    pulls: np.ndarray
    norms: np.ndarray


def cones_of(inputs: Any, patterns: Any) -> Cones:
    """The cones of all patterns, for v_i and then for w_i."""
    e = np.where(np.asarray(patterns), 1.0, -1.0)
    signs = np.concatenate([e, e])
    return Cones(np.asarray(inputs), signs, np.zeros(signs.shape, bool))


def pulls_of(inputs: np.ndarray, patterns: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """+-X'D_i theta, (2P, d): first all +, then all -."""
    found = (patterns * theta) @ inputs
    return np.concatenate([found, -found])


def lower_bound(
    loss: Loss,
    targets: np.ndarray,
    decay: float,
    cones: Cones,
    patterns: np.ndarray,
    theta: np.ndarray,
    known: np.ndarray | None = None,
) -> Lower:
    """The bound that theta gives, theta for the loss as a plain sum.

    `known`: upper bounds on the norms from an earlier theta's mu, (2P,), or None.
    """
    theta = loss.admissible(theta, targets)
    pulls = pulls_of(cones.inputs, patterns, theta)
    norms = np.linalg.norm(pulls, axis=1)
    if known is not None:
        norms = np.minimum(norms, known)
    open_ = np.flatnonzero(norms > decay)
    if open_.size:
        face = cones.project(open_, pulls[open_])
        norms[open_] = np.linalg.norm(face.point, axis=1)
    largest = float(np.max(norms, initial=0.0))
    value = scaled(loss, targets, theta, decay, largest)
    return Lower(value, largest, pulls, norms)


def scaled(loss: Loss, y: np.ndarray, theta: np.ndarray, decay: float, largest: float):
    """The dual value at the best multiple of theta that is feasible."""
    scale = min(1.0, decay / largest) if largest > 0 else 1.0
    if loss.name == "squared":
        square = float(theta @ theta)
        most = decay / largest if largest > 0 else np.inf
        scale = min(most, float(theta @ y) / square) if square > 0 else 1.0
        scale = max(scale, 0.0)
    return float(loss.dual(scale * theta, y))


def residual_dual(problem: Any, hidden: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Theta of a network's own residuals, in the problem's units."""
    loss, y = problem.criterion, np.asarray(problem.targets)
    f = problem.predictions(hidden, output)
    return loss.share(y.size) * loss.dual_point(f, y)


def dual_value(problem: Any, theta: Any) -> float:
    """The lower bound on the optimum over the problem's patterns that theta gives."""
    loss, y = problem.criterion, np.asarray(problem.targets)
    share = loss.share(y.size)
    cones = cones_of(problem.inputs, problem.patterns)
    patterns = np.asarray(problem.patterns)
    plain = np.asarray(theta) / share
    decay = float(problem.decay)
    return share * lower_bound(loss, y, decay, cones, patterns, plain).value
