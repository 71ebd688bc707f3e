"""Label propagation with a certificate."""

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ._estimator_fit import check_real, solved
from ._graph_quadratic import GraphQuadratic


class BlockLabelPropagation(ClassifierMixin, BaseEstimator):
    """Harmonic labels: every unlabelled sample is the mean of its neighbours.

    The clamped solution of scikit-learn's `LabelPropagation`, one quadratic per class
    on a symmetric graph, each minimised and certified.

    **Parameters:**

    - `kernel`: "knn" (i and j are joined if one is among the other's neighbours) or
      "rbf".
    - `gamma`: of the rbf kernel exp(-gamma ||x - x'||^2), > 0.
    - `n_neighbors`: of the knn graph, >= 1.
    - `unsolvable`: "refuse" or "drop" components without any label; dropped samples
      get the labels' shares.
    - `gap_tol`, `method`, `max_steps`: as in `GraphQuadratic` and `solve`.

    **Attributes:**

    - `classes_`, `label_distributions_` (samples, classes), `transduction_` (samples,),
      `n_iter_`.
    - `solutions_`: one `Solution` per class, none where every sample has a label.
    - `solution_`: the first of them, or None.
    """

    def __init__(
        self,
        kernel: str = "knn",
        *,
        gamma: float = 20.0,
        n_neighbors: int = 7,
        unsolvable: str = "refuse",
        gap_tol: float = 1e-8,
        method: Any = None,
        max_steps: int = 10_000,
    ):
        self.kernel = kernel
        self.gamma = gamma
        self.n_neighbors = n_neighbors
        self.unsolvable = unsolvable
        self.gap_tol = gap_tol
        self.method = method
        self.max_steps = max_steps

    def fit(self, X: Any, y: Any) -> "BlockLabelPropagation":
        """X (samples, features); y (samples,), -1 where there is no label."""
        check_real("gamma", self.gamma, 0, above=True)
        check_real("n_neighbors", self.n_neighbors, 1)
        if self.kernel not in ("knn", "rbf"):
            raise ValueError(f"kernel: expected 'knn' or 'rbf', got {self.kernel!r}.")
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        known = y != -1 if y.dtype.kind in "iuf" else np.ones(y.size, bool)
        self.classes_ = np.unique(y[known])
        if not self.classes_.size:
            raise ValueError("y: expected a label besides -1, got none.")
        self.X_ = X
        chosen = np.where(known[:, None], y[:, None] == self.classes_[None, :], np.nan)
        self.solutions_ = []
        found = chosen.astype(np.float64)
        if not np.all(known):
            found = self._propagated(self._weights(X), found)
        self.label_distributions_ = found
        self.transduction_ = self.classes_[np.argmax(found, axis=1)]
        self.solution_ = self.solutions_[0] if self.solutions_ else None
        self.n_iter_ = max([one.stats.steps for one in self.solutions_], default=1)
        return self

    def _propagated(self, weights: Any, labels: np.ndarray) -> np.ndarray:
        """Every class but the last is solved for: harmonic labels sum to one."""
        columns = []
        for label in labels.T[:-1] if labels.shape[1] > 1 else labels.T:
            graph = GraphQuadratic(
                weights, label, unsolvable=self.unsolvable, gap_tol=self.gap_tol
            )
            solution = solved(graph.problem, self.method, self.max_steps)
            self.solutions_.append(solution)
            columns.append(graph.full(solution.value))
        found = np.stack(columns, axis=1)
        if labels.shape[1] > 1:
            found = np.column_stack([found, 1.0 - found.sum(axis=1)])
        shares = np.nanmean(labels, axis=0)
        return np.where(np.isnan(found), shares[None, :], found)

    def _weights(self, X: np.ndarray) -> Any:
        if self.kernel == "rbf":
            kernel = rbf_kernel(X, gamma=float(self.gamma))
            return np.maximum(kernel, kernel.T)
        count = min(int(self.n_neighbors), X.shape[0] - 1)
        near = NearestNeighbors(n_neighbors=count).fit(X)
        graph = scipy.sparse.csr_array(near.kneighbors_graph(mode="connectivity"))
        return graph.maximum(graph.T)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class shares of new samples: kernel means of the fitted ones."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        if self.kernel == "rbf":
            kernel = rbf_kernel(X, self.X_, gamma=float(self.gamma))
            total = kernel.sum(axis=1, keepdims=True)
            lost = total[:, 0] <= 0  # farther than the kernel reaches
            shares = kernel @ self.label_distributions_ / np.where(total > 0, total, 1)
            shares[lost] = self.label_distributions_.mean(axis=0)
            return shares
        count = min(int(self.n_neighbors), self.X_.shape[0])
        near = NearestNeighbors(n_neighbors=count).fit(self.X_)
        places = near.kneighbors(X, return_distance=False)
        return self.label_distributions_[places].mean(axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """The largest share, (samples,)."""
        shares = self.predict_proba(X)  # says so if nothing was fitted
        return self.classes_[np.argmax(shares, axis=1)]
