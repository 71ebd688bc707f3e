"""Projections on many polyhedral cones at once: a dual active-set method, in step.

Source: Goldfarb and Idnani, Mathematical Programming 27 (1983), for the identity as
Hessian. Every cone of a batch takes one partial or full step in each round.
"""

import numpy as np

SLACK = 1e-12  # of ||z||, below zero, that counts as feasible
DEPENDENT = 1e-9  # distance of a unit row from the span of S that counts as zero


def exchanged(
    rows: np.ndarray,
    signs: np.ndarray,
    z: np.ndarray,
    sets: np.ndarray,
    basis: np.ndarray,
    inverse: np.ndarray,
    tight: np.ndarray,
) -> np.ndarray:
    """The sets S of tight rows of the projections of z, (B, n) of bool.

    **Arguments:**

    - `rows`: unit rows x_k, (n, d). - `signs`: e, (B, n). - `z`: (B, d).
    - `sets`: where to begin; multipliers of these rows must not be negative.
    - `basis`, `inverse`, `tight`: their factors, as `Face` has them: of the rows of S
      in ascending order, `inverse` takes z to minus the multipliers.
    """
    work = _Batch(rows, signs, z, sets, basis, inverse, tight)
    for _ in range(40 * z.shape[1] + 40):
        if not work.choose():
            break
        work.move()
    return work.sets


class _Batch:
    """Iterates of all cones; those that are done drop out of `open`."""

    def __init__(self, rows, signs, z, sets, basis, inverse, tight):
        self.rows, self.signs, self.sets = rows, signs, sets.copy()
        b, d = z.shape
        spanned = np.arange(d)[None, :] < tight[:, None]
        free = basis * ~spanned[:, None, :]
        self.projector = free @ np.swapaxes(basis, 1, 2)
        self.inverse = inverse * spanned[:, :, None]
        self.mu = np.where(spanned, -np.einsum("bij,bj->bi", inverse, z), 0.0)
        self.point = np.einsum("bij,bj->bi", self.projector, z)
        order = np.argsort(~sets, axis=1, kind="stable")[:, :d]
        slots = np.full((b, d), -1)
        slots[:, : order.shape[1]] = order
        self.slots = np.where(spanned, slots, -1)  # row of X in each place, -1: none
        self.limit = -SLACK * np.linalg.norm(z, axis=1)
        self.entering = np.full(b, -1)  # a row that waits for room, -1: none
        self.weight = np.zeros(b)  # its multiplier so far
        self.open = np.arange(b)

    def choose(self) -> bool:
        """The most violated row of each cone that has none waiting."""
        idle = self.open[self.entering[self.open] < 0]
        if idle.size:
            slack = self.signs[idle] * (self.point[idle] @ self.rows.T)
            slack[self.sets[idle]] = np.inf
            worst = np.argmin(slack, axis=1)
            violated = slack[np.arange(idle.size), worst] < self.limit[idle]
            self.entering[idle] = np.where(violated, worst, -1)
            self.weight[idle] = 0.0
            self.open = self.open[self.entering[self.open] >= 0]
        return self.open.size > 0

    def move(self) -> None:
        """Towards the entering row's hyperplane, until it or a multiplier is zero."""
        at = self.open
        k = self.entering[at]
        normal = self.signs[at, k][:, None] * self.rows[k]
        inverse = self.inverse[at]
        way = np.einsum("bij,bj->bi", self.projector[at], normal)
        share = np.einsum("bij,bj->bi", inverse, normal)
        rise = np.sum(way * way, axis=1)
        used = self.slots[at] >= 0
        falls = used & (share > 1e-14)
        ratio = np.where(falls, self.mu[at] / np.where(falls, share, 1.0), np.inf)
        leaving = np.argmin(ratio, axis=1)
        blocked = ratio[np.arange(at.size), leaving]
        gap = -np.sum(normal * self.point[at], axis=1)
        free = rise > DEPENDENT**2
        full = np.where(free, gap / np.where(free, rise, 1.0), np.inf)
        step = np.minimum(np.minimum(blocked, full), 1e300)
        self.point[at] += step[:, None] * np.where(free[:, None], way, 0.0)
        self.mu[at] = np.where(used, self.mu[at] - step[:, None] * share, 0.0)
        self.weight[at] += step
        entered = free & (full <= blocked)
        self._enter(at[entered], way[entered], share[entered], rise[entered])
        self._leave(at[~entered], leaving[~entered], np.isfinite(blocked[~entered]))

    def _enter(self, at, way, share, rise) -> None:
        place = np.argmax(self.slots[at] < 0, axis=1)
        room = self.slots[at, place] < 0
        unit = way / rise[:, None]
        self.inverse[at] -= share[:, :, None] * unit[:, None, :]
        self.projector[at] -= way[:, :, None] * unit[:, None, :]
        at, place, unit = at[room], place[room], unit[room]
        k = self.entering[at]
        self.inverse[at, place] = unit
        self.mu[at, place], self.slots[at, place] = self.weight[at], k
        self.sets[at, k] = True
        self.entering[at] = -1

    def _leave(self, at, place, possible) -> None:
        self.entering[at[~possible]] = -1  # only rounding comes here
        at, place = at[possible], place[possible]
        out = self.inverse[at, place]
        square = np.sum(out * out, axis=1)
        along = np.einsum("bij,bj->bi", self.inverse[at], out) / square[:, None]
        self.inverse[at] -= along[:, :, None] * out[:, None, :]
        self.projector[at] += out[:, :, None] * (out / square[:, None])[:, None, :]
        self.inverse[at, place] = 0.0
        self.sets[at, self.slots[at, place]] = False
        self.mu[at, place], self.slots[at, place] = 0.0, -1
