"""Projection on the cones {v: e_k x_k'v >= 0 for all k}, many at once.

A projection is p = z + sum over a set S of rows of mu_k e_k x_k, with mu >= 0, p tight
on S and feasible elsewhere: non-negative least squares. Sets of earlier projections are
tried first; where they no longer serve, they are changed row by row (`exchanged`).
"""

from dataclasses import dataclass, field

import numpy as np

from ._relu_exchange import DEPENDENT, SLACK, exchanged


@dataclass
class Face:
    """Projections on cones, one row each: `count` = cones asked for.

    **Fields:**

    - `point`: p, (count, d).
    - `basis`: (count, d, d) orthogonal: the first `tight` columns span the rows of S.
    - `tight`: size of S, (count,).
    """

    point: np.ndarray
    basis: np.ndarray
    tight: np.ndarray


@dataclass
class Cones:
    """The cones of P patterns over the rows of X, with the last set S of each.

    **Fields:**

    - `inputs`: X, (n, d), zero rows allowed: they constrain nothing.
    - `signs`: e, (P, n) of -1.0 and 1.0.
    - `sets`: S of each cone, (P, n) of bool: all that a checkpoint must keep.
    """

    inputs: np.ndarray
    signs: np.ndarray
    sets: np.ndarray
    rows: np.ndarray = field(init=False)
    _known: dict[int, tuple[np.ndarray, np.ndarray, int]] = field(init=False)

    def __post_init__(self) -> None:
        norms = np.linalg.norm(self.inputs, axis=1)
        self.norms = np.where(norms > 0, norms, 1.0)
        self.rows = self.inputs / self.norms[:, None]
        self._known = {}

    def project(self, which: np.ndarray, z: np.ndarray) -> Face:
        """Of z[i], (len(which), d), on the cone of pattern `which[i]` (distinct)."""
        face, good = self._tried(which, z)
        rest = np.flatnonzero(~good)
        if not rest.size:
            return face
        part = self._searched(which[rest], z[rest])
        face.point[rest], face.basis[rest] = part.point, part.basis
        face.tight[rest] = part.tight
        return face

    def _searched(self, which: np.ndarray, z: np.ndarray) -> Face:
        """From the sets at hand; where rounding spoils that, from empty ones."""
        face = Face(z, z[:, :, None], np.zeros(len(z), np.int64))
        for clear in (False, True):
            if clear:
                self._set(which, np.zeros((which.size, len(self.rows)), bool))
            self._pruned(which, z)
            basis, inverse, tight = self._factored(which)
            e, sets = self.signs[which], self.sets[which]
            self._set(which, exchanged(self.rows, e, z, sets, basis, inverse, tight))
            face, good = self._tried(which, z)
            if np.all(good):
                break
        return face

    def _set(self, which: np.ndarray, sets: np.ndarray) -> None:
        self.sets[which] = sets
        for i in which.tolist():
            self._known.pop(i, None)

    def multipliers(self, which: int, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, mu) of the last projection of z on one cone, mu >= 0 per row of X."""
        rows = np.flatnonzero(self.sets[which])
        _, inverse, _ = self._factored(np.array([which]))
        mu = -(inverse[0, : rows.size] @ z)
        return rows, np.maximum(mu, 0.0) / self.norms[rows]

    def _factored(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Orthogonal bases, (count, d, d), and left inverses of the rows of S."""
        d = self.inputs.shape[1]
        missing = [i for i in which.tolist() if i not in self._known]
        if missing:
            index = np.array(missing)
            basis, inverse, tight = self._factor(self.signs[index], self.sets[index])
            for j, i in enumerate(missing):
                self._known[i] = basis[j], inverse[j], int(tight[j])
        known = [self._known[i] for i in which.tolist()]
        if not known:
            return np.zeros((0, d, d)), np.zeros((0, d, d)), np.zeros(0, np.int64)
        return (
            np.stack([k[0] for k in known]),
            np.stack([k[1] for k in known]),
            np.array([k[2] for k in known]),
        )

    def _factor(
        self, e: np.ndarray, sets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        d = self.inputs.shape[1]
        tight = np.sum(sets, axis=1)
        columns, used = self._gathered(e, sets, d)
        basis, upper = np.linalg.qr(np.swapaxes(columns, 1, 2), mode="complete")
        diagonal = np.arange(d)
        upper[:, diagonal, diagonal] += ~used
        # Dependent rows have no multipliers: NaN, so that no such set is right.
        lean = np.abs(upper[:, diagonal, diagonal]) < DEPENDENT
        upper[:, diagonal, diagonal] = np.where(lean, 1.0, upper[:, diagonal, diagonal])
        spanned = np.swapaxes(basis * used[:, None, :], 1, 2)
        inverse = np.linalg.solve(upper, spanned)
        inverse[np.any(lean, axis=1)] = np.nan
        return basis, inverse, tight

    def _gathered(
        self, e: np.ndarray, sets: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rows e_k x_k of each set, (count, width, d), padded by zeros; a mask."""
        order = np.argsort(~sets, axis=1, kind="stable")[:, :width]
        used = np.take_along_axis(sets, order, axis=1)
        signs = np.take_along_axis(e, order, axis=1) * used
        columns = self.rows[order] * signs[:, :, None]
        short = width - columns.shape[1]
        if short > 0:
            columns = np.pad(columns, ((0, 0), (0, short), (0, 0)))
            used = np.pad(used, ((0, 0), (0, short)))
        return columns, used

    def _tried(self, which: np.ndarray, z: np.ndarray) -> tuple[Face, np.ndarray]:
        """Projections on the spans orthogonal to S, and whether they are right."""
        d = z.shape[1]
        e, sets = self.signs[which], self.sets[which]
        basis, inverse, tight = self._factored(which)
        spanned = np.arange(d)[None, :] < tight[:, None]
        along = np.einsum("bij,bi->bj", basis, z)
        point = np.einsum("bij,bj->bi", basis, np.where(spanned, 0.0, along))
        mu = -np.einsum("bij,bj->bi", inverse, z)
        size = np.linalg.norm(z, axis=1)
        slack = np.where(sets, np.inf, e * (point @ self.rows.T))
        right = np.min(slack, axis=1, initial=np.inf) >= -(4 * SLACK) * size
        right &= np.min(np.where(spanned, mu, np.inf), axis=1) >= -(4 * SLACK) * size
        return Face(point, basis, tight), right

    def _pruned(self, which: np.ndarray, z: np.ndarray) -> None:
        """Leaves out rows of negative multiplier: what remains is dual feasible."""
        while which.size:
            _, inverse, tight = self._factored(which)
            mu = -np.einsum("bij,bj->bi", inverse, z)
            used = np.arange(z.shape[1])[None, :] < tight[:, None]
            wrong = used & ~(mu >= 0)  # NaN: dependent rows
            bad = np.flatnonzero(np.any(wrong, axis=1))
            sets = self.sets[which[bad]]
            for j, i in enumerate(bad.tolist()):
                rows = np.flatnonzero(sets[j])
                sets[j, rows[wrong[i, : rows.size]]] = False
            self._set(which[bad], sets)
            which, z = which[bad], z[bad]
