"""State and inner problem of the semismooth Newton method; NumPy on the host."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg

from ._relu_cones import Face
from ._relu_dual import cones_of, lower_bound, pulls_of
from ._relu_losses import Loss

_SINGULAR = 1e-7  # curvature of a kink, in units of the step


@dataclass
class Proximal:
    """The proximal map of the penalty at one point, where it is not zero."""

    live: np.ndarray  # blocks
    vectors: np.ndarray  # u of them, (live, d)
    predictions: np.ndarray  # F u
    columns: Callable[[], np.ndarray]  # M with M M' = F J F'


class Terms(abc.ABC):
    """The problem with its loss as a plain sum: loss, penalty of blocks, F.

    Subclasses have `loss`, `targets`, `decay`, `shape` of u, and may keep memory of
    earlier calls, which `arrays` names for a checkpoint.
    """

    loss: Loss
    targets: np.ndarray
    decay: float
    shape: tuple[int, int]

    @property
    def share(self) -> float:
        """The problem's loss over the plain sum."""
        return self.loss.share(self.targets.size)

    @abc.abstractmethod
    def proximal(self, center: np.ndarray, theta: np.ndarray, step: float) -> Proximal:
        """The proximal map of step * penalty at center + step F'theta."""

    @abc.abstractmethod
    def bound(self, theta: np.ndarray) -> float:
        """The lower bound that theta gives."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What is remembered, by name."""

    @abc.abstractmethod
    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Inverse of `arrays`."""


class ConeTerms(Terms):
    """Vectors in the cones of patterns; u is v_1 .. v_P, w_1 .. w_P, (2P, d).

    `moved` is X'E mu of the last projection of each pull: it bounds the next one.
    """

    def __init__(self, problem: Any):
        self.patterns = np.asarray(problem.patterns)
        self.loss = Loss(problem.loss, float(problem.logit_scale))
        self.targets = np.asarray(problem.targets)
        self.decay = float(problem.decay)
        self.cones = cones_of(problem.inputs, self.patterns)
        self.shape = (2 * len(self.patterns), self.cones.inputs.shape[1])
        self.moved = np.zeros(self.shape)

    def proximal(self, center: np.ndarray, theta: np.ndarray, step: float) -> Proximal:
        pulls = pulls_of(self.cones.inputs, self.patterns, theta)
        idle = ~np.any(center, axis=1)
        near = np.linalg.norm(pulls + self.moved, axis=1) <= self.decay
        asked = np.flatnonzero(~(idle & near))
        z = center[asked] + step * pulls[asked]
        face = self.cones.project(asked, z)
        fresh = idle[asked]
        self.moved[asked[fresh]] = (face.point[fresh] - z[fresh]) / step
        size = np.linalg.norm(face.point, axis=1)
        kept = size > step * self.decay
        live = asked[kept]
        face = Face(face.point[kept], face.basis[kept], face.tight[kept])
        share = 1.0 - step * self.decay / size[kept]
        vectors = face.point * share[:, None]
        columns = partial(self._columns, live, face, share)
        return Proximal(live, vectors, self.image(live, vectors), columns)

    def image(self, blocks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """F u, (n,), of the vectors `rows` of these blocks."""
        p = len(self.patterns)
        hidden = (self.cones.inputs @ rows.T) * self.patterns[blocks % p].T
        return hidden @ np.where(blocks < p, 1.0, -1.0)

    def _columns(self, live: np.ndarray, face: Face, share: np.ndarray) -> np.ndarray:
        """F J F' = sum of D X J X'D, J = share N + (1 - share) p p'/|p|^2.

        N projects on the face, share = 1 - step decay / |p|.
        """
        columns = [np.zeros((self.targets.size, 0))]
        for i, block in enumerate(live.tolist()):
            p = face.point[i]
            free = face.basis[i][:, face.tight[i] :]
            q = free.T @ (p / np.linalg.norm(p))
            root = np.sqrt(share[i])
            half = root * free + (1.0 - root) * np.outer(free @ q, q)
            active = self.patterns[block % len(self.patterns)]
            columns.append(active[:, None] * (self.cones.inputs @ half))
        return np.concatenate(columns, axis=1)

    def bound(self, theta: np.ndarray) -> float:
        found = lower_bound(
            self.loss, self.targets, self.decay, self.cones, self.patterns, theta
        )
        return found.value

    def arrays(self) -> dict[str, np.ndarray]:
        return {"sets": self.cones.sets, "moved": self.moved}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.cones.sets, self.moved = arrays["sets"].copy(), arrays["moved"].copy()


@dataclass
class Inner:
    """Everything at one theta of the inner problem."""

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    curvature: np.ndarray
    proximal: Proximal


@dataclass
class NewtonState:
    """Where the method stands.

    **Fields:**

    - `terms`: the problem. - `theta`: (n,). - `center`: u of the last outer step.
    - `center_predictions`: the hinge's proximal centre, (n,).
    - `step`: the proximal step sigma. - `lower`, `cost`: best bound, and the cost of
      `best`, loss as a plain sum. - `best_theta`: of the bound.
    - `gradient`: norm of the inner gradient; `outer`: outer steps; `stalled`: outer
      steps without progress; `done`: why it is over, 0 if it is not.
    """

    terms: Terms
    theta: np.ndarray
    center: np.ndarray
    center_predictions: np.ndarray
    step: float
    lower: float
    cost: float
    best: np.ndarray
    best_theta: np.ndarray
    gradient: float = np.inf
    outer: int = 0
    stalled: int = 0
    done: int = 0
    inner: Inner | None = field(default=None)


def evaluate(state: NewtonState, theta: np.ndarray) -> Inner:
    """The inner problem at theta.

    psi(theta) = l*(-theta) + (|u|^2 - |c|^2) / (2 sigma), u the proximal map of the
    penalty at c + sigma F'theta, sigma the step and c the centre; its gradient is
    F u - f, f the predictions that theta stands for. For the hinge, l is replaced by
    its Moreau envelope around the last predictions.
    """
    sigma = state.step
    found = state.terms.proximal(state.center, theta, sigma)
    value, f, curvature = conjugate(state, theta)
    square = np.sum(found.vectors**2) - np.sum(state.center**2)
    gradient = found.predictions - f
    return Inner(theta, value + square / (2.0 * sigma), gradient, curvature, found)


def conjugate(state: NewtonState, theta: np.ndarray) -> tuple[float, Any, Any]:
    """(l*(-theta), -its gradient f, its curvature); the hinge's smoothed."""
    loss, y = state.terms.loss, state.terms.targets
    if loss.name == "squared":
        return -float(loss.dual(theta, y)), y - theta, np.ones_like(theta)
    if loss.name == "logistic":
        a = y * theta / loss.scale
        if np.any(a <= 0) or np.any(a >= 1):
            return np.inf, np.zeros_like(theta), np.ones_like(theta)
        f = y * (np.log1p(-a) - np.log(a)) / loss.scale
        return -float(loss.dual(theta, y)), f, 1.0 / (loss.scale**2 * a * (1.0 - a))
    sigma, centre = state.step, state.center_predictions
    w = centre - sigma * theta
    f = loss.prox(w, sigma, y)
    off = f - centre
    value = -float(theta @ f) - float(loss.value(f, y)) - float(off @ off) / (2 * sigma)
    margin = y * f
    smooth = (margin > 1.0) | (y * w + sigma < 1.0)
    return value, f, sigma * np.where(smooth, 1.0, _SINGULAR)


def direction(state: NewtonState, inner: Inner) -> np.ndarray:
    """The Newton step: (H + sigma M M') step = -gradient, the smaller way round."""
    sigma, m = state.step, inner.proximal.columns()
    h, g = inner.curvature, inner.gradient
    if m.shape[1] < g.size:
        scaled = m / h[:, None]
        small = np.eye(m.shape[1]) / sigma + m.T @ scaled
        factor = scipy.linalg.cho_factor(small, check_finite=False)
        right = scipy.linalg.cho_solve(factor, scaled.T @ g, check_finite=False)
        return -(g / h - scaled @ right)
    full = sigma * (m @ m.T)
    full[np.diag_indices_from(full)] += h
    factor = scipy.linalg.cho_factor(full, overwrite_a=True, check_finite=False)
    return -scipy.linalg.cho_solve(factor, g, check_finite=False)
