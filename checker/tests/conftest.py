"""A toy room: one small linear system, three rules, one certificate."""

import math

import numpy as np
import pytest

from lemmata_checker import (
    Case,
    Document,
    Malformed,
    Measurement,
    Packed,
    Rule,
    cli,
    write,
)


def _residual(case: Case) -> Measurement:
    a, b = case.problem.arrays["operator"], case.problem.arrays["rhs"]
    x = case.witness["x"]
    if x.shape != b.shape:
        raise Malformed(f"x: expected shape {b.shape}, got {x.shape}")
    scale = case.problem.json["scale"]
    measured = np.max(np.abs(b - scale * (a @ x)), initial=0.0)
    return Measurement(
        measured,
        detail="one row at a time",
        figures={"largest": x.astype(np.float32).max()},
        assumptions={"invertible": "unchecked"},
    )


def _drawn(case: Case) -> Measurement:
    return Measurement(np.random.default_rng(case.seed).uniform())


def _descent(case: Case) -> Measurement:
    return Measurement(-float(np.max(np.diff(case.trace["loss"]))))


@pytest.fixture(scope="session")
def toy_rules():
    rules = (
        Rule("toy.residual/1", "proof", "<=", "max|b - s A x|", "", _residual),
        Rule("toy.drawn/1", "confidence", "<=", "a draw", "", _drawn),
        Rule("toy.descent/1", "evidence", ">=", "least decrease", "", _descent),
        Rule(
            "toy.usual/1",
            "proof",
            "<=",
            "never made here",
            "",
            lambda case: Measurement(math.nan),
            kinds=("toy.system/1",),
        ),
    )
    return {rule.id: rule for rule in rules}


@pytest.fixture
def toy_document():
    problem = Packed(
        "toy.system/1",
        {"scale": 1.0, "rtol": 1e-8, "name": "small"},
        {
            "operator": np.array([[2.0, 0.0], [0.0, 4.0]]),
            "rhs": np.array([2.0, 4.0]),
        },
    )
    residual = {"id": "toy.residual/1", "promised": 1e-9, "witness": {"x": "value/x"}}
    return Document(
        "toy-system",
        problem,
        claims=[residual, {"id": "toy.descent/1", "promised": 0.5}],
        withheld=[{"id": "toy.drawn/1", "reason": "nothing was drawn"}],
        uncertified=["value/note"],
        method={"name": "Direct", "options": {"pivot": True}},
        key=0,
        result={"name": "converged", "sentence": "The tolerance was reached."},
        stats={"steps": 1, "seconds": {"run": 0.25}},
        versions={"numpy": "2.0"},
        value={"x": np.array([1.0, 1.0]), "note": np.array([1, 2], np.int64)},
        trace={"loss": np.array([4.0, 2.0, 1.0])},
    )


@pytest.fixture
def toy_file(tmp_path, toy_document, toy_rules):
    path = tmp_path / "toy.lemma"
    write(path, toy_document, toy_rules)
    return path


@pytest.fixture
def tiny(tmp_path, toy_rules):
    """The smallest file with every kind of member: a few kilobytes."""
    residual = {"id": "toy.residual/1", "promised": 1.0, "witness": {"x": "witness/x"}}
    problem = Packed("toy.system/1", {"scale": 1}, {"rhs": np.array([1.0])})
    document = Document(
        "toy",
        problem,
        claims=[residual],
        witness={"x": np.array([True])},
        value={"y": np.array(1.5)},
        trace={"loss": np.array([], np.int32)},
    )
    path = tmp_path / "tiny.lemma"
    write(path, document, toy_rules)
    return path


@pytest.fixture
def run(toy_rules, capsys):
    """Run the command in this process: code, output, errors."""

    def call(*arguments):
        code = cli.main([str(argument) for argument in arguments], toy_rules)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def save(tmp_path, toy_rules):
    def call(document, name="other.lemma"):
        write(tmp_path / name, document, toy_rules)
        return tmp_path / name

    return call
