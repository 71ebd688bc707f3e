"""The judge stands alone: no JAX, no lemmata, and a quick start."""

import ast
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lemmata_checker

FORBIDDEN = ("jax", "jaxlib", "lemmata", "equinox", "scipy")

EVERYTHING = """
import importlib, pkgutil, sys
import lemmata_checker
for found in pkgutil.walk_packages(lemmata_checker.__path__, "lemmata_checker."):
    importlib.import_module(found.name)
for name in dir(lemmata_checker):
    getattr(lemmata_checker, name)
"""
REPORT = "\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))\n"


def loaded(code: str) -> set[str]:
    """Top-level modules that a fresh process has after running the code."""
    command = [sys.executable, "-c", code + REPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_nothing_forbidden_is_imported():
    assert loaded(EVERYTHING).isdisjoint(FORBIDDEN)


@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_test_above_would_notice(tmp_path, name):
    """The same walk over a copy in which one module imports what it must not."""
    copy = tmp_path / "lemmata_checker"
    shutil.copytree(Path(lemmata_checker.__file__).parent, copy)
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    with open(copy / "matrix_market.py", "a") as module:
        module.write(f"import {name}\n")
    found = loaded(f"import sys; sys.path.insert(0, {str(tmp_path)!r})" + EVERYTHING)
    assert found & {*FORBIDDEN} == {name}


def test_the_walk_reaches_every_module():
    names = loaded(EVERYTHING + "print(*sys.modules)\n")
    for name in ("cli", "matrix_market", "rules"):
        assert f"lemmata_checker.{name}" in names


def test_importing_the_package_needs_no_numpy():
    assert "numpy" not in loaded("import sys, lemmata_checker, lemmata_checker.cli")


def test_public_names_are_those_that_type_checkers_see():
    tree = ast.parse(Path(lemmata_checker.__file__).read_text())
    static = {
        (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    lazy = {(home, name) for name, home in lemmata_checker._HOME.items()}
    assert static == lazy
    for _, name in lazy:
        assert getattr(lemmata_checker, name) is not None
        assert name in dir(lemmata_checker)
    with pytest.raises(AttributeError, match="no attribute 'solve'"):
        _ = lemmata_checker.solve


def test_help_starts_quickly():
    """0.03 s on an idle core; ten times that allows for a busy machine."""
    command = [sys.executable, "-m", "lemmata_checker", "--help"]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3


def test_rules_are_well_formed():
    from lemmata_checker import RULES
    from lemmata_checker.packed import IDENTIFIER

    for claim_id, rule in RULES.items():
        assert rule.id == claim_id
        assert IDENTIFIER.fullmatch(claim_id)
        assert rule.grade in ("proof", "confidence", "evidence")
        assert rule.relation in ("<=", ">=")
        assert rule.statement
        assert all(IDENTIFIER.fullmatch(kind) for kind in rule.kinds)
