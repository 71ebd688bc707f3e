"""Every system: inputs, derivatives, command line, catalogue, documents."""

import dataclasses
import importlib.util
import inspect
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from lemmata import catalogue, cli
from lemmata.core import LemmataError
from lemmata_checker.cli import main as lemmata_check
from lemmata_checker.rules import RULES
from tests.gauntlet.systems import system

ROOT = Path(__file__).parents[2]


def test_bad_inputs_get_the_typed_error(example, slug):
    cases = system(slug).bad_inputs
    assert len(cases) >= 3
    for _, attempt, message in cases:
        with pytest.raises(LemmataError, match=message):
            attempt()


def test_run_under_jit_and_vmap(example, slug):
    with jax.enable_x64(True):
        function, stacked = system(slug).batch()
        batched = np.asarray(jax.jit(jax.vmap(function))(stacked))
        single = [np.asarray(jax.jit(function)(point)) for point in stacked]
    # batching may reorder sums; tiny examples converge far below this
    np.testing.assert_allclose(batched, single, rtol=1e-7, atol=1e-9)


def test_run_under_grad(example, slug):
    with jax.enable_x64(True):
        function, point = system(slug).derivative()
        gradient = np.asarray(jax.grad(function)(point))
        function = jax.jit(function)
        direction = np.random.default_rng(0).normal(size=point.shape)
        step = 1e-5
        up, down = (
            function(point + step * direction),
            function(point - step * direction),
        )
    # central differences: truncation h^2 ~ 1e-10, rounding u / h ~ 1e-11, relative
    slope = float(up - down) / (2 * step)
    assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_command_line_round_trip(example, slug, tmp_path, capsys):
    packed = example.problem.pack()
    arguments = ["solve", slug, "--no-progress", "-o", str(tmp_path / "out")]
    given = []
    for name, array in packed.arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
        given.append(f"{name}={tmp_path / name}.npy")
    for pair in given:
        arguments += ["--data", pair]
    for name, value in packed.json.items():
        if value is not None:
            arguments += ["--option", f"{name}={json.dumps(value)}"]
    assert cli.main(arguments) == 0, capsys.readouterr()
    answer = str(tmp_path / "out" / "answer.lemma")
    checking = [answer] + [w for pair in given for w in ("--problem", pair)]
    assert lemmata_check(checking) == 0, capsys.readouterr()


def test_catalogue_agrees_with_the_classes(slug):
    entry = catalogue.entry(slug)
    room = catalogue.room(entry)
    for item in (*entry.problems, *entry.methods, *entry.parts):
        found = getattr(room, item.name)
        assert inspect.getdoc(found), item.name
        parameters = inspect.signature(found).parameters
        names = {option.name for option in item.options}
        if not isinstance(item, catalogue.Problem):
            assert names == set(parameters), item.name
        for option in item.options:
            if option.name in parameters:
                said = _said(parameters[option.name].default)
                assert said == option.default, f"{item.name}.{option.name}"
            else:
                assert item.name in _UNPACKED_OPTIONS, f"{item.name}.{option.name}"
    for claim in entry.claims:
        assert claim.id in RULES


# Options of the packed form that are fields of a part (a metric of the cost).
_UNPACKED_OPTIONS = (
    "CompositeProblem",
    "ConvexReLU",
    "EntropicTransport",
    "EqualityConstrained",
    "HeatEquation2D",
    "OptimalTransport",
    "SparseTransport",
    "MatrixSensing",
    "Planted",
    "RobustConvexReLU",
)


def _said(default: object) -> str:
    if default is inspect.Parameter.empty:
        return ""
    if dataclasses.is_dataclass(default):
        changed = [
            f"{f.name}={getattr(default, f.name)!r}"
            for f in dataclasses.fields(default)
            if getattr(default, f.name) != f.default
        ]
        return f"{type(default).__name__}({', '.join(changed)})"
    return repr(default)


def test_study_document_and_benchmark_exist(slug):
    entry = catalogue.entry(slug)
    assert importlib.util.find_spec(entry.study) is not None
    assert (ROOT / "docs" / "systems" / f"{slug}.md").is_file()
    assert (ROOT / "benchmarks" / entry.benchmark).is_file()
