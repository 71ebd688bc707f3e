"""Commands over the catalogue; they know no system by name."""

from ._main import main as main
