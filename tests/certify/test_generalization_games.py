"""Games: frequencies against floors, fairness, records."""

import numpy as np
import pytest

import lemmata as lm
from lemmata.certify import (
    AbstractMeasure,
    BoundResult,
    Compression,
    Constant,
    FinitePACBayes,
    FiniteRademacher,
    GeneralizationGame,
    HoldOut,
    LinearOverField,
    Occam,
    PlayGame,
    RandomLabelling,
    Unseen,
    VCDimension,
)
from lemmata.certify._game_elimination import rank, solutions
from lemmata_checker.rules.certify_generalization_numbers import (
    corank_power,
)

BUILT_IN = (
    Constant(0.0),
    Unseen(0.5),
    Unseen(0.25),
    Occam(),
    VCDimension(),
    Compression(),
    FinitePACBayes(),
    FiniteRademacher(),
)


def test_loss_is_zero_as_often_as_the_corank_says():
    """F_2, n = 8, d = 20, four standard errors of 0.611185."""
    assert float(corank_power(2, 8)) == pytest.approx(0.611185, abs=5e-7)
    rounds = LinearOverField(2, 20, 8).rounds(3, 0, 4000)
    first = rounds.place[rounds.world == 0]
    error = np.sqrt(0.611185 * (1 - 0.611185) / len(first))
    assert abs(np.mean(first == 0) - 0.611185) <= 4 * error


@pytest.mark.parametrize("q", [2, 3, 5])
def test_elimination_solves_and_agrees_with_the_judge(q):
    rng = np.random.default_rng(q)
    basis = np.triu(rng.integers(0, q, (6, 6)), 1) + np.eye(6, dtype=int)
    world = LinearOverField(q, 6, 3, levels=2, basis=basis)
    ours, judged = world.rounds(1, 0, 200), world.judged().draw(1, 0, 200)
    np.testing.assert_array_equal(ours.hypothesis, judged.hypothesis)
    image = np.einsum("rnd,rd->rn", ours.points, ours.hypothesis) % q
    np.testing.assert_array_equal(image, ours.labels)


def test_solutions_are_uniform_in_the_smallest_subspace():
    """One equation x_1 + x_2 = 1 over F_2 in the span of two coordinates."""
    inputs = np.tile(np.array([[1, 1, 1]]), (64, 1, 1))
    labels = np.ones((64, 1), dtype=np.int64)
    free = np.random.default_rng(0).integers(0, 2, (64, 3))
    found = np.asarray(solutions(inputs, labels, free, (2, 3), 2))
    assert {tuple(row) for row in found.tolist()} == {(1, 0, 0), (0, 1, 0)}
    assert rank(np.array([[1, 2], [2, 4]]), 5) == 1


def played(world, measure, rounds, eps="1/8"):
    game = GeneralizationGame(world, measure, eps, rounds)
    solution = lm.solve(game, key=1)
    assert solution.certified, solution.certificate
    return float(np.mean(game.failures(solution.value))), float(game.no_go() or 0)


def test_no_measure_beats_the_floor():
    """500 rounds: the floor less three standard errors, 3 * 0.5 / sqrt(500) = 0.067."""
    world = RandomLabelling(30, 15)
    for measure in BUILT_IN:
        frequency, floor = played(world, measure, 500)
        assert frequency >= floor - 0.067, measure


@pytest.mark.slow
@pytest.mark.parametrize("size", [(50, 25), (100, 50), (200, 20)])
def test_no_measure_beats_the_floor_in_4000_rounds(size):
    """Floor - 0.03 for every measure, the best one within 0.05."""
    for measure in BUILT_IN:
        frequency, floor = played(RandomLabelling(*size), measure, 4000)
        assert frequency >= floor - 0.03, measure
    frequency, floor = played(RandomLabelling(*size), Constant(0.12499), 4000)
    assert abs(frequency - floor) <= 0.05


class ByCorank(AbstractMeasure):
    """The best function of (X, y): 0 unless y or the left block is degenerate."""

    def value(self, model, data, algorithm=None) -> BoundResult:
        assert model.answer is None
        assert algorithm is not None
        n = len(data.labels)
        left = data.inputs[:, :n]
        joined = np.concatenate([left, data.labels[:, None]], axis=1)
        regular = rank(left, 2) == n
        inside = rank(joined, 2) == rank(left, 2)
        guess = 0.0 if inside and regular else 0.5
        return BoundResult(guess, 0.0, (), "estimate")


def test_best_estimators_reach_the_floor():
    """Within 0.05."""
    frequency, floor = played(RandomLabelling(50, 25), Constant(0.12499), 1500)
    assert abs(frequency - floor) <= 0.05
    frequency, floor = played(LinearOverField(2, 20, 8), ByCorank(), 1500)
    assert abs(frequency - floor) <= 0.05


def test_hold_out_wins_so_the_runner_is_fair():
    """Failure at most delta in the same games."""
    for world in (RandomLabelling(30, 15), LinearOverField(2, 20, 8)):
        frequency, floor = played(world, HoldOut(fresh_samples=600), 300)
        assert frequency <= 0.05 < floor


def test_the_observer_cannot_see_or_touch_the_game():
    seen = []

    class Spy(AbstractMeasure):
        def value(self, model, data, algorithm=None) -> BoundResult:
            seen.append((model, algorithm))
            with pytest.raises(ValueError, match="read-only"):
                model.answer[0] = 1
            data.labels[:] = 7  # a copy
            return BoundResult(0.0, 0.0, (), "estimate")

    game = GeneralizationGame(RandomLabelling(8, 4), Spy(), "1/8", 20)
    solution = lm.solve(game, PlayGame(batch=7))
    assert all(algorithm is None for _, algorithm in seen)
    fields = set(vars(seen[0][0]))
    assert fields == {"answer", "order", "points", "log_size", "dimension", "table"}
    plain = GeneralizationGame(RandomLabelling(8, 4), Constant(0.0), "1/8", 20)
    losses = lm.solve(plain).value.losses
    np.testing.assert_array_equal(solution.value.losses, losses)


def test_a_function_is_a_measure_and_its_values_stay_unchecked():
    game = GeneralizationGame(RandomLabelling(8, 4), lambda h, s: 0.25, "1/8", 50)
    decision = lm.solve(game).certificate["measure_fails"]
    assert decision.assumptions["recorded values"] == "unchecked"
    built_in = GeneralizationGame(RandomLabelling(8, 4), Constant(0.25), "1/8", 50)
    decision = lm.solve(built_in).certificate["measure_fails"]
    assert decision.assumptions["recorded values"] == "checked"


def test_game_survives_a_file(tmp_path):
    world = LinearOverField(3, 4, 2, basis=np.eye(4)[::-1])
    game = GeneralizationGame(world, Occam(), 0.2, 30)
    path = lm.solve(game).save(tmp_path / "game.lemma")
    again = lm.load(path)
    assert again.certified
    assert again.problem.pack().json == game.pack().json
    foreign = game.candidate(estimates=again.value.estimates, key=int(again.value.key))
    assert lm.certify(game, foreign).certified
