"""Streams: many related systems, one step each.

A stream is a problem whose `system(index, previous)` is pure: the next right-hand side
may need the last solution. A one-shot iterator is wrapped as `Recorded`, which writes
each system down before it is handed out, so that a run can be killed and resumed.
"""

import abc
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import InvalidArgument, UnreadableFile
from ._problem import AbstractProblem


class AbstractStream(AbstractProblem):
    """A problem made of `length` systems, solved one per step."""

    @property
    @abc.abstractmethod
    def length(self) -> int:
        """Number of systems."""

    @abc.abstractmethod
    def system(self, index: Any, previous: Any) -> Any:
        """System `index`, given the solution of the one before (None at the start)."""


class Recorded:
    """A one-shot iterator of named arrays, logged to numbered files.

    **Arguments:**

    - `systems`: yields one mapping of names to arrays per system; read once, in order.
    - `folder`: where `system-000000.npz` and `solution-000000.npz` go. Systems found
      there are replayed, so a resumed run sees the same ones; the iterator is asked
      only for those that follow and must start where the files end.
    """

    def __init__(
        self,
        systems: Iterable[Mapping[str, np.ndarray]],
        folder: str | os.PathLike[str],
    ):
        self._systems = iter(systems)
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._recorded = len(list(self._folder.glob("system-*.npz")))

    @property
    def recorded(self) -> int:
        """How many systems have been written down."""
        return self._recorded

    def system(self, index: int) -> dict[str, np.ndarray] | None:
        """System `index`, or None where the iterator has ended.

        **Raises:** `InvalidArgument` if systems would be skipped.
        """
        while index >= self.recorded:
            if index > self.recorded:
                expected = f"the next index, {self.recorded}"
                raise InvalidArgument("Recorded.system", expected, index)
            following = next(self._systems, None)
            if following is None:
                return None
            self._write("system", index, following)
            self._recorded += 1
        return self._read("system", index)

    def keep(self, index: int, solution: Mapping[str, np.ndarray]) -> None:
        """Writes solution `index` to its numbered file."""
        self._write("solution", index, solution)

    def solution(self, index: int) -> dict[str, np.ndarray]:
        """Solution `index`, as kept."""
        return self._read("solution", index)

    def _path(self, kind: str, index: int) -> Path:
        return self._folder / f"{kind}-{index:06d}.npz"

    def _write(self, kind: str, index: int, arrays: Mapping[str, np.ndarray]) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._folder, suffix="~")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, allow_pickle=False, **_plain(arrays))
            os.replace(temporary, self._path(kind, index))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _read(self, kind: str, index: int) -> dict[str, np.ndarray]:
        path = self._path(kind, index)
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (OSError, ValueError) as error:
            raise UnreadableFile(f"{path}: not a readable record ({error}).") from error


def _plain(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: np.asarray(array) for name, array in arrays.items()}
