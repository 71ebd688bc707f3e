import pytest
from tests import toys

from lemmata_checker.rules import RULES


@pytest.fixture(autouse=True)
def toy_rule(monkeypatch):
    for rule in (toys.RULE, toys.SPEED):
        monkeypatch.setitem(RULES, rule.id, rule)


@pytest.fixture
def problem():
    return toys.Diagonal([1.0, 2.0, 4.0], [1, 1, 1])
