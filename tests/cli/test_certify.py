"""`lemmata certify` and `lemmata check`."""

import json
from pathlib import Path

import numpy as np

DATA = ("--data", "a=a.npy", "b=b.csv")
CERTIFY = ("certify", "toy-diagonal", *DATA)


def test_right_answer_is_certified_and_checked(lemmata):
    np.save("x.npy", [1, 0.5, 0.25])
    done = lemmata(*CERTIFY, "--value", "x=x.npy", "-o", "out")
    assert done.code == 0, done.err
    assert "judged" in done.out
    command = done.out.strip().splitlines()[-1].split()
    assert lemmata("check", *command[1:]).code == 0


def test_wrong_answer_is_refused_with_the_claim_named(lemmata):
    np.save("x.npy", [1, 0.5, 0.3])
    done = lemmata(*CERTIFY, "--value", "x=x.npy", "-o", "out")
    assert done.code == 1
    assert "FAILS" in done.out
    assert "toy.residual/1" in done.out
    assert lemmata("check", "out/answer.lemma").code == 1


def test_without_folder_nothing_is_written(lemmata, folder):
    np.save("x.npy", [1, 0.5, np.nan])
    before = sorted(folder.iterdir())
    done = lemmata(*CERTIFY, "--value", "x=x.npy", "--json")
    assert done.code == 1
    assert json.loads(done.out)["claims"][0]["measured"] is None
    assert sorted(folder.iterdir()) == before


def test_check_has_the_checkers_exit_codes(lemmata, capsys):
    from lemmata import cli

    Path("no.lemma").write_bytes(b"nothing")
    assert cli.main(["check", "no.lemma"]) == 2
    assert cli.main(["check", "--help"]) == 0
    assert "lemmata-check" in capsys.readouterr().out
