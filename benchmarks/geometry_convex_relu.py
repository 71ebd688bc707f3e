"""Two-layer ReLU networks against CVXPY with Clarabel and scikit-learn; all judged."""

import warnings
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import Lasso
from sklearn.neural_network import MLPRegressor

import lemmata as lm
from benchmarks.harness import Contender, Report, Table, false_successes, race
from lemmata.geometry import (
    ADMM,
    BackPropagation,
    ConicSolver,
    ConvexReLU,
    Given,
    ReLUNetwork,
    Sampled,
    SampledConvexProgram,
    SemismoothNewton,
)

LIMIT = 120.0  # seconds that a peer may take
DECAY = {"squared": 0.5, "hinge": 0.01, "logistic": 0.5}
GAP = 1e-6


def benchmark(rows: int = 500, patterns: int = 200) -> Report:
    """All tables; about four minutes on two cores."""
    report = Report("geometry-convex-relu")
    report.tables.append(_large(rows, patterns))
    for loss in DECAY:
        report.tables.append(_small(loss))
    report.tables.append(_lasso())
    report.false_successes = _false_successes()
    return report


def tumours(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardised breast_cancer with a column of ones, labels -1 and 1."""
    x, y = load_breast_cancer(return_X_y=True)
    x = ((x - x.mean(axis=0)) / x.std(axis=0))[:rows, :columns]
    return np.hstack([x, np.ones((rows, 1))]), np.where(y[:rows] > 0, 1.0, -1.0)


def directions(columns: int, count: int) -> Given:
    """Normal directions, drawn column by column."""
    return Given(directions=np.random.default_rng(0).normal(size=(columns, count)).T)


def _large(rows: int, patterns: int) -> Table:
    """At full size; accuracy is the certified cost."""
    x, y = tumours(rows, 29)
    problem = ConvexReLU(x, y, weight_decay=1.0, patterns=directions(30, patterns))
    contenders = [
        _ours(problem, SemismoothNewton(), rounds=3),
        _ours(problem, ADMM(), "baseline", rounds=1, time_limit=30.0),
        _ours(problem, BackPropagation(100, steps=2000), "baseline", rounds=1),
        _peer("CVXPY with Clarabel", problem, cvxpy_answer),
        _peer("MLPRegressor (Adam)", problem, sklearn_answer),
    ]
    title = f"n = {rows}, d = 30, {patterns} patterns, squared loss"
    return race(title, "certified cost", contenders, "decay 1; one gap tolerance, 1e-6")


def _small(loss: str) -> Table:
    x, y = tumours(120, 8)
    chosen = directions(9, 30)
    problem = ConvexReLU(x, y, loss, weight_decay=DECAY[loss], patterns=chosen)
    contenders = [
        _ours(problem, SemismoothNewton()),
        _ours(problem, ConicSolver(), "baseline"),
        _ours(problem, ADMM(), "baseline", rounds=1, time_limit=10.0),
        _peer("CVXPY with Clarabel", problem, cvxpy_answer, rounds=3),
    ]
    return race(f"n = 120, d = 9, 30 patterns, {loss}", "certified cost", contenders)


def _lasso() -> Table:
    """One sampled program: H a with |a|_1, for both."""
    x, y = tumours(300, 8)
    problem = ConvexReLU(x, y, weight_decay=1.0, patterns=Sampled(30))
    method = SampledConvexProgram(1000)
    first = lm.solve(problem, method, throw=False)

    def lasso() -> ReLUNetwork:
        state = method.init(problem, _key())
        hidden, directions = state.terms.hidden, state.terms.directions
        model = Lasso(1.0 / len(y), fit_intercept=False, tol=1e-10, max_iter=100_000)
        a = model.fit(hidden, y).coef_
        root = np.sqrt(np.abs(a))
        return problem.network(directions * root[:, None], np.sign(a) * root, 0 * y)

    contenders = [
        Contender(
            "SampledConvexProgram",
            "ours",
            lambda: lm.solve(problem, method, throw=False).value,
            _objective,
        ),
        Contender("scikit-learn Lasso", "peer", lasso, _objective),
    ]
    steps = first.stats.steps
    note = f"cost of the network; ours stops at a gap of {GAP:g}, {steps} steps"
    return race("1000 sampled units, n = 300", "cost", contenders, note)


def _key() -> Any:
    import jax

    return jax.random.key(0)


def _objective(value: ReLUNetwork) -> float:
    return float(value.objective)


def _ours(problem, method, kind="ours", rounds=5, **limits) -> Contender:
    return Contender(
        type(method).__name__,
        kind,
        lambda: lm.solve(problem, method, throw=False, **limits),
        _certified_cost,
        lambda solution: solution.result.name == "converged",
        lambda solution: solution.certificate["network_gap"].holds,
        note=f"certified gap after the run, {GAP:g} asked",
        rounds=rounds,
    )


def _certified_cost(solution: Any) -> float:
    return float(solution.certificate["network_cost"].figures["cost"])


def _peer(who, problem, answer, rounds=1) -> Contender:
    def run():
        value, success = answer(problem)
        return lm.certify(problem, value), success

    return Contender(
        who,
        "peer",
        run,
        lambda found: _certified_cost(found[0]),
        lambda found: found[1],
        lambda found: found[0].certificate["network_gap"].holds,
        rounds=rounds,
    )


def cvxpy_answer(problem: Any, limit: float = LIMIT) -> tuple[ReLUNetwork, bool]:
    """The program as its authors write it."""
    import cvxpy as cp

    x, y = problem.inputs, problem.targets
    active = problem.patterns.T.astype(float)
    shape = (x.shape[1], active.shape[1])
    v, w = cp.Variable(shape), cp.Variable(shape)
    f = cp.sum(cp.multiply(active, x @ (v - w)), axis=1)
    data = {
        "squared": lambda: 0.5 * cp.sum_squares(f - y),
        "hinge": lambda: cp.sum(cp.pos(1 - cp.multiply(y, f))) / len(y),
        "logistic": lambda: cp.sum(cp.logistic(-cp.multiply(y, f))),
    }[problem.loss]()
    penalty = cp.sum(cp.norm(v, 2, axis=0)) + cp.sum(cp.norm(w, 2, axis=0))
    e = 2 * active - 1
    cones = [cp.multiply(e, x @ v) >= 0, cp.multiply(e, x @ w) >= 0]
    program = cp.Problem(cp.Minimize(data + problem.weight_decay * penalty), cones)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program.solve(solver=cp.CLARABEL, time_limit=limit)
        except cp.error.SolverError:
            pass
    if v.value is None:
        zero = np.zeros((1, x.shape[1]))
        return problem.candidate(hidden_weights=zero, output_weights=[0.0]), False
    rows = np.concatenate([v.value.T, w.value.T])
    sign = np.where(np.arange(len(rows)) < shape[1], 1.0, -1.0)
    value = problem.candidate(hidden_weights=rows, output_weights=sign)
    return value, program.status == "optimal"


def sklearn_answer(problem: Any) -> tuple[ReLUNetwork, bool]:
    """The same objective: alpha / 2 per sample on weights; biases are a column here."""
    n = len(problem.targets)
    model = MLPRegressor(
        hidden_layer_sizes=(100,),
        alpha=float(problem.weight_decay),
        max_iter=2000,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(problem.inputs[:, :-1], problem.targets)
    hidden = np.column_stack([model.coefs_[0].T, model.intercepts_[0]])
    output = model.coefs_[1][:, 0]
    # The bias of the output is a unit on the column of ones.
    bias = float(model.intercepts_[1][0])
    unit = np.zeros((1, hidden.shape[1]))
    unit[0, -1] = 1.0
    hidden, output = np.vstack([hidden, unit]), np.append(output, bias)
    value = problem.candidate(hidden_weights=hidden, output_weights=output)
    return value, bool(model.n_iter_ < 2000 and n > 0)


def _false_successes() -> dict[str, Any]:
    """Twelve small programs; right: the judge finds the gap below 1e-6."""
    cases = [
        (loss, seed, factor)
        for loss in DECAY
        for seed in (0, 1)
        for factor in (0.2, 2.0)
    ]
    said: dict[str, list[bool | None]] = {"SemismoothNewton": [], "CVXPY": []}
    true: dict[str, list[bool]] = {who: [] for who in said}
    for loss, seed, factor in cases:
        x, y = tumours(60, 5)
        options = {"weight_decay": factor * DECAY[loss], "patterns": Sampled(12, seed)}
        problem = ConvexReLU(x, y, loss, **options)
        solution = lm.solve(problem, throw=False)
        value, success = cvxpy_answer(problem, 20.0)
        found = {
            "SemismoothNewton": (solution.result.name == "converged", solution),
            "CVXPY": (success, lm.certify(problem, value)),
        }
        for who, (claimed, judged) in found.items():
            said[who].append(claimed)
            true[who].append(judged.certificate["network_gap"].holds)
    return false_successes(len(cases), said, true)
