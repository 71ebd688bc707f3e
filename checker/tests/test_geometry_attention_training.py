"""Rules of trained attention weights: bounds hold, forged witnesses are refused."""

import numpy as np
import pytest

from lemmata_checker.case import Case, decide
from lemmata_checker.packed import Packed

DIRECTION, MARGIN = "geometry.attention_direction/1", "geometry.attention_margin/1"
SURVIVORS, PATH = "geometry.surviving_tokens/1", "geometry.attention_path/1"
LOCAL = "geometry.locally_optimal/1"

# Two inputs whose solution is known by hand: x_0 = e_1, x_1 = -e_1, z = e_1 and
# x_0 = e_2, x_1 = 0, z = e_2: W = diag(1/2, 1), mu = (1/4, 1).
TOKENS = np.array([[[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
QUERIES = np.eye(2)
SOLUTION = np.diag([0.5, 1.0])
MU = np.array([[0.0, 0.25], [0.0, 1.0]])
SELECTED = np.zeros(2, np.int64)


def packed(**changes):
    arrays = {
        "tokens": TOKENS,
        "queries": QUERIES,
        "labels": np.ones(2),
        "lengths": np.full(2, 2),
        "head_vector": np.array([1.0, 2.0]),
    }
    fields = {"head": "linear", "loss": "logistic", "alignment": 0.9}
    return Packed("geometry.attention_training/1", fields, arrays | changes)


def witness(**changes):
    found = {
        "selected": SELECTED,
        "reference": SOLUTION * (1 + 1e-13),
        "multipliers": MU,
    }
    return found | changes


def case(value, seen=None, problem=None, **parameters):
    parameters = {"norm": "frobenius"} | parameters
    return Case(
        problem or packed(),
        value=value,
        witness=witness() if seen is None else seen,
        parameters=parameters,
    )


def joint(weights):
    return {"weights": np.asarray(weights, dtype=np.float64)}


@pytest.mark.parametrize(
    "value",
    [
        joint(50 * SOLUTION),
        {"key_weights": np.diag([5.0, 10.0]), "query_weights": np.diag([5.0, 5.0])},
    ],
)
def test_direction_and_margin_of_the_solution(value):
    found = decide(DIRECTION, 0.999, case(value))
    assert found.holds
    assert 1 - 1e-5 < found.measured <= 1.0
    share = decide(MARGIN, 0.999, case(value))
    assert share.holds
    assert 1 - 1e-9 < share.measured <= 1.0


def test_cosine_and_share_of_other_weights_are_what_they_are():
    rng = np.random.default_rng(0)
    for _ in range(30):
        weights = 10 * (SOLUTION + 0.2 * rng.normal(size=(2, 2)))
        margins = np.array([2 * weights[0, 0], weights[1, 1]])
        cosine = np.sum(weights * SOLUTION) / (
            np.linalg.norm(weights) * np.linalg.norm(SOLUTION)
        )
        found = decide(DIRECTION, 0.5, case(joint(weights)))
        assert cosine - 1e-5 <= found.measured <= cosine
        assert found.holds == bool(np.all(margins > 0) and found.measured >= 0.5)
        share = decide(MARGIN, 0.5, case(joint(weights)))
        best = margins.min() / np.linalg.norm(weights) * np.linalg.norm(SOLUTION)
        assert share.measured == pytest.approx(best, abs=1e-12)
        assert share.measured <= best + 1e-15


def test_nuclear_norm_has_its_own_dual():
    """||W||_* = 3/2 and sum mu A of norm 1: mu = (1/2, 1)."""
    seen = witness(multipliers=np.array([[0.0, 0.5], [0.0, 1.0]]))
    found = decide(MARGIN, 0.999, case(joint(SOLUTION), seen, norm="nuclear"))
    assert found.holds
    wrong = decide(MARGIN, 0.999, case(joint(SOLUTION), norm="nuclear"))
    assert not wrong.holds


@pytest.mark.parametrize(
    "change",
    [
        {"reference": SOLUTION * 0.999},
        {"reference": SOLUTION * np.nan},
        {"selected": SELECTED + 1},
        {"selected": SELECTED + 5},
        {"multipliers": MU[:, ::-1].copy()},
        {"multipliers": -MU},
        {"multipliers": 0 * MU},
    ],
    ids=lambda change: next(iter(change)),
)
def test_forged_witnesses_are_refused(change):
    found = decide(DIRECTION, 0.99, case(joint(SOLUTION), witness(**change)))
    assert not found.holds


def test_a_longer_reference_loses_what_it_may_be_off_by():
    """Ten per cent longer: it may be sqrt(0.21) ||W*|| away, and that is taken off."""
    loose = witness(reference=1.1 * SOLUTION)
    found = decide(DIRECTION, 0.99, case(joint(SOLUTION), loose))
    assert not found.holds
    assert found.measured == pytest.approx(1 - 2 * 0.21**0.5 / 1.1, abs=1e-6)


def test_local_optimality_of_a_linear_head():
    """Scores (1, -1) and (2, 0): each support token is 2 behind."""
    found = decide(LOCAL, 1.9, case(joint(SOLUTION)))
    assert found.holds
    assert found.measured == pytest.approx(2.0, abs=1e-12)
    flipped = packed(labels=np.array([1.0, -1.0]))
    assert not decide(LOCAL, 0.0, case(joint(SOLUTION), problem=flipped)).holds
    bad = packed(labels=np.array([1.0, 0.5]))
    assert not decide(LOCAL, -9.0, case(joint(SOLUTION), problem=bad)).holds


# Three tokens, the first two kept with odds 3 to 1, the last one behind.
KEPT_TOKENS = np.array([[[1.0, 1.0], [1.0, -1.0], [0.0, 0.0]]])
KEPT = {
    "selected": np.zeros(1, np.int64),
    "kept": np.array([[True, True, False]]),
    # x_0 - x_1 = (0, 2), x_0 - x_2 = (1, 1), z = e_1: W^mm = e_1 z' = A_2 - A_1 / 2
    "multipliers": np.array([[0.0, -0.5, 1.0]]),
    "odds": np.array([[0.0, np.log(3.0) / 4, 0.0]]),
}


def kept_case(weights, seen=None, coefficient=20.0, threshold=1e-3):
    problem = packed(
        tokens=KEPT_TOKENS,
        queries=np.array([[1.0, 0.0]]),
        labels=np.ones(1),
        lengths=np.array([3]),
    )
    return case(
        joint(weights),
        KEPT if seen is None else seen,
        problem,
        coefficient=coefficient,
        threshold=threshold,
    )


MODEL = np.array([[20.0, 0.0], [np.log(3.0) / 2, 0.0]])


def test_survivors_of_the_model_itself():
    found = decide(SURVIVORS, 1e-6, kept_case(MODEL))
    assert found.holds, found
    assert found.measured < 1e-12


def test_survivors_of_other_weights_are_as_far_as_they_are():
    other = MODEL + np.array([[0.0, 5.0], [0.0, 0.0]])
    found = decide(SURVIVORS, 1.0, kept_case(other))
    cosine = np.sum(other * MODEL) / np.linalg.norm(other) / np.linalg.norm(MODEL)
    assert found.holds
    assert found.measured == pytest.approx(1 - cosine, abs=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"kept": np.array([[True, True, True]])},
        {"kept": np.array([[True, False, False]])},
        {"multipliers": np.array([[0.0, -0.4, 1.0]])},  # not equal any more
        {"multipliers": np.array([[0.0, -1.0, 2.0]])},  # margin 2: not of least norm
        {"multipliers": np.array([[0.0, 0.5, -1.0]])},
        {"odds": np.array([[0.0, 0.5, 0.0]])},
        {"odds": np.array([[0.0, np.log(3.0) / 4, 0.1]])},
        {"selected": np.array([2])},
    ],
    ids=str,
)
def test_forged_survivors_are_refused(change):
    assert not decide(SURVIVORS, 1.0, kept_case(MODEL, KEPT | change)).holds


def test_undecided_tokens_are_refused():
    near = np.array([[9.0, 0.0], [np.log(3.0) / 2, 0.0]])  # e^-9 is 1.2e-4
    found = decide(SURVIVORS, 1.0, kept_case(near, coefficient=9.0))
    assert not found.holds
    assert "undecided" in found.detail


def path_case(steps, radii, weights=None):
    seen = witness(path=np.asarray(steps), radii=np.asarray(radii, dtype=np.float64))
    return case(joint(steps[-1] if weights is None else weights), seen)


def test_path_must_turn_and_stay_within_its_radii():
    unit = SOLUTION / np.linalg.norm(SOLUTION)
    first = np.array([[1.0, 0.0], [0.0, 0.0]])
    good = np.stack([first, 10 * unit])
    found = decide(PATH, 0.99, path_case(good, [1.0, 10.0]))
    assert found.holds, found
    assert found.measured == pytest.approx(1.0, abs=1e-9)
    assert not decide(PATH, 0.99, path_case(good, [1.0, 9.0])).holds
    assert not decide(PATH, 0.99, path_case(good, [10.0, 1.0])).holds
    away = np.stack([unit, 10 * first])
    assert not decide(PATH, 0.1, path_case(away, [1.0, 10.0])).holds
    other = decide(PATH, 0.99, path_case(good, [1.0, 10.0], weights=first))
    assert not other.holds
