"""Doors through which networks come in."""

import os

from lemmata_checker.errors import Unreadable
from lemmata_checker.onnx import read_onnx

from ..core import UnreadableFile
from ..numerics.networks import Network as Network
from ._from_equinox import from_equinox as from_equinox


def from_onnx(path: str | os.PathLike[str]) -> Network:
    """The network in an ONNX file, by the reader that the judge has, too.

    One input and one output; the first axis is a batch of one. Weights in float32 are
    lifted to float64 exactly, normalisations folded. See `lemmata_checker.onnx` for
    the operators.

    **Raises:** `UnreadableFile`, naming the node that is not supported.
    """
    try:
        content, arrays = read_onnx(os.fspath(path))
    except Unreadable as error:
        raise UnreadableFile(str(error)) from error
    return Network.of(content, arrays)
