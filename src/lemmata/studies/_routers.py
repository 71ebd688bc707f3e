"""One layer's routing: who covers how many tokens with the same buffers."""

from typing import Any

import jax
import numpy as np
from scipy.special import softmax

from ..core import Solution, certify, solve
from ..transport import (
    AbstractRouter,
    AssignmentRouter,
    ExpertChoiceRouter,
    Route,
    Routing,
    SemiDual,
    SinkhornRouter,
    SparseMatchingRouter,
    SparseTransport,
    TokenChoiceRouter,
    buffer_size,
)
from ._desk import Desk
from ._record import Expected, Plot, Series

WIDTH = 32  # of a token
OURS, CHOICE = "SparseMatchingRouter", "TokenChoiceRouter"
POLISHED = "SemiDual, polished"
KEPT = 1.05  # the factor whose decisions are judged
COLUMNS = (
    "router",
    "capacity factor",
    "buffer",
    "largest load",
    "dropped choices, share",
    "uncovered tokens, share",
)


def tokens(count: int, experts: int, seed: int = 0) -> np.ndarray:
    """Logits (count, experts), skewed: some experts are far more popular."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, WIDTH))
    weight = rng.normal(size=(WIDTH, experts))
    return 2 * features @ weight / np.sqrt(WIDTH) + rng.normal(size=experts)


def routers(experts: int) -> dict[str, AbstractRouter]:
    """The sparse matching router and the four that it is compared with."""
    kinds = (
        SparseMatchingRouter,
        TokenChoiceRouter,
        ExpertChoiceRouter,
        SinkhornRouter,
        AssignmentRouter,
    )
    key = jax.random.key(0)
    return {kind.__name__: kind(WIDTH, experts, key=key) for kind in kinds}


def matching(logits: np.ndarray, cap: int) -> SparseTransport:
    """The router's problem: a token has mass 1, experts share the tokens evenly.

    Shares are normalised, so that gamma = 1 of the router becomes the token count.
    """
    similarity = softmax(logits, axis=1)
    return SparseTransport(-similarity, gamma=float(len(logits)), cap=cap)


def polished(logits: np.ndarray, cap: int) -> Solution:
    """The same by `SemiDual()`, whose rows come out right: a judged decision."""
    plan = solve(matching(logits, cap), SemiDual(), throw=False).value.dense()
    problem = Routing(logits, cap)
    return certify(problem, problem.candidate(dispatch=plan > 0))


def compare_routers(
    desk: Desk, count: int, experts: int, factors: tuple[float, ...], full: bool
) -> None:
    """A table, a plot over the factors, two judged decisions; `full` adds ours
    polished.
    """
    logits = tokens(count, experts)
    shares: dict[str, list[float]] = {}
    rows = []
    for factor in factors:
        cap = buffer_size(count, experts, factor)
        for name, found in _decided(logits, cap, full):
            value = found.value
            uncovered, dropped = float(value.uncovered()), float(value.dropped())
            shares.setdefault(name, []).append(uncovered)
            load = int(value.load().max())
            rows.append((name, factor, cap, load, dropped, uncovered))
            if factor == KEPT and name in (OURS, CHOICE):
                _keep(desk, name, found)
    desk.table(f"{count} tokens for {experts} experts", COLUMNS, rows)
    if len(factors) > 1:
        desk.plot(_coverage(factors, shares))


def _decided(logits: np.ndarray, cap: int, full: bool) -> list[tuple[str, Solution]]:
    problem = Routing(logits, cap)
    found = [
        (name, solve(problem, Route(router), throw=False))
        for name, router in routers(logits.shape[1]).items()
    ]
    return [*found, (POLISHED, polished(logits, cap))] if full else found


def _keep(desk: Desk, name: str, found: Solution) -> None:
    m, n = found.problem.logits.shape
    # More tokens ask for a popular expert than it has room for.
    expected: Expected = "fails" if name == CHOICE else "holds"
    desk.keep(
        f"route_{name.removesuffix('Router').lower()}",
        f"{m} tokens to {n} experts by {name}",
        found,
        {"transport.buffer/1": expected},
    )


def _coverage(factors: tuple[float, ...], shares: dict[str, list[float]]) -> Plot:
    series: list[Any] = [
        Series(
            name,
            list(factors),
            values,
            "dashed" if name == POLISHED else "line",
            "ours" if name in (OURS, POLISHED) else "baseline",
        )
        for name, values in shares.items()
    ]
    return Plot(
        "coverage",
        "xy",
        "Tokens that no expert processes",
        caption="All routers have the same buffers; a factor of 1 leaves no room to "
        "spare. Lower is better. The assignment and the polished plan are found on the "
        "host, the others inside a compiled layer.",
        x_label="capacity factor",
        y_label="share of tokens",
        series=tuple(series),
    )
