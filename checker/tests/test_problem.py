"""`--problem` and `--require`: what the user brings and insists on."""

import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from lemmata_checker import (
    read,
)


@pytest.fixture
def own(tmp_path, toy_document):
    """The user's files of the same problem, in three formats."""
    arrays = toy_document.problem.arrays
    np.save(tmp_path / "A.npy", np.asfortranarray(arrays["operator"]))
    (tmp_path / "b.csv").write_text("rhs\n2\n4\n")
    np.savez(tmp_path / "other.npz", b=np.array([2, 4]), a=np.eye(2))
    return tmp_path


def test_own_problem_identical(run, toy_file, own):
    given = [f"operator={own}/A.npy", f"rhs={own}/b.csv", "scale=1", "name=small"]
    code, out, _ = run(toy_file, *(x for text in given for x in ("--problem", text)))
    assert code == 0
    for name in ("operator", "rhs", "scale", "name"):
        line = next(line for line in out.split("\n") if line.startswith(f"  {name} "))
        assert line.endswith("[yours, identical]")
    assert "rtol      1e-08  [embedded]" in out


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("operator={own}/other.npz#a", "FAILS"),
        ("scale=2", "FAILS"),
        ("rtol=1", "HOLDS"),
        ("name=large", "HOLDS"),
    ],
)
def test_own_problem_different(run, toy_file, own, text, claim):
    code, out, _ = run(toy_file, "--problem", text.format(own=own))
    assert code == 1
    assert "[yours, different]" in out
    assert "certifies another problem than the one given" in out
    assert f"{claim}  toy.residual/1" in out


def test_other_shape_is_another_problem(run, toy_file, own):
    np.save(own / "long.npy", np.ones(5))
    code, out, _ = run(toy_file, "--problem", f"rhs={own}/long.npy")
    assert code == 1
    assert "cannot be judged: x: expected shape (5,)" in out


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["cost=C.npy"], "the problem has no 'cost'; it has operator, rhs, scale"),
        (["rhs={own}/none.npy"], "problem 'rhs': .*none.npy: no such file"),
        (["rhs={own}/other.npz"], "name one array"),
        (["scale=one"], "'one' does not fit; certified is 1.0"),
        (["scale=NaN"], "does not fit"),
        (["scale=1e999"], "does not fit"),
        (["scale=true"], "does not fit"),
        (["scale=[1]"], "does not fit"),
        (["scale=" + "[" * 100_000], "does not fit"),
        (["scale"], "expected NAME=FILE or NAME=VALUE"),
        (["=1"], "expected NAME=FILE"),
        (["scale=1", "scale=1"], "given twice"),
    ],
)
def test_bad_problem(run, toy_file, own, texts, reason):
    options = [x for text in texts for x in ("--problem", text.format(own=own))]
    code, _, err = run(toy_file, *options)
    assert code == 2
    assert re.search(reason, err)


def test_own_numbers_are_never_rounded_in_silence(run, save, own, toy_document):
    problem = toy_document.problem
    single = {name: array.astype(np.float32) for name, array in problem.arrays.items()}
    path = save(
        replace(
            toy_document, problem=problem._replace(arrays=single), digest="", arrays={}
        )
    )
    assert run(path, "--problem", f"operator={own}/A.npy")[0] == 0
    np.save(own / "A.npy", np.array([[2.0, 0.0], [0.0, 4.0 + 1e-12]]))
    code, _, err = run(path, "--problem", f"operator={own}/A.npy")
    assert code == 2
    assert "float32, as certified, cannot hold exactly" in err
    for number in (2**24 + 1, 2**62 + 1, 2**63 - 1):
        np.save(own / "b.npy", np.array([2, number]))
        assert run(path, "--problem", f"rhs={own}/b.npy")[0] == 2


def test_problem_that_is_not_embedded(run, save, own, toy_document, toy_rules):
    path = save(replace(toy_document, embedded=False))
    code, out, err = run(path)
    assert (code, out) == (2, "")
    assert "--problem operator=FILE --problem rhs=FILE" in err
    assert "rhs: float64, shape (2,)" in err
    assert read(path, rules=toy_rules).problem.arrays == {}
    yours = ["--problem", f"operator={own}/A.npy", "--problem"]
    code, out, _ = run(path, *yours, f"rhs={own}/b.csv")
    assert code == 0
    assert out.count("[yours, identical]") == 2
    (own / "b.csv").write_text("2\n5\n")
    code, out, _ = run(path, *yours, f"rhs={own}/b.csv")
    assert code == 1
    assert out.count("[yours]") == 2
    assert "another problem" in out


@pytest.mark.parametrize(
    ("requirement", "code", "shown"),
    [
        ("toy.residual/1", 0, "All 2 claims hold."),
        ("toy.residual/1<=1e-9", 0, "All 2"),
        ("toy.residual/1 <= 2e-9", 0, "All 2"),
        ("toy.residual/1<=1e-10", 1, "promises only <= 1e-09, not 1e-10"),
        ("toy.descent/1>=0.5", 0, "All 2"),
        ("toy.descent/1>=0.6", 1, "promises only >= 0.5, not 0.6"),
        ("toy.drawn/1", 1, "toy.drawn/1 is withheld (nothing was drawn)"),
        ("toy.usual/1<=1", 1, "toy.usual/1 is absent"),
        ("toy.descent/1<=1", 2, "this claim promises >="),
        ("toy.residual/2", 2, "no claim is called"),
        ("toy.residual/1<=x", 2, "not a finite number"),
        ("toy.residual/1<=inf", 2, "not a finite number"),
        ("toy.residual/1<1", 2, "expected ID"),
        ("", 2, "expected ID"),
    ],
)
def test_require(run, toy_file, requirement, code, shown):
    found, out, err = run(toy_file, "--require", requirement)
    assert found == code
    assert shown in out + err


def test_required_claim_that_fails(run, save, toy_document):
    claim = {**toy_document.claims[0], "parameters": {"part": 2}, "promised": -1.0}
    toy_document.claims.append(claim)
    code, out, _ = run(save(toy_document), "--require", "toy.residual/1")
    assert code == 1
    assert "toy.residual/1 fails" in out


def test_names_in_own_files_cannot_drive_the_terminal(run, toy_file, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for name in ("\x1b[2J.npy", "b\nAll hold.npy"):
            archive.writestr(name, b"")
    code, _, err = run(toy_file, "--problem", f"rhs={tmp_path}/x.npz")
    assert code == 2
    assert err.rstrip("\n").isprintable()
