"""Mixtures of experts on handwritten digits: one network, five routers."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from ..core import solve
from ..transport import (
    AbstractRouter,
    AssignmentRouter,
    ExpertChoiceRouter,
    Route,
    Routing,
    SinkhornRouter,
    SparseMatchingRouter,
    TokenChoiceRouter,
    buffer_size,
)
from ._desk import Desk
from ._experts_network import EXPERTS, GROUP, LAYERS, WIDTH, Trained, train
from ._record import Plot, Series

SEEDS, EPOCHS, EVERY = 5, 8, 2
FACTOR = 1.05  # of the buffers, the same for every router

ROUTERS: tuple[type, ...] = (
    SparseMatchingRouter,
    TokenChoiceRouter,
    ExpertChoiceRouter,
    SinkhornRouter,
    AssignmentRouter,
)
COLUMNS = (
    "router",
    "test accuracy, mean",
    "standard deviation over seeds",
    "uncovered tokens, share",
    "dropped choices, share",
    "largest load",
    "buffer",
)


def classifier(desk: Desk) -> None:
    """Trains the same network with every router and tells accuracy and coverage."""
    found = {kind.__name__: trained(kind) for kind in ROUTERS}
    cap = buffer_size(GROUP, EXPERTS, FACTOR)
    desk.table(
        f"Digits by {LAYERS} layers of {EXPERTS} experts, {SEEDS} seeds",
        COLUMNS,
        [_row(name, result, cap) for name, result in found.items()],
    )
    desk.plot(_curves(found))
    desk.say(_sentence(found))
    _decision(desk, found[SparseMatchingRouter.__name__], cap)


def trained(kind: type, seeds: int = SEEDS, epochs: int = EPOCHS) -> Trained:
    """The network with one kind of router, every option of it at its default."""

    def make(key: PRNGKeyArray) -> AbstractRouter:
        return kind(WIDTH, EXPERTS, FACTOR, key=key)

    return train(make, seeds, epochs, EVERY)


def _row(name: str, result: Trained, cap: int) -> tuple[Any, ...]:
    last = result.accuracy[:, -1]
    return (
        name,
        float(last.mean()),
        float(last.std(ddof=1)),
        float(result.uncovered.mean()),
        float(result.dropped.mean()),
        int(result.load.max()),
        cap,
    )


def _curves(found: dict[str, Trained]) -> Plot:
    ours = SparseMatchingRouter.__name__
    return Plot(
        "experts",
        "xy",
        "Digits recognised while training",
        caption=f"Share of 448 test images, mean of {SEEDS} seeds. The network, its "
        "initial weights, the budget and the buffers are the same for every router.",
        x_label="epoch",
        y_label="test accuracy",
        series=tuple(
            Series(
                name,
                list(range(EVERY, EPOCHS + 1, EVERY)),
                result.accuracy.mean(axis=0).tolist(),
                "line",
                "ours" if name == ours else "baseline",
            )
            for name, result in found.items()
        ),
    )


def _sentence(found: dict[str, Trained]) -> str:
    """What came out, whoever is ahead."""
    ours, choice = SparseMatchingRouter.__name__, TokenChoiceRouter.__name__
    last = {name: result.accuracy[:, -1] for name, result in found.items()}
    first = max(last, key=lambda name: last[name].mean())
    ahead = f"{first} is ahead at {last[first].mean():.1%}"
    uncovered = {name: float(found[name].uncovered.mean()) for name in (ours, choice)}
    return (
        f"In a classifier of digits with {EXPERTS} experts, trained alike with every "
        f"router, sparse matching recognises {last[ours].mean():.1%} of the test "
        f"images ({'it is ahead' if first == ours else ahead}; the standard deviation "
        f"over seeds is {last[ours].std(ddof=1):.1%}) and leaves {uncovered[ours]:.1%} "
        "of the tokens without an expert, where token choice leaves "
        f"{uncovered[choice]:.1%}. Tokens that are left out pass by the experts "
        "unchanged."
    )


def _decision(desk: Desk, result: Trained, cap: int) -> None:
    """One group of test images at the last layer of the first network, judged."""
    logits = result.logits[0, 0, -1].astype(np.float64)
    router = SparseMatchingRouter(WIDTH, EXPERTS, FACTOR, key=jax.random.key(0))
    solution = solve(Routing(logits, cap), Route(router), throw=False)
    desk.keep(
        "experts",
        f"A trained layer sends {GROUP} tokens of 16 images to {EXPERTS} experts",
        solution,
        {},
    )
