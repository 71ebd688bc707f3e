"""Run files, and the template that `lemmata init` writes."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from lemmata.cli import _template
from tests.cli.room import ENTRY

RUN = """
system = "toy-diagonal"
[data]
a = "../a.npy"
b = "../b.csv"
[problem]
tol = 1e-8
[method]
kind = "Scheduled"
rounds = 3
[method.schedule]
kind = "Mixed"
[method.schedule.first]
damping = 0.125
[run]
output = "answer"
key = 5
time_limit = 60
"""


@pytest.fixture
def run_file():
    Path("sub").mkdir()
    path = Path("sub/run.toml")
    path.write_text(RUN)
    return path


def test_paths_are_relative_to_the_run_file(lemmata, run_file):
    done = lemmata("solve", "sub/run.toml", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert Path("sub/answer/answer.lemma").is_file()
    assert summary["key"] == 5
    assert summary["problem"]["parameters"]["tol"] == 1e-8
    assert summary["method"]["schedule"]["first"]["damping"] == 0.125


def test_flags_win(lemmata, run_file):
    flags = ("-o", "here", "--key", "1", "--method", "Damped", "--option", "tol=1e-6")
    summary = json.loads(lemmata("solve", "sub/run.toml", "--json", *flags).out)
    assert summary["key"] == 1
    # the run file's options belong to another method
    assert summary["method"] == {"kind": "Damped", "damping": 0.5, "room": 0}
    assert summary["problem"]["parameters"]["tol"] == 1e-6
    assert Path("here/answer.lemma").is_file()
    assert not Path("sub/answer").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[data]", "[dta]", "unknown key 'dta'; did you mean data"),
        ("key = 5", "kee = 5", r"unknown key run.kee; did you mean key"),
        ("key = 5", "key = true", "run.key must be a whole number, got True"),
        ("time_limit = 60", "time_limit = '1'", "run.time_limit must be a number"),
        ("tol = 1e-8", "tol = ", "not valid TOML ... line 7"),
        ("tol = 1e-8", "tll = 1", "no option 'tll'; did you mean tol"),
        ("tol = 1e-8", "tol = '1'", "Diagonal.tol: expected float, got '1'"),
        (
            "rounds = 3",
            "round = 3",
            "no option 'round'; did you mean rounds",
        ),
        ("rounds = 3", "rounds = 1.5", "method.rounds: expected int, got 1.5"),
        ("rounds = 3", "rounds = 0", r"Scheduled.rounds: expected > 0, got 0"),
        ("rounds = 3", "norm = 'mx'", 'method.norm: expected "max" | "sum"'),
        ("rounds = 3", "polish = 1", "method.polish: expected bool, got 1"),
        ('"Mixed"', '"Mixd"', "schedule: there is no 'Mixd'; did you mean Mixed"),
        ('"Scheduled"', '"Schedule"', "no method 'Schedule'; did you mean Scheduled"),
        ("damping = 0.125", "damp = 1", "first has no option 'damp'; did you mean"),
        ('a = "../a.npy"', "a = 3", "data.a must be the name of a file, got 3"),
        ('"toy-diagonal"', '"toy-diagnal"', "no system 'toy-diagnal'; did you mean"),
        ('system = "toy-diagonal"', "", "must say which system"),
        ("../a.npy", "../c.npy", "--data a: ... c.npy: no such file"),
    ],
)
def test_mistakes_get_one_sentence(lemmata, run_file, old, new, message):
    assert old in RUN
    run_file.write_text(RUN.replace(old, new))
    done = lemmata("solve", "sub/run.toml")
    assert done.code == 2
    assert all(part in done.err for part in message.split(" ... "))
    assert not Path("sub/answer").exists()


def test_not_text_and_not_there(lemmata):
    Path("bad.toml").write_bytes(b"\xff\xfe")
    assert "not a text file" in lemmata("solve", "bad.toml").err
    assert "lemmata init" in lemmata("solve", "none.toml").err


def test_template_is_accepted_once_data_are_there(lemmata):
    assert lemmata("init", "toy-diagonal").code == 0
    path = Path("toy-diagonal.toml")
    text = path.read_text()
    assert "Residual that is promised." in text
    path.write_text(text.replace("b.npy", "b.csv"))
    done = lemmata("solve", str(path), "--json")
    assert done.code == 0, done.err
    method = json.loads(done.out)["method"]
    assert method["kind"] == "Scheduled"
    assert method["schedule"] == {"kind": "Constant", "damping": 0.25}


def test_every_commented_setting_is_the_default(lemmata):
    text = _template.template(ENTRY).replace("b.npy", "b.csv")
    Path("plain.toml").write_text(text)
    shown = re.sub(r"(?m)^#(?=\S)", "", text)
    shown = re.sub(r"(?m)^(start|max_steps|time_limit) .*$", "", shown)
    Path("shown.toml").write_text(shown)
    assert len(tomllib.loads(shown)["method"]) > len(tomllib.loads(text)["method"])
    plain, shown = (
        json.loads(lemmata("solve", name, "--json").out)
        for name in ("plain.toml", "shown.toml")
    )
    for part in ("method", "problem", "key"):
        assert plain[part] == shown[part]


def test_init_leaves_existing_files_alone(lemmata):
    Path("run.toml").write_text("mine")
    refused = lemmata("init", "toy-diagonal", "-o", "run.toml")
    assert refused.code == 2
    assert "--force" in refused.err
    assert Path("run.toml").read_text() == "mine"
    assert lemmata("init", "toy-diagonal", "-o", "run.toml", "--force").code == 0
    assert tomllib.loads(Path("run.toml").read_text())["system"] == "toy-diagonal"
    assert lemmata("init", "toy-diagonal", "-o", "run.txt").code == 2


def test_init_of_other_problems_and_methods(lemmata):
    printed = lemmata("init", "toy-diagonal", "-o", "-", "--method", "Damped").out
    assert tomllib.loads(printed)["method"] == {"kind": "Damped"}
    printed = lemmata("init", "toy-diagonal", "-o", "-", "--problem", "Identity").out
    assert tomllib.loads(printed)["problem"] == {"kind": "Identity"}
    assert "scale (float; required)" in printed
    refused = lemmata("init", "toy-diagonal", "--problem", "Identty")
    assert "did you mean Identity" in refused.err
