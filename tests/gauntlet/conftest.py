"""One solved example per system, shared by every check."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import lemmata as lm
from lemmata import catalogue
from tests.gauntlet.exemptions import skip_if_exempt


@dataclass(frozen=True)
class Solved:
    """The tiny example of a system with its solution."""

    entry: catalogue.Entry
    problem: Any
    method: Any
    solution: lm.Solution


@cache
def solved_example(slug: str) -> Solved:
    entry = catalogue.entry(slug)
    problem, method = catalogue.resolve(entry.example)()
    return Solved(entry, problem, method, lm.solve(problem, method, key=7))


def pytest_generate_tests(metafunc):
    if "slug" in metafunc.fixturenames:
        metafunc.parametrize("slug", list(catalogue.entries()), scope="session")


@pytest.fixture
def example(slug, request) -> Solved:
    skip_if_exempt(slug, request.node.originalname.removeprefix("test_"))
    return solved_example(slug)


@pytest.fixture(scope="session")
def lemma_file(slug, tmp_path_factory) -> Path:
    solution = solved_example(slug).solution
    return solution.save(tmp_path_factory.mktemp(slug) / "answer.lemma")
