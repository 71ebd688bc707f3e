"""Mixed and residual networks against brute force over their patterns."""

import numpy as np
import pytest
from tests.certify.exact_lipsdp import brute_force
from tests.certify.mixed_networks import beside, mixed, mixed_residual
from tests.certify.test_lipsdp_bounds import bound

import lemmata as lm
from lemmata.certify import (
    DiagonalOnly,
    Eigenvalue,
    GlobalLipschitz,
    LipSDP,
    NormProduct,
    Reduced,
)

ROUNDING = 1e-9  # relative, of brute force and of a bound's slack


def truth(problem):
    packed = problem.pack()
    return brute_force(packed.json["network"], packed.arrays)


@pytest.mark.parametrize("make", [mixed, mixed_residual, beside])
def test_bounds_are_not_below_brute_force(make):
    for seed in range(4):
        problem = GlobalLipschitz(make(seed))
        found = bound(problem, LipSDP())
        assert truth(problem) * (1 - ROUNDING) <= found
        assert found <= bound(problem, NormProduct()) * (1 + ROUNDING)


def test_orthogonal_layers_and_activations_have_constant_one():
    """All parts keep norms: brute force, bound and product of norms are 1."""
    problem = GlobalLipschitz(mixed(0, orthogonal=True))
    assert truth(problem) == pytest.approx(1, rel=ROUNDING)
    # the bound is reached to 1e-8, and 1e-8 is added
    assert bound(problem, LipSDP()) == pytest.approx(1, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("make", [mixed, mixed_residual, beside])
def test_forms_are_ordered_on_many(make):
    """Brute force <= eliminated <= reduced <= gamma = 0; all at most the product."""
    methods = (Eigenvalue(), Eigenvalue(Reduced()), Eigenvalue(DiagonalOnly()))
    for seed in range(100):
        problem = GlobalLipschitz(make(seed))
        found = [truth(problem)]
        for method in methods:
            solution = lm.solve(problem, method)
            assert solution.certified
            found.append(float(solution.value.lipschitz_upper))
            assert float(solution.value.lipschitz_lower) <= found[0] * (1 + ROUNDING)
        # each optimum is reached to 1e-8, and 1e-8 is added
        ordered = zip(found, found[1:], strict=False)
        assert all(a <= b * (1 + 1e-6) for a, b in ordered), (seed, found)
        product = bound(problem, NormProduct())
        assert found[1] <= product * (1 + 1e-6), (seed, found, product)


@pytest.mark.slow
def test_blocks_of_the_chain_change_nothing():
    """The chain's blocks apart, and the whole inequality: the same bound."""
    problem = GlobalLipschitz(mixed(1))
    apart = bound(problem, Eigenvalue(Reduced()))
    assert apart == pytest.approx(bound(problem, LipSDP(Reduced())), rel=1e-7)
    assert np.isfinite(apart)
