"""An ONNX file through `lemmata solve` and `lemmata-check`."""

import json

import equinox as eqx
import jax
import numpy as np
import pytest
from tests.certify.test_network_doors import exported

from lemmata import cli
from lemmata_checker.cli import main as lemmata_check

SLUG = "certify-local-lipschitz"
OPTIONS = [
    "--option",
    "method.search.steps=1",
    "--option",
    "method.search.candidates=2",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = eqx.nn.MLP(3, 2, 4, 2, key=jax.random.key(0))
    exported(module, "model.onnx")
    other = eqx.tree_at(lambda m: m.layers[0].bias, module, module.layers[0].bias + 1)
    exported(other, "other.onnx")
    exported(eqx.nn.MLP(3, 2, 5, 1, key=jax.random.key(0)), "wide.onnx")
    np.savetxt("low.csv", -0.1 * np.ones(3))
    np.savetxt("high.csv", 0.1 * np.ones(3))
    return tmp_path


def test_from_file_to_verdict(folder, capsys):
    data = ["--data", "network=model.onnx", "lower=low.csv", "upper=high.csv"]
    asked = ["solve", SLUG, *data, *OPTIONS, "--no-progress", "-o", "out"]
    assert cli.main(asked) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "--problem network=model.onnx" in said
    answer, box = "out/answer.lemma", ["--problem", "lower=low.csv"]
    assert lemmata_check([answer, "--problem", "network=model.onnx", *box]) == 0
    assert lemmata_check([answer, "--problem", "network=other.onnx"]) == 1
    assert lemmata_check([answer, "--problem", "network=wide.onnx"]) == 1
    assert lemmata_check([answer, "--problem", "network=none.onnx"]) == 2
    capsys.readouterr()
    lemmata_check([answer, "--problem", "network=model.onnx", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert "identical" in json.dumps(report)


def test_bad_files_are_refused(folder, capsys):
    with open("broken.onnx", "wb") as stream:
        stream.write(b"\x01\x02")
    box = ["lower=low.csv", "upper=high.csv"]
    for file, message in (
        ("broken.onnx", "no ONNX file"),
        ("none.onnx", "no such file"),
    ):
        asked = ["solve", SLUG, "--data", f"network={file}", *box]
        assert cli.main(asked) == 2
        assert message in capsys.readouterr().err
    asked = ["solve", SLUG, "--data", "lower=model.onnx", "upper=high.csv"]
    assert cli.main(asked) == 2
    assert "a network, not an array" in capsys.readouterr().err
