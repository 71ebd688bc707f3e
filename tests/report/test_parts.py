import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lemmata import report
from lemmata.report._fields import Node
from lemmata.report._format import arxiv, pair, plain, prose, seconds
from lemmata.report._margin import LINE, margin
from lemmata.report._plot import DRAWN_ENTRIES, drawing, read_plot
from lemmata.report._study import Claim

figures = st.floats(-1e300, 1e300)  # above, 15 digits may round to infinity


def decided(promised, measured, relation="<=", holds=None) -> Claim:
    inside = measured <= promised if relation == "<=" else measured >= promised
    holds = inside if holds is None else holds
    return Claim("a.b/1", "proof", relation, "", promised, measured, holds, "", {}, {})


@given(figures, figures, st.sampled_from(["<=", ">="]))
def test_right_of_the_line_means_that_it_holds(promised, measured, relation):
    found = margin(decided(promised, measured, relation))
    assert found.words
    if found.at is None:  # no ratio: zero or two signs
        assert promised == 0 or promised * measured <= 0
    elif decided(promised, measured, relation).holds:
        assert LINE - 0.005 <= found.at <= 100  # positions have two decimals
    else:
        assert 0 <= found.at <= LINE + 0.005


@pytest.mark.parametrize(
    ("promised", "measured", "relation", "decades"),
    [(1e-8, 1e-12, "<=", 4), (1.0, 100.0, ">=", 2), (1e-8, 1e-7, "<=", -1),
     (-1e-12, -1e-14, ">=", 2), (-3.0, -300.0, "<=", 2), (2.0, 2.0, "<=", 0)],
)  # fmt: skip
def test_bar_is_as_long_as_the_room(promised, measured, relation, decades):
    # 2 decades are drawn left of the promise, 10 right of it: 100/12 per cent each
    at = 100 * (2 + decades) / 12
    assert margin(decided(promised, measured, relation)).at == pytest.approx(
        at, abs=0.01
    )


@pytest.mark.parametrize(
    ("promised", "measured", "words"),
    [(1e-12, 0.0, "exactly zero"), (2.0, 2.0, "exactly the promised figure"),
     (1.0, 0.98, "2 % smaller than promised"), (1e-8, 2.4e-3, "240\u2009000 times"),
     (1.0, math.inf, "no finite bound"), (math.inf, 1.0, "not finite"),
     (1.0, math.nan, "no finite figure"), (0.0, 1e-3, "0.001 above the promise")],
)  # fmt: skip
def test_margin_in_words(promised, measured, words):
    assert words in margin(decided(promised, measured)).words


def test_a_violated_assumption_is_not_called_a_margin():
    found = margin(decided(1.0, 0.5, holds=False))
    assert "an assumption is violated" in found.words


@given(figures)
def test_numbers_read_back(value):
    text = plain(value, 15).replace("\u2009", "").replace("\u2212", "-")
    power = str.maketrans("\u207b⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    text = re.sub("×10(.*)", lambda found: "e" + found[1].translate(power), text)
    # 15 digits are shown; a figure near 1e5 is shown without decimals at most
    assert float(text) == pytest.approx(value, rel=1e-5)


@given(figures, figures)
def test_a_pair_is_told_apart(promised, measured):
    shown = [re.sub("<[^>]*>", "", str(one)) for one in pair(promised, measured)]
    if abs(promised - measured) > 1e-13 * max(abs(promised), abs(measured)):
        assert shown[0] != shown[1]


def test_small_formats():
    assert [seconds(s) for s in (0.0151, 0.342, 61.3, 187, None)] == [
        "15.1\u2009ms", "0.342\u2009s", "61\u2009s", "3\u2009min 7\u2009s", "–",
    ]  # fmt: skip
    assert prose("a `x<y` & b") == "a <code>x&lt;y</code> &amp; b"
    assert arxiv("2401.12253v2") == "https://arxiv.org/abs/2401.12253v2"
    assert arxiv("math/0301001") == "https://arxiv.org/abs/math/0301001"
    assert arxiv("javascript:alert(1)") == arxiv("2401.12253/..") == ""


def test_a_dense_pattern_is_drawn_as_counts():
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 1000, (2, DRAWN_ENTRIES + 1)).tolist()
    raw = {"kind": "pattern", "shape": [1000, 1000], "rows": rows, "columns": columns}
    drawn = drawing(read_plot(Node(raw, "plot")))
    side = drawn["block"]
    assert side == 5  # 1000 rows in at most 240 blocks
    expected = Counter(
        (i // side, j // side) for i, j in zip(rows, columns, strict=True)
    )
    found = np.array(drawn["z"], float)
    assert np.nansum(found) == len(rows)
    assert {at: found[at] for at in expected} == expected


def test_what_is_not_finite_is_a_gap():
    raw = {"x": [1, 2, 3, 4], "y": [1.5, math.nan, "inf", None]}
    plot = read_plot(Node({"kind": "xy", "series": [raw]}, "plot"))
    assert plot.series[0].y == (1.5, None, None, None)
    words = {"x": ["a", "inf"], "y": [1, 2]}
    plot = read_plot(Node({"kind": "xy", "series": [words]}, "plot"))
    assert plot.series[0].x == ("a", "inf")


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance of #rgb or #rrggbb."""
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(theme):
    css = (Path(report.__file__).parent / "report.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", blocks[theme]))

    def contrast(one, other):
        low, high = sorted([luminance(colours[one]), luminance(colours[other])])
        return (high + 0.05) / (low + 0.05)

    roles = ("ours", "baseline", "peer", "paper", "bound")
    texts = ("ink", "muted", "link", "good", "bad", *roles)
    assert {name: contrast(name, "ground") for name in texts if
            contrast(name, "ground") < 4.5} == {}  # fmt: skip
    assert contrast("muted", "panel") >= 4.5
    assert contrast("ink", "bad-ground") >= 4.5
