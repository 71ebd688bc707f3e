"""The main job from the command line: two point clouds in, a verdict out."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SLUG = "transport-sinkhorn-newton"
CHECK = "from lemmata_checker.cli import main; raise SystemExit(main())"


@pytest.fixture(autouse=True)
def toy_catalogue():
    """The real catalogue instead."""


@pytest.fixture
def clouds(folder):
    rng = np.random.default_rng(0)
    for name, shift in (("ours", 0.0), ("theirs", 1.0)):
        points = rng.normal(size=(24, 2)) + shift
        np.savetxt(f"{name}.csv", points, delimiter=",", header="x,y", comments="")
    return ("--data", "source_points=ours.csv", "target_points=theirs.csv")


def check(command):
    words = shlex.split(command)
    assert words[0] == "lemmata-check"
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *words[1:]], capture_output=True, check=False
    )
    return done.returncode


# compiling SinkhornNewton takes long; the gauntlet's round trip runs it, too
@pytest.mark.parametrize(
    "method",
    ["Sinkhorn", pytest.param("SinkhornNewton", marks=pytest.mark.slow)],
)
def test_point_clouds_to_verdict(lemmata, clouds, method):
    options = ("--option", "epsilon=0.1", "--method", method)
    done = lemmata("solve", SLUG, *clouds, *options, "-o", "out")
    assert done.code == 0, done.err + done.out
    command = done.out.strip().splitlines()[-1].strip()
    assert check(command) == 0
    other = command.replace("ours.csv", "theirs.csv", 1)
    assert check(other) == 1
    path = Path("out/answer.lemma")
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    assert check(command) == 2


def test_template_filled_in(lemmata, clouds):
    init = ("init", SLUG, "--method", "Sinkhorn", "-o", "run.toml")
    assert lemmata(*init).code == 0
    text = Path("run.toml").read_text()
    for name, file in (("source_points", "ours"), ("target_points", "theirs")):
        line = f'{name} = "{name}.npy"'
        assert line in text
        text = text.replace(f"#{line}", f'{name} = "{file}.csv"')
    Path("run.toml").write_text(text)
    lacking = lemmata("solve", "run.toml")
    assert lacking.code == 2
    assert "needs epsilon" in lacking.err
    done = lemmata("solve", "run.toml", "--option", "epsilon=0.1", "--json")
    assert done.code == 0, done.err
    assert check(json.loads(done.out)["check"]) == 0


def test_bad_weights_are_named(lemmata, clouds):
    np.save("negative.npy", -np.ones(24))
    data = (*clouds, "source=negative.npy")
    done = lemmata("solve", SLUG, *data, "--option", "epsilon=0.1")
    assert done.code == 2
    assert "EntropicTransport.source" in done.err
