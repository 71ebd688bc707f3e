"""The judge on generalization: enclosures true, forged records refused."""

from fractions import Fraction as F
from math import comb

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, decide
from lemmata_checker.packed import Packed
from lemmata_checker.rules.certify_generalization_capacity import _spectral
from lemmata_checker.rules.certify_generalization_draws import eliminate
from lemmata_checker.rules.certify_generalization_formulas import (
    compression,
    expected_walk,
    seeger,
    vapnik,
)
from lemmata_checker.rules.certify_generalization_games import missed
from lemmata_checker.rules.certify_generalization_numbers import (
    binomial_lower,
    binomial_upper,
    inverse_entropy,
    occupancy,
    rank_law,
    relative_entropy,
)
from lemmata_checker.rules.certify_generalization_posterior import divergence, normals
from lemmata_checker.rules.certify_generalization_shells import shell_delta, shell_of
from lemmata_checker.rules.certify_generalization_worlds import Labelling, Linear

ROUNDS, KEY = 200, 11


def tail(p: F, k: int, n: int) -> F:
    """P(Bin(n, p) >= k), exactly."""
    return sum((comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k, n + 1)), F(0))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 25), st.data())
def test_confidence_bounds_are_true_and_tight(n, data):
    k = data.draw(st.integers(0, n))
    alpha = data.draw(st.sampled_from([0.025, 0.05, 0.2]))
    low, high = binomial_lower(k, n, alpha), binomial_upper(k, n, alpha)
    if k:
        assert tail(F(low), k, n) <= F(alpha)
        assert tail(F(low) * (1 + F(1, 10**8)), k, n) > F(alpha)
    if k < n:
        assert 1 - tail(F(high), k + 1, n) <= F(alpha)
        assert 1 - tail(F(high) * (1 - F(1, 10**8)), k + 1, n) > F(alpha)
    assert (low == 0) == (k == 0)
    assert (high == 1) == (k == n)


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 1), st.floats(0, 5))
def test_inverse_entropy_is_beyond_the_bound(q, c):
    p = inverse_entropy(q, c)
    assert q <= p <= 1
    if p < 1:
        assert relative_entropy(q, p) >= arb(c)
        below = np.nextafter(p, 0)
        if below > q and c > 1e-9:
            assert not relative_entropy(q, float(below) - 1e-12) >= arb(c)


def test_occupancy_and_ranks_by_counting():
    draws = np.array(np.meshgrid(*[range(4)] * 3)).reshape(3, -1).T
    counts = np.bincount([len(set(row)) for row in draws.tolist()], minlength=4)
    assert occupancy(4, 3) == tuple(F(int(c), 64) for c in counts)
    flat = np.array(np.meshgrid(*[range(3)] * 4)).reshape(4, -1).T
    pivots = eliminate(flat.reshape(-1, 2, 2), 3)[1]
    ranks = np.bincount(np.sum(pivots >= 0, axis=1), minlength=3)
    assert rank_law(3, 2, 2) == [F(int(c), 81) for c in ranks]


def test_expected_walk_by_counting():
    for steps in range(1, 8):
        signs = np.array(np.meshgrid(*[(-1, 1)] * steps)).reshape(steps, -1)
        mean = F(int(np.abs(signs.sum(axis=0)).sum()), 2**steps)
        assert expected_walk(steps) == mean


def test_failure_is_decided_as_between_real_numbers():
    """1/10 as a float is above 1/10: at loss 0 it fails, its predecessor does not."""
    estimates = np.array([0.1, np.nextafter(0.1, 0), -0.1, np.nextafter(-0.1, -1)])
    place = np.zeros(4, dtype=np.int64)
    found = missed(estimates, place, (F(0),), F(1, 10))
    exact = [abs(F(e)) >= F(1, 10) for e in estimates.tolist()]
    assert found.tolist() == exact == [True, False, True, True]


def test_shells_share_delta_and_hold_their_norm():
    assert sum(shell_delta(1.0, j) for j in range(-3000, 3001)) < 1
    for norm in (0.3, 1.0, 1.0000001, 4.0, 5e9):
        j = shell_of(norm)
        assert 2.0 ** (j - 1) < norm <= 2.0**j


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_spectral_norms_are_enclosed(seed):
    rng = np.random.default_rng(seed)
    u, _ = np.linalg.qr(rng.normal(size=(6, 3)))
    v, _ = np.linalg.qr(rng.normal(size=(4, 3)))
    found = _spectral(u @ np.diag([2.5, 1.0, 0.1]) @ v.T)
    assert found.low <= 2.5 * (1 + 1e-14)  # u, v are orthogonal to rounding
    assert 2.5 * (1 - 1e-14) <= found.high
    assert found.high / found.low - 1 < 1e-10


def test_divergence_is_an_upper_bound():
    s, v = np.array([0.1, 0.2, 0.05]), 0.04
    exact = sum(arb(x) ** 2 / arb(v) - 1 - (arb(x) ** 2 / arb(v)).log() for x in s)
    exact = exact / 2 + arb(0.3) / (2 * arb(v))
    found = divergence(s, 0.3, v)
    assert arb(found) >= exact
    assert found <= float(exact) * (1 + 1e-12)


