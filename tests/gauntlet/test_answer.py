"""Every system: its answer is claimed, judged, repeatable, in float64, resumable."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lemmata as lm


def same_bits(one: lm.Solution, two: lm.Solution) -> None:
    for name, array in one.value.pack().items():
        np.testing.assert_array_equal(two.value.pack()[name], array, err_msg=name)


def test_claims_accepted(example):
    certificate = example.solution.certificate
    assert certificate.holds, str(certificate)
    listed = {claim.id for claim in example.entry.claims}
    issued = {d.id for d in certificate.decisions}
    issued |= {w.id for w in certificate.withheld}
    assert issued <= listed


def test_statistics_are_complete(example):
    stats = example.solution.stats
    assert stats.steps > 0
    assert set(stats.seconds) == {"compile", "run", "certify"}
    assert all(len(column) == stats.steps for column in stats.trace.values())
    assert "@" in example.solution.citation()


def test_float64_inside_and_global_setting_untouched(example):
    for name, array in example.solution.value.pack().items():
        assert array.dtype in (np.float64, np.int64, np.bool_, np.uint8), name
    assert not jax.config.jax_enable_x64
    assert jnp.zeros(1).dtype == jnp.float32


def test_same_key_same_answer(example):
    same_bits(example.solution, lm.solve(example.problem, example.method, key=7))


def test_killed_and_resumed_to_the_same_bits(example, tmp_path):
    path = tmp_path / "run.ckpt"
    stop = random.Random(5).randrange(example.solution.stats.steps)
    limits = {"key": 7, "checkpoint": path, "throw": False}
    lm.solve(example.problem, example.method, max_steps=stop, **limits)
    resumed = lm.solve(example.problem, example.method, **limits)
    same_bits(example.solution, resumed)
    assert resumed.stats.steps == example.solution.stats.steps


def test_foreign_answer_gets_the_same_claims(example):
    """The value alone, without its run, is worth what the problem says."""
    problem = example.problem
    value = problem.value_from(example.solution.value.pack())
    judged = lm.certify(problem, value)
    assert judged.certified, str(judged)


def test_file_round_trip(example, lemma_file):
    again = lm.load(lemma_file)
    same_bits(example.solution, again)
    assert again.certified
    assert again.problem.pack().json == example.problem.pack().json


def test_prints_itself(example):
    text = str(example.solution)
    assert example.solution.result.sentence in text
    assert "<pre>" in example.solution._repr_html_()
    assert len(text) < 5000
    assert pytest.approx(0) != len(text)
