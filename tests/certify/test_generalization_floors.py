"""Floors of games against brute force over everything that can happen."""

import itertools
import math
from collections import defaultdict
from fractions import Fraction as F

import numpy as np
import pytest

import lemmata as lm
from lemmata.certify import (
    Constant,
    ExactNoGo,
    FiniteFamily,
    GeneralizationGame,
    RandomLabelling,
)
from lemmata_checker.rules.certify_generalization_numbers import (
    labelling_floor,
    linear_floor,
    simple_linear_floor,
)


def best_failure(observed, eps: F) -> F:
    """Mass that the best function of the observation misses, candidates tried out.

    An estimate is right on an open interval: one that begins at some loss is best.
    """
    missed = F(0)
    for masses in observed.values():
        least = min(
            sum((m for loss, m in masses if not (left <= loss < left + 2 * eps)), F(0))
            for left, _ in masses
        )
        missed += least
    return missed


def labelling_by_brute_force(d: int, n: int, eps: F) -> F:
    observed = defaultdict(list)
    for f in itertools.product((0, 1), repeat=d):
        for sample in itertools.product(range(d), repeat=n):
            mass = F(1, 2**d * d**n)
            seen = set(sample)
            fits = [
                h
                for h in itertools.product((0, 1), repeat=d)
                if all(h[x] == f[x] for x in seen)
            ]
            labels = tuple(f[x] for x in sample)
            observed[sample, labels, f].append((F(0), mass / 2))
            for h in fits:
                loss = F(sum(a != b for a, b in zip(f, h, strict=True)), d)
                observed[sample, labels, h].append((loss, mass / 2 / len(fits)))
    return best_failure(observed, eps)


@pytest.mark.parametrize("eps", [F(1, 8), F(1, 4), F(3, 10), F(3, 8), F(2, 5)])
def test_labelling_floor_is_the_best_possible(eps):
    assert labelling_floor(4, 2, eps) == labelling_by_brute_force(4, 2, eps)


