import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lemmata import catalogue, cli
from lemmata_checker.rules import RULES
from tests import toys
from tests.cli import room


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def toy_catalogue(monkeypatch):
    monkeypatch.setattr(catalogue, "entries", lambda: {room.ENTRY.slug: room.ENTRY})
    monkeypatch.setitem(sys.modules, "lemmata.toy", room)
    monkeypatch.setitem(RULES, toys.RULE.id, toys.RULE)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.array([1.0, 2.0, 4.0]))
    Path("b.csv").write_text("b\n1\n1\n1\n")
    return tmp_path


@pytest.fixture
def lemmata(capsys):
    """Runs a command in this process; every error must be one short line."""

    def run(*words: str) -> Outcome:
        capsys.readouterr()
        code = cli.main(words)
        captured = capsys.readouterr()
        if code == 2:
            assert captured.out == ""
            assert captured.err.startswith("lemmata: ")
            assert captured.err.count("\n") == 1, captured.err
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    return run
