"""Numbers and short texts as a reader wants them; all markup is made here."""

import math
import re

from markupsafe import Markup, escape

THIN = "\u2009"
MINUS = "\u2212"
_SUPERSCRIPTS = str.maketrans("-0123456789", "\u207b⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(value: float | None, digits: int = 3) -> str:
    """A number as text: 0.0123, 56 199, 1.2×10⁻¹³, ∞; an en dash for none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else _signed("∞", value)
    if value == 0:
        return "0"
    if value == int(value) and abs(value) < 1e7:
        return _signed(f"{abs(int(value)):,}".replace(",", THIN), value)
    if 1e-3 <= abs(value) < 1e5:
        shown = f"{abs(value):.{max(digits, 3)}g}"
        if "e" in shown:
            shown = f"{abs(value):,.0f}".replace(",", THIN)
        return _signed(shown, value)
    mantissa, _, exponent = f"{abs(value):.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return _signed(f"{mantissa}{THIN}×{THIN}{power(int(exponent))}", value)


def power(exponent: int) -> str:
    """A power of ten: 10⁻¹²."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def _signed(text: str, value: float) -> str:
    return MINUS + text if value < 0 else text


def number(value: float | None, digits: int = 3) -> Markup:
    """A number for the page; the exact one is in the `value` attribute."""
    if value is None:
        return Markup("–")
    return Markup('<data value="{}">{}</data>').format(
        repr(value), plain(value, digits)
    )


def pair(promised: float | None, measured: float | None) -> tuple[Markup, Markup]:
    """Both figures, with as many digits as it takes to tell them apart."""
    digits = 3
    if promised is not None and measured is not None and promised != measured:
        while digits < 15 and plain(promised, digits) == plain(measured, digits):
            digits += 1
    return number(promised, digits), number(measured, digits)


def seconds(value: float | None) -> str:
    """A duration: 0.34 s, 12 s, 3 min 20 s."""
    if value is None or not math.isfinite(value):
        return "–"
    if value < 0.0995:
        return f"{plain(value * 1e3, 2)}{THIN}ms"
    if value < 120:
        return f"{plain(value) if value < 9.95 else round(value)}{THIN}s"
    minutes, rest = divmod(round(value), 60)
    return f"{plain(minutes)}{THIN}min {rest}{THIN}s"


def times(ratio: float | None) -> str:
    """A ratio: 17×, 0.6×."""
    if ratio is None:
        return "–"
    return f"{plain(float(f'{ratio:.2g}'))}×"


def prose(text: str) -> Markup:
    """Escaped text in which `backticks` mark code."""
    parts = re.split(r"`([^`\n]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def cell(value: str | float | bool | None) -> Markup:
    """A table's cell."""
    if isinstance(value, bool):
        return Markup("yes" if value else "no")
    if isinstance(value, int | float) or value is None:
        return number(value)
    return prose(value)


def count(amount: int, one: str, many: str = "") -> str:
    """1 claim, 2 claims."""
    return f"{plain(amount)} {one if amount == 1 else many or one + 's'}"


def arxiv(identifier: str) -> str:
    """The address of a paper, empty unless `identifier` is an arXiv number."""
    known = re.fullmatch(r"(\d{4}\.\d{4,5}|[a-z-]{2,20}/\d{7})(v\d{1,2})?", identifier)
    return f"https://arxiv.org/abs/{identifier}" if known else ""
