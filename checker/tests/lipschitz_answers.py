"""Honest answers about Jacobians, and how the judge takes changed ones."""

import numpy as np
from checker.tests.networks import dense_network, exact_rows, problem

from lemmata_checker.case import Case, decide
from lemmata_checker.network import network_of
from lemmata_checker.rules._certify_lipschitz_gradients import Gradients
from lemmata_checker.rules._certify_lipschitz_values import Values

UPPER, LOWER = "certify.local_lipschitz_upper/1", "certify.local_lipschitz_lower/1"
GAP, INTERVAL = "certify.local_lipschitz_gap/1", "certify.jacobian_interval/1"


def bounded(content, arrays, lower, upper, rows=None):
    network = network_of(content, arrays)
    values = Values(network, (lower, upper), {})
    rows = np.eye(network.outputs) if rows is None else rows
    return values, Gradients(values, rows)


def case(content, arrays, value, lower, upper, claim_parameters=None, **fields):
    return Case(
        problem=problem(content, arrays, lower, upper, **fields),
        value=value,
        parameters=claim_parameters or {},
    )


def answer(radius=0.4, seed=0):
    """A network and an honest answer of the judge's own figures."""
    rng = np.random.default_rng(seed)
    content, arrays = dense_network([3, 5, 4, 2], rng)
    centre = rng.normal(size=3)
    _, found = bounded(content, arrays, centre - radius, centre + radius)
    rows = [exact_rows(content, arrays, centre)[1]] * 2
    low = [float(sum(map(abs, rows[c][c]))) * (1 - 1e-9) for c in (0, 1)]
    value = {
        "lipschitz_upper": found.norm.copy(),
        "lipschitz_lower": np.array(low),
        "jacobian_lower": found.entries[0].copy(),
        "jacobian_upper": found.entries[1].copy(),
        "witness_points": np.stack([centre, centre]),
    }
    return content, arrays, value, centre - radius, centre + radius


def holds(claim, promised, parts, **changes):
    content, arrays, value, lower, upper = parts
    return decide(claim, promised, case(content, arrays, value | changes, lower, upper))
