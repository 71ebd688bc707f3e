import itertools

import numpy as np
from hypothesis import given, settings, strategies as st

from lemmata_checker.rules.transport_semidual import sparse_problem
from lemmata_checker.rules.transport_support import Support, feasible

from . import exact, instances


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
@settings(deadline=None, max_examples=150)
def test_repair_on_the_support_is_exact_and_complete(seed, m, n):
    rng = np.random.default_rng(seed)
    a = rng.integers(1, 4, m).astype(float)
    b = rng.integers(1, 4, n).astype(float)
    mask = rng.random((m, n)) < rng.choice([0.4, 0.7])
    mass = mask * rng.random((m, n)) * 10.0 ** rng.integers(-12, 1, (m, n))
    rows, columns = np.nonzero(mass)
    packed = instances.sparse(np.zeros((m, n)), a, b, 1.0, m)
    problem = sparse_problem(instances.case(packed, {}))
    support = Support(rows, columns, mass[rows, columns], problem.free, problem.capped)
    reason = feasible(support)
    first, second = exact.shares(a), exact.shares(b)
    # Gale: a plan exists iff no set of rows weighs more than its neighbours
    possible = all(
        sum(first[i] for i in chosen)
        <= sum(second[j] for j in range(n) if mask[list(chosen), j].any())
        for size in range(1, m + 1)
        for chosen in itertools.combinations(range(m), size)
    )
    assert (reason == "") == possible
    if possible:
        assert min(support.mass) >= 0
        assert not any(support.residuals())
        assert support.unit == sum(support.mass)
