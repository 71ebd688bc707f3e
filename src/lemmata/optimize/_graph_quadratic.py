"""Label propagation: harmonic labels of a weighted graph, as a quadratic problem.

Source: Zhu, Ghahramani and Lafferty, ICML 2003; Nutini, Laradji and Schmidt, JMLR 23
(2022), section 5 and figure 9: minimise sum_{i<j} w_ij (x_i - x_j)^2 / 2 over the nodes
without a label.
"""

from typing import Any, final

import equinox as eqx
import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from ..core import InvalidProblem
from ._composite import CompositeProblem
from ._losses import Quadratic


@final
class GraphQuadratic(eqx.Module):
    """A graph with some labels, and the quadratic problem for the others.

    With L the graph's Laplacian, u the nodes without and l those with a label,
    H = L_uu and b = -L_ul y_l, so that x solves L_uu x = -L_ul y_l. H is positive
    definite iff every component has a label.

    **Arguments:**

    - `weights`: W, (n, n), array or SciPy sparse, symmetric, >= 0; the diagonal counts
      for nothing.
    - `labels`: y, (n,), any real numbers, NaN where unknown.
    - `unsolvable`: "refuse" (default) raises where components have no label; "drop"
      leaves their nodes out, and `full` answers NaN there.
    - `gap_tol`: of the problem.

    **Fields:**

    - `problem`: the `CompositeProblem`, unknowns in the order of `unknown`.
    - `unknown`: nodes that are solved for.
    - `dropped`: nodes of components without any label.

    **Raises:** `InvalidProblem`.
    """

    problem: CompositeProblem
    labels: np.ndarray
    unknown: np.ndarray
    dropped: np.ndarray

    def __init__(
        self,
        weights: Any,
        labels: Any,
        *,
        unsolvable: str = "refuse",
        gap_tol: Any = 1e-8,
    ):
        graph: Any = _graph(weights)
        self.labels = _labels(labels, graph.shape[0])
        known = ~np.isnan(self.labels)
        stray = _stray(graph, known)
        self._answer_for(stray, known, graph, unsolvable)
        self.dropped = np.flatnonzero(stray)
        self.unknown = np.flatnonzero(~known & ~stray)
        if not self.unknown.size:
            raise InvalidProblem(
                "GraphQuadratic.labels", "a node without a label to solve for", "none"
            )
        degrees = np.asarray(graph.sum(axis=1)).reshape(-1)
        rows: Any = graph[self.unknown]
        inner = rows[:, self.unknown]
        operator = scipy.sparse.diags_array(degrees[self.unknown]) - inner
        linear = rows[:, np.flatnonzero(known)] @ self.labels[known]
        loss = Quadratic(scipy.sparse.csr_array(operator), linear)
        self.problem = CompositeProblem(loss, gap_tol=gap_tol)

    def _answer_for(
        self, stray: np.ndarray, known: np.ndarray, graph: Any, unsolvable: str
    ) -> None:
        if unsolvable not in ("refuse", "drop"):
            expected = "'refuse' or 'drop'"
            raise InvalidProblem("GraphQuadratic.unsolvable", expected, unsolvable)
        if np.any(stray) and unsolvable == "refuse":
            _, part = connected_components(graph, directed=False)
            count = np.unique(part[stray]).size
            first = int(np.argmax(stray))
            raise InvalidProblem(
                "GraphQuadratic.labels",
                "a label in every component (or unsolvable='drop')",
                f"{count} without any, {int(np.sum(stray))} nodes, such as {first}",
            )

    def full(self, value: Any) -> np.ndarray:
        """Labels of all nodes (n,): the given ones, the solved ones, NaN if dropped."""
        found = self.labels.copy()
        found[self.unknown] = np.asarray(value, dtype=np.float64)
        return found


def _graph(weights: Any) -> scipy.sparse.csr_array:
    field = "GraphQuadratic.weights"
    sparse = scipy.sparse.issparse(weights)
    array = weights if sparse else np.asarray(weights)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        got = f"{array.dtype} of shape {array.shape}"
        raise InvalidProblem(field, "a real matrix (n, n)", got)
    if array.shape[0] != array.shape[1] or not array.shape[0]:
        raise InvalidProblem(field, "a square matrix", f"shape {array.shape}")
    graph = scipy.sparse.csr_array(array, dtype=np.float64, copy=True)
    graph.sum_duplicates()
    bad = int(np.sum(~np.isfinite(graph.data)))
    if bad:
        raise InvalidProblem(field, "finite weights", f"{bad} not finite")
    entries = graph.tocoo()
    negative = np.flatnonzero(entries.data < 0)
    if negative.size:
        k = negative[0]
        edge = f"{entries.data[k]:g} between {entries.row[k]} and {entries.col[k]}"
        raise InvalidProblem(field, "weights >= 0", edge)
    skew = (graph - graph.T).tocoo()
    wrong = np.flatnonzero(skew.data != 0)
    if wrong.size:
        k = wrong[0]
        edge = f"W_ij - W_ji = {skew.data[k]:g} for {skew.row[k]}, {skew.col[k]}"
        raise InvalidProblem(field, "W = W^T", edge)
    graph.setdiag(0.0)
    graph.eliminate_zeros()
    return graph


def _labels(labels: Any, n: int) -> np.ndarray:
    field = "GraphQuadratic.labels"
    array = np.asarray(labels)
    if array.shape != (n,) or array.dtype.kind not in "biuf":
        got = f"{array.dtype} of shape {array.shape}"
        raise InvalidProblem(field, f"real numbers, shape ({n},)", got)
    array = np.array(array, dtype=np.float64)
    if np.any(np.isinf(array)):
        raise InvalidProblem(field, "finite labels, NaN where unknown", "infinity")
    if np.all(np.isnan(array)):
        raise InvalidProblem(field, "at least one label", "NaN everywhere")
    return array


def _stray(graph: scipy.sparse.csr_array, known: np.ndarray) -> np.ndarray:
    """Nodes of components without any label, (n,)."""
    _, part = connected_components(graph, directed=False)
    reached = np.zeros(part.max() + 1, bool)
    reached[part[known]] = True
    return ~reached[part]
