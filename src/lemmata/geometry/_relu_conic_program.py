"""The convex programs written out as cone programs.

Variables: u (v_1 .. v_P, w_1 .. w_P), t_i >= |u_i|, predictions f, and the margin m_k
that the loss sees. Robust problems alone have r and b, above the dual norms of u_i and
of Q_k, entry by entry for l_inf balls.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..numerics.conic import ConeProgram
from ._relu_losses import Loss


@dataclass
class Layout:
    """Where each variable begins; `width` of them. `equal`: first row of f = F u."""

    n: int
    d: int
    blocks: int
    robust: bool
    columns: np.ndarray  # perturbed
    ball: str
    width: int = 0

    def __post_init__(self) -> None:
        k = self.columns.size
        auxiliaries = k if self.ball == "linf" else 1
        sizes = {
            "u": self.blocks * self.d,
            "t": self.blocks,
            "r": self.blocks * auxiliaries if self.robust else 0,
            "f": self.n,
            "b": self.n * auxiliaries if self.robust else 0,
            "m": self.n,
        }
        self.start, self.width = {}, 0
        for name, size in sizes.items():
            self.start[name] = self.width
            self.width += size
        self.sizes = sizes

    @staticmethod
    def of(problem: Any) -> "Layout":
        n, d = np.shape(problem.inputs)
        robust = hasattr(problem, "radius")
        mask = problem.perturbed_columns if robust else np.zeros(d, bool)
        ball = problem.ball if robust else "linf"
        columns = np.flatnonzero(mask)
        return Layout(n, d, 2 * len(problem.patterns), robust, columns, ball)

    def part(self, x: np.ndarray, name: str) -> np.ndarray:
        return x[self.start[name] : self.start[name] + self.sizes[name]]

    def vectors(self, x: np.ndarray) -> np.ndarray:
        return self.part(x, "u").reshape(self.blocks, self.d)

    def margins(self, x: np.ndarray) -> np.ndarray:
        return self.part(x, "m")

    def theta(self, dual: np.ndarray) -> np.ndarray:
        """Multipliers of f = F u: minus the loss's slope; they come first."""
        return dual[: self.n]

    def rows(self, count: int, **parts: Any) -> sp.csr_array:
        """So many rows over all variables, from blocks by name."""
        blocks = []
        for name, size in self.sizes.items():
            given = parts.get(name)
            blocks.append(sp.csr_array((count, size)) if given is None else given)
        return sp.csr_array(sp.hstack(blocks, format="csr"))


def program(problem: Any, at: Layout, around: np.ndarray) -> ConeProgram:
    """The program; for the logistic loss its quadratic model at these margins."""
    x, y = np.asarray(problem.inputs), np.asarray(problem.targets)
    active = np.asarray(problem.patterns)
    loss = Loss(problem.loss, float(problem.logit_scale))
    image = sp.hstack([sp.csr_array(a[:, None] * x) for a in active])
    image = sp.csr_array(sp.hstack([image, -image]))
    eye = sp.eye_array(at.n, format="csr")
    zero = [(at.rows(at.n, u=-image, f=eye), np.zeros(at.n))]
    above: list[tuple[Any, np.ndarray]] = []  # rows a, b of b - a x >= 0
    second: list[tuple[Any, int]] = [(_norms(at), at.d + 1)]
    _patterns(problem, at, x, active, above, second)
    reach = _reach(problem, at, active, above, second)
    quadratic, linear = np.zeros(at.width), np.zeros(at.width)
    m = slice(at.start["m"], at.start["m"] + at.n)
    if problem.loss == "squared":
        zero_, above_ = _residuals(at, y, eye, reach)
        zero, above = zero + zero_, above + above_
        quadratic[m] = 1.0
    else:
        sign = sp.diags_array(y).tocsr()
        above.append((at.rows(at.n, f=-sign, m=eye, b=reach), np.zeros(at.n)))
        if problem.loss == "logistic":
            f = y * around
            curve = np.maximum(loss.curvature(f, y), 1e-9)
            quadratic[m] = curve
            linear[m] = -y * loss.dual_point(f, y) - curve * around
        else:
            # Slack takes the place of the margin: m = 1 - slack, slack >= 0.
            above.append((at.rows(at.n, m=eye), np.ones(at.n)))
            linear[m] = -1.0
    linear[at.start["t"] : at.start["t"] + at.blocks] = float(problem.decay)
    return _assembled(at, zero, above, second, quadratic, linear)


