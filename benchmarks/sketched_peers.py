"""SciPy's, Ipopt's and optimistix's solvers on constrained problems, calls counted."""

import importlib.util
import warnings
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from scipy.optimize import NonlinearConstraint, minimize

GOAL = 1e-6  # KKT residual that everybody is counted up to
IPOPT = importlib.util.find_spec("cyipopt") is not None


@dataclass
class Functions:
    """Compiled f, c and their derivatives, values counted."""

    problem: Any
    objective: int = 0
    constraint: int = 0
    reached: int | None = None
    _compiled: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        problem = self.problem

        def weighted(x, v):
            return v @ problem.c(x)

        self._compiled = {
            "f": jax.jit(lambda x: problem.f(x)),
            "c": jax.jit(lambda x: problem.c(x)),
            "slope": jax.jit(jax.grad(lambda x: problem.f(x))),
            "rows": jax.jit(jax.jacfwd(lambda x: problem.c(x))),
            "curve": jax.jit(jax.hessian(lambda x: problem.f(x))),
            "bend": jax.jit(jax.hessian(weighted)),
        }

    def call(self, name, *arguments):
        with jax.enable_x64(True):
            return np.asarray(self._compiled[name](*arguments))

    def f(self, x):
        self.objective += 1
        return float(self.call("f", x))

    def c(self, x):
        self.constraint += 1
        return self.call("c", x)

    def slope(self, x):
        return self.call("slope", x)

    def rows(self, x):
        return self.call("rows", x)

    def curve(self, x):
        return self.call("curve", x)

    def bend(self, x, v):
        return self.call("bend", x, np.asarray(v, np.float64))

    def residual(self, x) -> float:
        """max(|grad f + G^T lambda|, |c|), least-squares lambda; not counted."""
        g, slope = self.rows(x), self.slope(x)
        multipliers = np.linalg.lstsq(g.T, -slope, rcond=None)[0]
        off = np.abs(slope + g.T @ multipliers).max()
        return float(max(off, np.abs(self.call("c", x)).max()))

    def look(self, x, *_):
        """A callback after each iteration: the calls it took to get this far."""
        if self.reached is None and self.residual(x) <= GOAL:
            self.reached = self.objective + self.constraint


@dataclass
class Answer:
    """What a peer returned: the point, what it says, and its calls of f and c."""

    x: np.ndarray
    success: bool
    calls: int
    reached: int | None  # calls when the residual first was at most `GOAL`


def answer(functions: Functions, found: Any) -> Answer:
    functions.look(found.x)
    calls = functions.objective + functions.constraint
    return Answer(np.asarray(found.x), bool(found.success), calls, functions.reached)


def trust_constr(problem: Any, exact: bool, limit: int = 1000) -> Answer:
    """Exact gradients; Hessians exact or, SciPy's default, by BFGS updates."""
    t = Functions(problem)
    second = {"hess": t.bend} if exact else {}
    constraint = NonlinearConstraint(t.c, 0.0, 0.0, jac=t.rows, **second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = minimize(
            t.f,
            problem.x0,
            jac=t.slope,
            method="trust-constr",
            constraints=constraint,
            callback=t.look,
            options={"gtol": 1e-7, "xtol": 1e-12, "maxiter": limit},
            **({"hess": t.curve} if exact else {}),
        )
    return answer(t, found)


def slsqp(problem: Any, limit: int = 1000) -> Answer:
    """Exact gradients."""
    t = Functions(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = minimize(
            t.f,
            problem.x0,
            jac=t.slope,
            method="SLSQP",
            constraints={"type": "eq", "fun": t.c, "jac": t.rows},
            callback=t.look,
            options={"ftol": 1e-12, "maxiter": limit},
        )
    return answer(t, found)


def ipopt(problem: Any, limit: int = 1000) -> Answer:
    """Exact gradients and Hessians, through cyipopt."""
    from cyipopt import minimize_ipopt

    t = Functions(problem)
    found = minimize_ipopt(
        t.f,
        problem.x0,
        jac=t.slope,
        hess=t.curve,
        constraints={"type": "eq", "fun": t.c, "jac": t.rows, "hess": t.bend},
        options={"maxiter": limit, "tol": 1e-8, "disp": 0},
    )
    return answer(t, found)


def optimistix_penalty(problem: Any, weight: float = 1e6, limit: int = 2000) -> Answer:
    """BFGS of optimistix on f + (weight / 2) |c|^2: unconstrained minimisation."""
    import optimistix

    def penalised(x, _):
        return problem.f(x) + 0.5 * weight * (problem.c(x) ** 2).sum()

    with jax.enable_x64(True):
        found = optimistix.minimise(
            penalised,
            optimistix.BFGS(rtol=1e-10, atol=1e-10),
            jax.numpy.asarray(problem.x0),
            max_steps=limit,
            throw=False,
        )
        steps = int(found.stats["num_steps"])
        success = bool(found.result == optimistix.RESULTS.successful)
        return Answer(np.asarray(found.value), success, 2 * steps, None)
