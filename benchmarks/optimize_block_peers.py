"""Peers of block coordinate descent at composite problems, and the judge on them."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from celer import Lasso as CelerLasso
from skglm.estimators import Lasso as SkglmLasso
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso

import lemmata as lm
from benchmarks.harness import Contender

VALUE = "optimize.value_enclosure/1"
LADDER = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14)


class Answer(NamedTuple):
    """Coefficients, and whether the library warned of no convergence."""

    x: np.ndarray
    warned: bool


def quiet(fit: Callable[[], Any]) -> Answer:
    """The fit's coefficients; its warnings are looked at, not shown."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fit()
    warned = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return Answer(np.ravel(np.asarray(model.coef_, dtype=np.float64)), warned)


def gap(problem: Any, x: np.ndarray) -> float:
    """The judge's bound on F(x) - min F."""
    judged = lm.certify(problem, problem.candidate(coefficients=x))
    found = {d.id: d.measured for d in judged.certificate.decisions}
    return found.get(VALUE, float("inf"))


def lassos(design: Any, target: Any, strength: float, positive: bool) -> dict[str, Any]:
    """Name to a fit with a tolerance."""
    alpha = strength / design.shape[0]

    def sklearn(tol: float) -> Any:
        model = Lasso(
            alpha, fit_intercept=False, positive=positive, tol=tol, max_iter=100_000
        )
        return model.fit(design, target)

    def celer(tol: float) -> Any:
        model = CelerLasso(alpha, fit_intercept=False, positive=positive, tol=tol)
        return model.fit(design, target)

    def skglm(tol: float) -> Any:
        model = SkglmLasso(alpha, fit_intercept=False, positive=positive, tol=tol)
        return model.fit(design, target)

    return {"scikit-learn": sklearn, "celer": celer, "skglm": skglm}


def peer(problem: Any, who: str, fit: Callable[[float], Any]) -> Contender:
    """A peer at the loosest tolerance of the ladder that the judge accepts."""
    promise = problem.promise()
    for tol in LADDER:
        answer = quiet(lambda tol=tol: fit(tol))
        if gap(problem, answer.x) <= promise:
            break
    return Contender(
        who,
        "peer",
        lambda tol=tol: quiet(lambda: fit(tol)),
        accuracy=lambda answer: gap(problem, answer.x) / promise,
        success=lambda answer: not answer.warned,
        certified=lambda answer: gap(problem, answer.x) <= promise,
        note=f"tol={tol:g}",
    )


def ours(problem: Any, method: Any = None, note: str = "") -> Contender:
    """Our method; its seconds include the judge, which the peers do without."""
    promise = problem.promise()

    def run() -> Any:
        return lm.solve(problem, method, throw=False)

    return Contender(
        f"lemmata {type(method or problem.default_method()).__name__}",
        "ours",
        run,
        accuracy=lambda s: gap(problem, s.value.coefficients) / promise,
        success=lambda s: s.result.name == "converged",
        certified=lambda s: s.certified,
        note=note or "judge included",
    )