def _assembled(at, zero, above, second, quadratic, linear) -> ConeProgram:
    parts = [a for a, _ in (*zero, *above)] + [a for a, _ in second]
    matrix = sp.csc_array(sp.vstack(parts))
    known = [b for _, b in (*zero, *above)]
    rest = [np.zeros(a.shape[0]) for a, _ in second]
    cones = [("zero", sum(b.size for _, b in zero))]
    cones.append(("nonnegative", sum(b.size for _, b in above)))
    for a, size in second:
        cones += [("second_order", size)] * (a.shape[0] // size)
    curved = sp.csc_array(sp.diags_array(quadratic)) if np.any(quadratic) else None
    rhs = np.concatenate([*known, *rest])
    return ConeProgram(linear, matrix, rhs, tuple(cones), curved)


def _norms(at: Layout) -> sp.csr_array:
    """(t_i, u_i) in the second-order cone."""
    first = np.arange(at.blocks) * (at.d + 1)
    rest = (first[:, None] + 1 + np.arange(at.d)).reshape(-1)
    count = at.blocks * (at.d + 1)
    t = sp.csr_array(
        (-np.ones(at.blocks), (first, np.arange(at.blocks))), (count, at.blocks)
    )
    size = at.blocks * at.d
    u = sp.csr_array((-np.ones(size), (rest, np.arange(size))), (count, size))
    return at.rows(count, u=u, t=t)


def _patterns(problem, at, x, active, above, second) -> None:
    """E X u_i >= radius * dual norm of u_i."""
    signs = np.where(np.concatenate([active, active]), 1.0, -1.0)
    own = sp.block_diag([sp.csr_array(e[:, None] * x) for e in signs], format="csr")
    count = at.blocks * at.n
    if not at.robust:
        above.append((at.rows(count, u=-own), np.zeros(count)))
        return
    auxiliaries = at.sizes["r"] // at.blocks
    one = np.full((at.n, auxiliaries), float(problem.radius))
    r = sp.kron(sp.eye_array(at.blocks), sp.csr_array(one), format="csr")
    above.append((at.rows(count, u=-own, r=r), np.zeros(count)))
    pick = sp.csr_array(np.eye(at.d)[at.columns])
    chosen = sp.kron(sp.eye_array(at.blocks), pick, format="csr")
    _helped(at, chosen, "r", at.blocks, above, second, "u")


def _reach(problem, at, active, above, second) -> Any:
    """Radius times the auxiliaries of Q_k = sum of D_ik (v_i - w_i), (n, size of b)."""
    if not at.robust:
        return None
    pick = sp.csr_array(np.eye(at.d)[at.columns])
    d = sp.csr_array(active.T.astype(np.float64))
    both = sp.hstack([d, -d])
    q = sp.kron(both, pick, format="csr")  # rows (k, column), columns (block, d)
    _helped(at, q, "b", at.n, above, second, "u")
    auxiliaries = at.sizes["b"] // at.n
    row = np.full((1, auxiliaries), float(problem.radius))
    return sp.kron(sp.eye_array(at.n), sp.csr_array(row), format="csr")


def _helped(at, map_, name, groups, above, second, source) -> None:
    """Helpers above |map u|, entry by entry (linf) or group by group (l2)."""
    count = map_.shape[0]
    if at.ball == "linf":
        eye = sp.eye_array(count, format="csr")
        for sign in (1.0, -1.0):
            rows = at.rows(count, **{source: sign * map_, name: -eye})
            above.append((rows, np.zeros(count)))
        return
    size = count // groups
    total = groups * (size + 1)
    first = np.arange(groups) * (size + 1)
    rest = (first[:, None] + 1 + np.arange(size)).reshape(-1)
    place = sp.csr_array((np.ones(count), (rest, np.arange(count))), (total, count))
    head = sp.csr_array((-np.ones(groups), (first, np.arange(groups))), (total, groups))
    second.append((at.rows(total, **{source: -place @ map_, name: head}), size + 1))


def _residuals(at, y, eye, reach) -> tuple[list, list]:
    """M = f - y, or m >= |f - y| + reach."""
    if reach is None:
        return [(at.rows(at.n, f=eye, m=-eye), y)], []
    return [], [
        (at.rows(at.n, f=eye, m=-eye, b=reach), y),
        (at.rows(at.n, f=-eye, m=-eye, b=reach), -y),
    ]
