"""Local Lipschitz bounds against baselines, a MILP and samples; all are judged.

auto_LiRPA and immrax take part where their interpreters are named: see
`lipschitz_peers`.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import lemmata as lm
from benchmarks.harness import Contender, Report, Row, Table, race
from benchmarks.lipschitz_peers import peer_bounds
from benchmarks.lipschitz_searches import (
    exact,
    false_bounds,
    judge_time,
    kept_bounds,
    splitting,
)
from lemmata.certify import (
    LocalLipschitz,
    Network,
)
from lemmata.certify._slopes import optimised_slopes
from lemmata.numerics.linear_bounds import bound_values, gradient_rows, product_bound
from lemmata.studies._local_lipschitz_networks import (
    TRAIN,
    digits,
    perceptron,
    small_images,
    trained,
)
from lemmata_checker.network import network_of
from lemmata_checker.rules._certify_lipschitz_gradients import Gradients
from lemmata_checker.rules._certify_lipschitz_values import Values

POINTS, EPOCHS, SEEDS = 10, 1_500, 5
SMALL, DEEP = (64, 32, 32, 10), (64, 50, 50, 50, 10)
MAKERS: dict[str, Callable[[], Any]] = {
    "64-32-32-10": lambda: perceptron(SMALL),
    "64-50-50-50-10": lambda: perceptron(DEEP),
    "conv 4, conv 4, dense": lambda: small_images(4),
}
KINDS = (
    ("envelopes (ours)", "ours", "envelope"),
    ("envelopes, slopes optimised (ours)", "ours", "optimised"),
    ("RecurJac", "baseline", "constant"),
    ("interval Jacobian", "baseline", "interval"),
    ("product of norms", "baseline", "product"),
)
LIRPA = ("batched", "batched, slopes optimised")
IMMRAX = ("natif, jacfwd", "natif, jacrev")
NETWORKS = 10_000


def benchmark(networks: int = NETWORKS, seconds: float = 20.0) -> Report:
    """All tables; about eight minutes on two cores."""
    report = Report("certify-local-lipschitz")
    features, labels = digits()
    data = features[:TRAIN], labels[:TRAIN]
    points = features[TRAIN : TRAIN + POINTS]
    small = None
    for name, maker in MAKERS.items():
        network, _ = trained(maker(), *data, EPOCHS)
        small = small or network
        for radius in (0.01, 0.03, 0.1):
            report.tables.append(_bounds(name, network, points, radius))
    assert small is not None
    cases = (("64-32-32-10", SMALL, 0.03), ("64-50-50-50-10", DEEP, 0.1))
    report.tables += [_recipes(*case, data, points) for case in cases]
    report.tables.append(judge_time(small, points[0]))
    for radius in (0.03, 0.1):
        report.tables.append(splitting(small, points, radius, seconds))
    for radius in (0.03, 0.1):
        report.tables.append(kept_bounds(small, points, radius, seconds / 4))
    report.tables.append(exact())
    report.false_successes = false_bounds(networks)
    return report


@eqx.filter_jit
def _norms(network: Network, points: Any, radius: Any, kind: str) -> Any:
    """Bounds (points, K), one batch."""
    rows = jnp.eye(network.outputs)

    def one(x):
        if kind == "product":
            return jax.vmap(lambda v: product_bound(network, v))(rows)
        box, slopes = (x - radius, x + radius), {}
        if kind == "optimised":
            slopes = optimised_slopes(network, *box, steps=20)
        values = bound_values(network, *box, slopes=slopes)
        relaxation = "envelope" if kind == "optimised" else kind
        return gradient_rows(network, values, rows, relaxation).norm

    return jax.lax.map(one, points)


@eqx.filter_jit
def _slopes(network: Network, x: Any, radius: Any) -> Any:
    return optimised_slopes(network, x - radius, x + radius, steps=20)


def _bounds(name: str, network: Network, points: Any, radius: float) -> Table:
    """One batch of all points and classes; the judge looks at the first point."""

    def run(kind):
        with jax.enable_x64(True):
            return np.asarray(_norms(network, points, radius, kind))

    problem = LocalLipschitz.around(network, points[0], radius)

    def certified(norms, kind):
        value = problem.candidate(lipschitz_upper=norms[0] * (1 + 1e-9))
        if kind == "optimised":  # the judge needs the slopes that show the bounds
            with jax.enable_x64(True):
                slopes = _slopes(network, points[0], radius)
            named = {f"slopes_{t}_{a}": np.asarray(s) for (t, a), s in slopes.items()}
            value = replace(value, slopes=named)
        return lm.certify(problem, value).certificate["local_lipschitz_upper"].holds

    contenders = [
        Contender(
            who,
            role,
            lambda kind=kind: run(kind),
            lambda norms: float(norms.max(axis=1).mean()),
            certified=lambda norms, kind=kind: certified(norms, kind),
        )
        for who, role, kind in KINDS
    ]
    contenders.append(_judged(network, points, radius))
    title = f"Bounds of {POINTS} points, {name}, eps = {radius}"
    note = (
        "bound: mean over points of the largest bound over classes; seconds: all "
        f"points and classes; ours float64, {os.cpu_count()} threads"
    )
    table = race(title, "bound", contenders, note)
    _add_peers(table, network, points, radius, [run(k) for _, _, k in KINDS[:2]])
    return table


def _add_peers(table: Table, network: Network, points: Any, radius: float, ours: Any):
    """Rows of peers whose interpreters are there, row by row beside ours."""
    dense = all(node.op in ("dense", "relu") for node in network.nodes)
    # what the release takes without mending: on the small network alone
    released = ("as released",) if dense and network.nodes[0].size == 32 else ()
    released = released if radius == 0.03 else ()
    asked = {"auto_LiRPA": (*released, *LIRPA), "immrax": IMMRAX if dense else ()}
    for peer, settings in asked.items():
        if not settings:
            continue
        for found in peer_bounds(peer, network, points, radius, settings):
            optimised = found.who.endswith("optimised")
            ratio = float(np.max(ours[optimised] / found.norms))
            own = table.rows[int(optimised)].seconds
            assert own is not None
            note = f"largest ratio ours / theirs {ratio:.15g}; {found.note}"
            accuracy = float(found.norms.max(axis=1).mean())
            times = found.seconds, found.seconds / own
            row = Row(found.who, "peer", *times, None, None, accuracy, None, None, note)
            table.rows.append(row)


def _recipes(name: str, sizes: Any, radius: float, data: Any, points: Any) -> Table:
    """Baselines over ours, by how the network was started and trained."""
    table = Table(
        f"Five seeds per recipe, {name}, eps = {radius}, {POINTS} points",
        "mean over seeds of RecurJac / ours (bounds as above)",
        "a network's weights decide what envelopes gain; no seed is left out",
    )
    kinds = ("envelope", "constant", "interval")
    for start in ("uniform", "he"):
        for epochs in (10, 100, EPOCHS):
            found = []
            for seed in range(SEEDS):
                network, _ = trained(perceptron(sizes, seed, start), *data, epochs)
                with jax.enable_x64(True):
                    norms = [_norms(network, points, radius, kind) for kind in kinds]
                means = [float(np.asarray(n).max(axis=1).mean()) for n in norms]
                found.append((means[1] / means[0], means[2] / means[0]))
            text = [", ".join(f"{r:.2f}" for r in row) for row in np.transpose(found)]
            note = f"by seed {text[0]}; interval / ours {text[1]}"
            mean = float(np.mean([ratio for ratio, _ in found]))
            who, blank = f"{start} start, {epochs} epochs", (None, None, None, None)
            table.rows.append(Row(who, "ours", *blank, mean, None, None, note))
    return table


def _judged(network: Network, points: Any, radius: float) -> Contender:
    """The judge's own pass: NumPy, rounded outwards."""
    records = network_of(*network.records())
    rows = np.eye(network.outputs)

    def run():
        norms = []
        for x in points:
            values = Values(records, (x - radius, x + radius), {})
            norms.append(Gradients(values, rows).norm)
        return np.stack(norms)

    return Contender(
        "the judge (NumPy, rounded outwards)",
        "baseline",
        run,
        lambda norms: float(norms.max(axis=1).mean()),
        certified=lambda norms: True,
    )
