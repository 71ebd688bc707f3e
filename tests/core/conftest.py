import pytest
from tests import toys

from lemmata_checker.rules import RULES


@pytest.fixture(autouse=True)
def toy_rule(monkeypatch):
    monkeypatch.setitem(RULES, toys.RULE.id, toys.RULE)


@pytest.fixture
def problem():
    return toys.Diagonal([1.0, 2.0, 4.0], [1, 1, 1])
