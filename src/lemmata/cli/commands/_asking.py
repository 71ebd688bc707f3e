"""Arguments and first steps that `solve` and `certify` share."""

import argparse
from dataclasses import replace
from typing import Any, NamedTuple

from ... import catalogue
from ..._compilation import keep_compiled_code
from .. import _build, _data, _request, _select
from .._output import Question


class Asked(NamedTuple):
    """A request, its system, the problem made of it, and what the user gave."""

    request: _request.Request
    entry: catalogue.Entry
    problem: Any
    question: Question


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which problem is meant."""
    parser.add_argument(
        "target",
        metavar="SYSTEM|RUN.toml",
        help="a name that `lemmata list` shows, or a run file from `lemmata init`",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=FILE",
        help="arrays, by the names that `lemmata info` shows: .npy .npz .csv .tsv .mtx "
        ".parquet, pictures, a network as .onnx; FILE#PART takes an array of .npz, "
        "columns of .parquet, or some pixels, photo.png#colours=1000",
    )
    parser.add_argument(
        "--option",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="NAME=VALUE for the problem, method.NAME=VALUE for the method; dots go "
        "deeper: method.NAME.kind=TYPE names a nested type, method.NAME.OPTION=VALUE "
        "sets its options",
    )
    parser.add_argument(
        "--problem", metavar="NAME", help="which problem (default: the first that fits)"
    )


def ask(args: argparse.Namespace) -> Asked:
    """Checks everything that is cheap first, then reads files, then loads the room."""
    request = _request.gather(args)
    entry = catalogue.entry(request.slug)
    networks = _data.networks("--data", request.data)
    request = replace(request, problem=dict(request.problem) | networks)
    _build.check_method(entry, request)
    found = _select.problem(entry, request)
    parameters = _select.parameters(entry, found, request)
    arrays = _data.load("--data", request.data)
    keep_compiled_code()
    problem = _build.problem(entry, found, parameters, arrays)
    question = Question(entry.slug, request.data, parameters)
    return Asked(request, entry, problem, question)
