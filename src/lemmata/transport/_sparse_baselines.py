"""What one would use instead of sparsity-constrained transport, on the same problem."""

import abc
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp

from ..core import AbstractMethod, require
from ._cost import Real
from ._recovery import vertex
from ._search import as_entries
from ._sparse_candidate import assemble
from ._sparse_plan import SparsePlan
from ._sparse_problem import SparseTransport
from ._support import Entries, HostData, exact_columns, restricted_quadratic


class DirectState(eqx.Module):
    """Before the one step nothing, after it a plan (c, f) and a potential (f,)."""

    plan: np.ndarray
    alpha: np.ndarray


class AbstractDirect(AbstractMethod):
    """A method of one step, on the host."""

    host: ClassVar[bool] = True

    @abc.abstractmethod
    def answer(self, data: HostData) -> tuple[np.ndarray, np.ndarray]:
        """Plan (c, f) and potential (f,)."""

    def init(self, problem: SparseTransport, key: Any) -> DirectState:
        del problem, key
        return DirectState(np.zeros((0, 0)), np.zeros(0))

    def step(self, problem: SparseTransport, state: DirectState) -> DirectState:
        del state
        return DirectState(*self.answer(problem.host_data()))

    def done(self, problem: SparseTransport, state: DirectState) -> bool:
        del problem
        return state.plan.size > 0

    def finish(self, problem: SparseTransport, state: DirectState) -> SparsePlan:
        plan, alpha = state.plan, state.alpha
        if not plan.size:
            capped, free = problem.host_data().cost.shape
            plan, alpha = np.zeros((capped, free)), np.zeros(free)
        plan = plan.T if problem.axis == "columns" else plan
        return assemble(problem, sp.coo_array(plan), alpha)

    def to_arrays(self, state: DirectState) -> dict[str, np.ndarray]:
        return {"plan": state.plan, "alpha": state.alpha}

    def from_arrays(self, problem: Any, arrays: Any) -> DirectState:
        del problem
        return DirectState(arrays["plan"], arrays["alpha"])


@final
class UnregularisedTransport(AbstractDirect):
    """The linear program by HiGHS: a vertex, sparse overall, not in every column."""

    def answer(self, data: HostData) -> tuple[np.ndarray, np.ndarray]:
        return vertex(data)


@final
class QuadraticTransport(AbstractDirect):
    """Quadratically regularised transport, cap = m, by semismooth Newton.

    Its columns have as many non-zeros as they like.
    """

    def answer(self, data: HostData) -> tuple[np.ndarray, np.ndarray]:
        capped, free = np.nonzero(np.isfinite(data.cost))
        entries = Entries(free, capped, np.zeros(free.size))
        _, alpha = vertex(data)
        beta = np.min(data.cost - alpha, axis=1) + data.gamma * data.capped
        found = restricted_quadratic(entries, data, alpha, beta)
        plan = np.zeros(data.cost.shape)
        plan[capped, free] = exact_columns(found.entries, data).mass
        return plan, found.alpha

    def citations(self) -> tuple[str, ...]:
        return ("blondel2018smooth",)


@final
class EntropicTopK(AbstractDirect):
    """Sinkhorn's plan, cut to the k largest entries of every column and rescaled.

    **Options:**

    - `epsilon`: > 0, in units of the range of the cost.
    - `max_steps`: sweeps at most, > 0.
    """

    epsilon: Real = 1e-2
    max_steps: int = 1000

    def validate(self) -> None:
        for name in ("epsilon", "max_steps"):
            value = getattr(self, name)
            require(self, name, value > 0, expected="> 0", got=value)

    def answer(self, data: HostData) -> tuple[np.ndarray, np.ndarray]:
        finite = data.cost[np.isfinite(data.cost)]
        epsilon = float(self.epsilon) * (np.ptp(finite) or 1.0)
        kernel = -data.cost / epsilon
        u, v = np.zeros(data.free.size), np.zeros(data.capped.size)
        for _ in range(self.max_steps):
            v = np.log(data.capped) - logsumexp(kernel + u, axis=1)
            change = np.log(data.free) - logsumexp(kernel + v[:, None], axis=0) - u
            u = u + change
            if np.max(np.abs(change)) < 1e-10:
                break
        plan = np.exp(kernel + u + v[:, None])
        order = np.argsort(-plan, axis=1, kind="stable")[:, data.cap :]
        np.put_along_axis(plan, order, 0.0, axis=1)
        kept = exact_columns(as_entries(plan), data)
        plan[kept.capped, kept.free] = kept.mass
        return plan, epsilon * u

    def citations(self) -> tuple[str, ...]:
        return ("cuturi2013sinkhorn",)