def test_labelling_floor_at_the_papers_sizes():
    found = [
        float(labelling_floor(50, 25, F(1, 8))),
        float(labelling_floor(100, 50, F(1, 8))),
        float(labelling_floor(100, 50, F(1, 10))),
        float(labelling_floor(200, 20, F(1, 5))),
    ]
    known = [0.4081023595, 0.461378, 0.498272, 0.474105]
    np.testing.assert_allclose(found[0], known[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found, known, rtol=0, atol=5e-7)  # figures of six digits


def test_accuracy_is_compared_exactly():
    """2 eps d = 30 exactly: one more error or not is a term of the sum."""
    floor = labelling_floor(100, 50, F(3, 20))
    game = GeneralizationGame(RandomLabelling(100, 50), Constant(), 0.15)
    assert game.no_go() == floor
    assert labelling_floor(100, 50, F(3, 20) + F(1, 10**9)) < floor


def linear_by_brute_force(q: int, d: int, n: int, levels: int, eps: F) -> F:
    """All inputs, all truths, all answers of the algorithm; S alone is observed."""
    sizes = [n + level for level in range(levels)] + [d]
    spaces = [
        [a + (0,) * (d - s) for a in itertools.product(range(q), repeat=s)]
        for s in sizes
    ]
    observed = defaultdict(list)
    for flat in itertools.product(range(q), repeat=n * d):
        x = np.reshape(flat, (n, d))
        images = [
            [tuple((x @ np.array(a) % q).tolist()) for a in space] for space in spaces
        ]
        for w, space in enumerate(spaces):
            mass = F(1, q ** (n * d) * len(space) * len(spaces))
            for a, y in zip(space, images[w], strict=True):
                level = next(v for v in range(len(sizes)) if y in images[v])
                pairs = zip(spaces[level], images[level], strict=True)
                answers = [b for b, z in pairs if z == y]
                right = F(answers.count(a), len(answers))
                observed[flat, y].append((F(0), mass * right))
                observed[flat, y].append((1 - F(1, q), mass * (1 - right)))
    return best_failure(observed, eps)


@pytest.mark.parametrize(
    ("q", "d", "n", "levels"), [(2, 3, 1, 1), (2, 4, 2, 1), (3, 3, 1, 1), (2, 4, 1, 2)]
)
def test_linear_floor_is_the_best_possible(q, d, n, levels):
    brute = linear_by_brute_force(q, d, n, levels, F(1, 8))
    assert linear_floor(q, d, n, levels, F(1, 8)) == brute
    if levels == 1:
        assert simple_linear_floor(q, n, d) <= brute


def test_linear_floor_vanishes_beyond_half_the_distance():
    assert linear_floor(3, 3, 1, 1, F(1, 3)) > 0
    assert linear_floor(3, 3, 1, 1, F(1, 3) + F(1, 10**6)) == 0


def family_by_brute_force(weights, n: int, eps: F, groups=None) -> F:
    """Ordered samples of a family with labels 0 and 1, weights already of sum 1."""
    k, m, _ = weights.shape
    p = [[F(v) for v in row] for row in weights.sum(axis=2).tolist()]
    label = np.argmax(weights, axis=2).tolist()

    def loss(i, j):
        return sum((p[i][x] for x in range(m) if label[i][x] != label[j][x]), F(0))

    observed = defaultdict(list)
    for sample in itertools.product(range(m), repeat=n):
        chance = [math.prod((p[i][x] for x in sample), start=F(1)) for i in range(k)]
        for i in range(k):
            seen = tuple(label[i][x] for x in sample)
            agree = [j for j in range(k) if tuple(label[j][x] for x in sample) == seen]
            if groups is None:
                whole = sum(chance[j] for j in agree)
                observed[sample, seen, tuple(label[i])].append(
                    (F(0), chance[i] / k / 2)
                )
                for j in agree if whole else ():
                    mass = chance[i] * chance[j] / whole / k / 2
                    observed[sample, seen, tuple(label[j])].append((loss(i, j), mass))
                continue
            for group in groups:
                share = F(group.count(i), len(group)) * chance[i] / 2
                observed[sample, seen].append((loss(i, agree[0]), share))
    return best_failure(observed, eps)


def family_weights() -> np.ndarray:
    rng = np.random.default_rng(2)
    weights = np.zeros((4, 3, 2))
    # Sixteenths with sum 1: the same fractions however they are summed.
    shares = np.array([[8, 4, 4], [1, 5, 10], [0, 8, 8], [2, 12, 2]]) / 16
    for i, x in itertools.product(range(4), range(3)):
        weights[i, x, rng.integers(2)] = shares[i, x]
    return weights


def test_family_floors_are_the_best_possible():
    weights = family_weights()
    world = FiniteFamily(weights, 2)
    assert world.no_go(F(1, 8)) == family_by_brute_force(weights, 2, F(1, 8)) > 0
    split = FiniteFamily(weights, 2, succeeds=(0, 1), fails=(2, 3))
    groups = ((0, 1), (2, 3))
    brute = family_by_brute_force(weights, 2, F(1, 16), groups)
    assert split.no_go(F(1, 16)) == brute


def test_family_games_are_certified():
    weights = family_weights()
    for options in ({}, {"succeeds": (0, 1), "fails": (2, 3)}):
        game = GeneralizationGame(
            FiniteFamily(weights, 2, **options), Constant(0.1), "1/8", 400
        )
        solution = lm.solve(game)
        assert solution.certified, solution.certificate
    rng = np.random.default_rng(0)
    large = np.zeros((30, 20, 2))
    labels = rng.integers(2, size=(30, 20))
    np.put_along_axis(large, labels[..., None], 1.0, axis=2)
    game = GeneralizationGame(FiniteFamily(large, 4), Constant(0.0), "1/8")
    assert game.no_go() is None
    certificate = lm.solve(game, ExactNoGo()).certificate
    assert certificate["no_go_family_sampled"].holds
    assert certificate["no_go_family_sampled"].grade == "confidence"


def test_random_family_gives_the_labelling_floor():
    """All 16 labellings of 4 points as a family: the same game."""
    labels = np.array(list(itertools.product((0, 1), repeat=4)))
    weights = np.zeros((16, 4, 2))
    np.put_along_axis(weights, labels[..., None], 1.0, axis=2)
    floor = FiniteFamily(weights, 2).no_go(F(1, 8))
    assert floor == labelling_floor(4, 2, F(1, 8))
