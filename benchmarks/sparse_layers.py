"""What a layer runs: routers, and the sparse projection beside jaxopt's."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lemmata as lm
from benchmarks.harness import Contender, Table, race
from lemmata.studies._routers import POLISHED, polished, routers, tokens
from lemmata.transport import Routing, buffer_size, topk_simplex

TOKENS, EXPERTS = 512, 16


def route(factor: float) -> Table:
    """Share of tokens without an expert at the same buffers; float32, as in a layer."""
    logits = tokens(TOKENS, EXPERTS)
    cap = buffer_size(TOKENS, EXPERTS, factor)
    small = jnp.asarray(logits, jnp.float32)
    problem = Routing(logits, cap)

    def contender(name: str, router: Any) -> Contender:
        route = jax.jit(lambda logits: router.route(logits, cap))

        def certified(done: Any) -> bool:
            value = problem.candidate(dispatch=done.dispatch, requested=done.requested)
            return lm.certify(problem, value).certified

        return Contender(
            name,
            "ours" if name == "SparseMatchingRouter" else "baseline",
            lambda: jax.block_until_ready(route(small)),
            lambda done: float(done.uncovered()),
            certified=certified,
            note=f"buffers of {cap}",
            rounds=15,
        )

    host = Contender(
        f"lemmata {POLISHED}",
        "ours",
        lambda: polished(logits, cap),
        lambda found: float(found.value.uncovered()),
        certified=lambda found: found.certified,
        note="on the host in float64, with a certificate; not a layer",
        rounds=2,
    )
    contenders = [contender(*item) for item in routers(EXPERTS).items()]
    return race(
        f"Routers, {TOKENS} tokens, {EXPERTS} experts, capacity factor {factor}",
        "uncovered tokens",
        [*contenders, host],
        "certified: no buffer overflows and no choice is dropped",
    )


def project(count: int, size: int, cap: int, repeats: int = 50) -> Table:
    """jaxopt's sparse projection on a batch of columns, both as dense arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is no longer maintained
        from jaxopt.projection import projection_sparse_simplex
    rng = np.random.default_rng(0)
    scores, mass = rng.normal(size=(count, size)), rng.uniform(0.5, 1.5, size=count)

    @jax.jit
    def ours(scores, mass):
        found = topk_simplex(scores, mass, 1.0, cap)
        rows = jnp.arange(count)[:, None]
        return jnp.zeros_like(scores).at[rows, found.indices].set(found.mass)

    @jax.jit
    @jax.vmap
    def theirs(scores, mass):
        return projection_sparse_simplex(scores, cap, value=mass)

    def repeated(project: Any) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            with jax.enable_x64(True):
                arrays = jnp.asarray(scores), jnp.asarray(mass)
                for _ in range(repeats - 1):
                    jax.block_until_ready(project(*arrays))
                return np.asarray(project(*arrays))

        return run

    expected = repeated(ours)()

    def difference(found: np.ndarray) -> float:
        return float(np.abs(found - expected).max())

    return race(
        f"Sparse projection, {count} columns of {size}, cap {cap}",
        "largest difference",
        [
            Contender("lemmata topk_simplex", "ours", repeated(ours), difference),
            Contender("jaxopt", "peer", repeated(theirs), difference),
        ],
        f"{repeats} calls in float64",
    )