def test_normals_do_not_depend_on_how_they_are_asked_for():
    whole = normals(5, 0, 6, 7)
    parts = [normals(5, 0, 2, 7), normals(5, 2, 6, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    many = normals(5, 0, 4000, 8).reshape(-1)
    assert abs(many.mean()) < 4 / np.sqrt(many.size)
    assert abs(many.var() - 1) < 4 * np.sqrt(2 / many.size)


def test_vc_bound_is_never_below_what_few_samples_allow():
    """With 2n < v the growth is 2^(2n): the bound must not fall with v."""
    assert vapnik(0, 1e5, 100, 0.05) == vapnik(0, 201, 100, 0.05) > 3


def test_seeger_and_compression_against_plain_floats():
    allowed = (3 + np.log(2 * 10 / 0.05)) / 100
    assert seeger(0, 3, 100, 0.05) == pytest.approx(1 - np.exp(-allowed), rel=1e-12)
    allowed = (np.log(comb(50, 5)) + np.log(51) + np.log(20)) / 45
    found = compression(0, 5, 50, 0.05)
    assert found == pytest.approx(1 - np.exp(-allowed), rel=1e-12)
    assert compression(0, 50, 50, 0.05) == 1


def game(measure, **changed) -> Case:
    world = {"name": "random_labelling", "points": 20, "samples": 8}
    fields = {
        "world": world,
        "measure": measure,
        "accuracy": "1/8",
        "rounds": ROUNDS,
        "confidence": 0.95,
    }
    rounds = Labelling(20, 8).draw(KEY, 0, ROUNDS)
    value = {
        "no_go": np.array(0.1),
        "key": np.array(KEY),
        "estimates": np.full(ROUNDS, 0.1),
        "losses": np.array([float(v) for v in rounds.losses])[rounds.place],
        "worlds": rounds.world,
    }
    packed = Packed("certify.generalization_game/1", fields | changed, {})
    return Case(packed, value)


CONSTANT = {"name": "constant", "value": 0.1}


def fails(case: Case) -> bool:
    return decide("certify.measure_fails/1", 0.2, case).holds


def test_honest_record_is_accepted_and_counted():
    decision = decide("certify.measure_fails/1", 0.2, game(CONSTANT))
    assert decision.holds
    case = game(CONSTANT)
    wrong = sum(
        abs(F(0.1) - F(round(v * 20), 20)) >= F(1, 8) for v in case.value["losses"]
    )
    assert decision.figures["failures"] == wrong


@pytest.mark.parametrize("name", ["estimates", "losses", "worlds"])
@pytest.mark.parametrize("place", [0, ROUNDS - 1])
def test_one_changed_entry_is_refused(name, place):
    """A loss changed, a value of a known measure changed."""
    case = game(CONSTANT)
    changed = case.value[name].copy()
    changed[place] += 1 if name == "worlds" else 1e-6
    case.value = dict(case.value) | {name: changed}
    decision = decide("certify.measure_fails/1", 0.2, case)
    assert not decision.holds
    assert "not what the key gives: 1" in decision.detail


def test_another_key_number_of_rounds_or_measure_is_refused():
    case = game(CONSTANT)
    case.value = dict(case.value) | {"key": np.array(KEY + 1)}
    assert not fails(case)
    assert not fails(game(CONSTANT, rounds=ROUNDS - 1))
    assert not fails(game({"name": "constant", "value": 0.2}))
    assert not fails(game({"name": "no such"}))
    assert not fails(game({"name": "custom"}, accuracy="1/2"))
    assert not fails(game({"name": "custom"}, confidence=1.0))


@pytest.mark.parametrize(
    ("claim", "world"),
    [
        ("certify.no_go_vc/1", {"name": "random_labelling", "points": 8, "samples": 8}),
        ("certify.no_go_vc/1", {"name": "linear_over_field", "order": 2,
                                "dimension": 5, "samples": 2, "levels": 1}),
        ("certify.no_go_linear/1", {"name": "linear_over_field", "order": 4,
                                    "dimension": 5, "samples": 2, "levels": 1}),
        ("certify.no_go_linear/1", {"name": "linear_over_field", "order": 2,
                                    "dimension": 2, "samples": 2, "levels": 1}),
        ("certify.no_go_family/1", {"name": "finite_family", "samples": 2}),
    ],
)  # fmt: skip
def test_a_floor_of_another_or_impossible_world_is_refused(claim, world):
    assert not decide(claim, 0.0, game(CONSTANT, world=world)).holds


def test_a_floor_stated_too_high_is_refused():
    case = game(CONSTANT)
    exact = decide("certify.no_go_vc/1", 0.1, case).measured
    assert decide("certify.no_go_vc/1", exact, case).holds
    case.value = dict(case.value) | {"no_go": np.array(np.nextafter(exact, 1))}
    assert not decide("certify.no_go_vc/1", exact, case).holds


def test_realizability_is_judged():
    weights = np.array([[[1.0, 0.0], [0.5, 0.5]]])
    world = {"name": "finite_family", "samples": 1}
    case = game(CONSTANT, world=world)
    case.problem.arrays["distributions"] = weights
    decision = decide("certify.no_go_family/1", 0.0, case)
    assert not decision.holds
    assert "distributions[0]" in decision.detail


def test_linear_hold_out_counts_what_fresh_samples_show():
    world = Linear(3, 5, 2, 1, None)
    rounds = world.draw(KEY, 0, 50)
    errors = world.fresh(rounds, KEY, 0, 300)
    assert np.all((errors == 0) == (rounds.place == 0))
    wrong = errors[rounds.place == 1] / 300
    assert abs(wrong.mean() - 2 / 3) < 4 * np.sqrt(2 / 9 / (300 * wrong.size))
