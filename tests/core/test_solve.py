import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.toys import Boastful, Damped, Diagonal, Hosted

import lemmata as lm
from lemmata.core import (
    InvalidArgument,
    InvalidProblem,
    NotCertified,
    NotConverged,
    Undisclosable,
    UnreadableFile,
)


def test_answer_is_numpy_float64_and_certified(problem):
    solution = lm.solve(problem)
    assert isinstance(solution.value.x, np.ndarray)
    assert solution.value.x.dtype == np.float64
    # the promise is 1e-10 on b - a x, so x is right to 1e-10 / min(a)
    np.testing.assert_allclose(solution.value.x, [1, 0.5, 0.25], atol=1e-10)
    assert solution.certified
    assert solution.result.name == "converged"
    assert solution.stats.steps == len(solution.stats.trace["residual"])
    assert set(solution.stats.seconds) == {"compile", "run", "certify"}


def test_global_precision_is_left_alone(problem):
    before = jax.config.jax_enable_x64
    lm.solve(problem)
    assert jax.config.jax_enable_x64 == before
    assert jnp.ones(1).dtype == jnp.float32


def test_same_key_same_bits_other_key_other_bits(problem):
    one, two = lm.solve(problem, key=3), lm.solve(problem, key=3)
    other = lm.solve(problem, key=jax.random.key(4))
    np.testing.assert_array_equal(one.value.x, two.value.x)
    assert np.any(one.value.x != other.value.x)
    assert one.key == 3


def test_tolerances_do_not_recompile(problem):
    lm.solve(problem, Damped(damping=0.5))
    solution = lm.solve(problem, Damped(damping=0.25))
    assert solution.stats.seconds["compile"] < 0.02


def test_step_limit_is_honest(problem):
    with pytest.raises(NotConverged, match="raise max_steps") as caught:
        lm.solve(problem, max_steps=3)
    assert caught.value.solution.stats.steps == 3
    solution = lm.solve(problem, max_steps=3, throw=False)
    assert solution.result.name == "max_steps"
    assert not solution.certified


def test_time_limit_is_honest(problem):
    slow = Damped(damping=1e-9)
    solution = lm.solve(problem, slow, time_limit=0.3, throw=False)
    assert solution.result.name == "time_limit"


def test_warm_start_takes_fewer_steps(problem):
    cold = lm.solve(problem)
    warm = lm.solve(problem, start=cold)
    assert warm.stats.steps == 0
    with pytest.raises(InvalidArgument, match=r"solve.start: expected None"):
        lm.solve(problem, Hosted(), start=cold)


def test_nan_stops_the_run_and_is_named(problem):
    solution = lm.solve(problem, Damped(damping=1e200), throw=False)
    assert solution.result.name == "not_finite"
    assert not solution.certified


def test_host_method_and_its_outcome(problem):
    solution = lm.solve(problem, Hosted(), throw=False)
    assert solution.certified
    assert solution.result.name == "tired"


def test_foreign_answers_are_judged_alike(problem):
    good = lm.certify(problem, problem.candidate(x=[1, 0.5, 0.25]))
    bad = lm.certify(problem, problem.candidate(x=[1, 0.5, 0.3]))
    assert good.certified
    assert [d.id for d in bad.certificate.refused] == ["toy.residual/1"]


def test_interrupt_keeps_what_there_is(problem):
    def interrupt(event):
        if event.steps >= 5:
            raise KeyboardInterrupt

    solution = lm.solve(problem, progress=interrupt, throw=False)
    assert solution.result.name == "interrupted"
    assert solution.stats.steps >= 5


def test_compare_judges_every_method(problem):
    comparison = lm.compare(problem, [Damped(), Hosted()])
    assert [row["method"] for row in comparison.rows()] == ["Damped", "Hosted"]
    assert "residual" in str(comparison)


def test_not_certified_carries_the_solution(problem):
    class Sloppy(Hosted):
        def done(self, problem, state):
            return True

        def outcome(self, problem, state):
            from lemmata.core import CONVERGED

            return CONVERGED

    with pytest.raises(NotCertified, match=r"toy.residual/1") as caught:
        lm.solve(problem, Sloppy())
    assert caught.value.solution.value.x.shape == (3,)


def test_a_failed_claim_about_the_run_is_a_finding(problem):
    solution = lm.solve(problem, Boastful())
    assert not solution.certified
    assert [d.id for d in solution.certificate.refused] == ["toy.speed/1"]


def test_errors_name_field_expected_got():
    with pytest.raises(InvalidProblem, match=r"Diagonal.a: expected positive entries"):
        Diagonal([1.0, -1.0], [1, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": Damped}, "an instance of a method"),
        ({"max_steps": -1}, "max_steps"),
        ({"time_limit": 0}, "time_limit"),
        ({"key": "seed"}, "key"),
        ({"progress": 3}, "progress"),
    ],
)
def test_arguments_are_checked(problem, arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        lm.solve(problem, **arguments)


def test_file_round_trip(problem, tmp_path):
    solution = lm.solve(problem)
    path = solution.save(tmp_path / "answer.lemma")
    with pytest.raises(UnreadableFile, match="pass problem="):
        lm.load(path)  # no room has the toy's class
    again = lm.load(path, problem=problem)
    np.testing.assert_array_equal(again.value.x, solution.value.x)
    assert again.certified
    lean = solution.save(tmp_path / "lean.lemma", embed=False)
    assert lm.load(lean, problem=problem).certified


def test_secrets_are_not_written(problem, tmp_path):
    secret = Diagonal(problem.a, problem.b, secret=True)
    with pytest.raises(Undisclosable, match="value/x"):
        lm.solve(secret).save(tmp_path / "answer.lemma")
    assert list(tmp_path.iterdir()) == []


def test_prints_well(problem):
    solution = lm.solve(problem)
    assert "holds" in str(solution)
    assert "certified" in solution._repr_html_()
