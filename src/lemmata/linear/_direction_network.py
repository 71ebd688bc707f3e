"""Convolutional networks that propose a search direction for a residual on a grid.

Source: Kaneda, Akar, Chen, Kala, Hyde and Teran, ICML 2023 (arXiv 2205.10763), whose
network has one level of pooling. More levels are ours: they lengthen the reach.
"""

import abc
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core import InvalidArgument, UnreadableFile, require
from ._direction_layers import (
    Convolution,
    glorot,
    level_depths,
    pairs,
    pool,
    repeat,
    weight_shapes,
)

FORMAT = "lemmata-directions/1"
SHIPPED = Path(__file__).parent.parent / "data" / "directions_2d.npz"


class AbstractDirections(eqx.Module):
    """Maps a residual on a grid to a direction; nothing about it need be right.

    Called on fields of the grid's shape, zero where a cell is not active, in float32
    unless `exact` says float64.
    """

    exact: ClassVar[bool] = False

    def dimension(self) -> int | None:
        """Number of grid axes that it takes; None for any."""
        return None

    @abc.abstractmethod
    def __call__(self, field: Any) -> Any:
        """The direction, of the field's shape."""


@final
class ResidualDirections(AbstractDirections):
    """The residual itself: conjugate directions are then conjugate gradients."""

    exact: ClassVar[bool] = True

    def __call__(self, field: Any) -> Any:
        return field


@final
class DirectionNetwork(AbstractDirections):
    """A fully convolutional residual network with average pooling; any resolution.

    A linear convolution; pairs of convolutions `b = relu(conv a)`,
    `a = relu(conv b) + a`; pooling by 2; the same at half the resolution; nearest
    up-sampling plus what was there before pooling; pairs; a pointwise linear layer.
    Grids are padded by zeros to a multiple of `2**levels` and cropped afterwards.

    **Fields:**

    - `convolutions`: in the order in which they are applied, float32.
    - `dim`: 2 or 3 grid axes. `channels`: width, >= 1.
    - `levels`: how often the resolution is halved, >= 1 (the paper: 1).
    - `depths`: convolutions before pooling, at the coarsest level, and after
      up-sampling; even. Levels between the first and the coarsest have half as many.
    - `bias`: whether layers have biases, as the paper's do. Without, f(c r) = c f(r)
      for c > 0, so that a unit residual on a larger grid, whose entries are smaller,
      is nothing new.
    """

    convolutions: tuple[Convolution, ...]
    dim: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    levels: int = eqx.field(static=True)
    depths: tuple[int, int, int] = eqx.field(static=True)
    bias: bool = eqx.field(static=True)

    def __init__(
        self,
        dim: int = 2,
        channels: int = 16,
        levels: int = 3,
        depths: tuple[int, int, int] = (4, 6, 4),
        bias: bool = False,
        *,
        key: Any = 0,
    ):
        self.dim, self.channels, self.levels, self.bias = dim, channels, levels, bias
        self.depths = (depths[0], depths[1], depths[2])
        validate_architecture(self, dim, channels, levels, self.depths)
        shapes = weight_shapes(dim, channels, levels, self.depths)
        self.convolutions = glorot(key, shapes, bias)

    def dimension(self) -> int:
        return self.dim

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(array.size for array in self.weights().values())

    def __call__(self, field: Any) -> Any:
        return self.batch(field[None])[0]

    def batch(self, fields: Any) -> Any:
        """Directions of many residuals, shape `(batch, *grid)`."""
        shape = fields.shape[1:]
        multiple = 2**self.levels
        padding = [(0, 0), *((0, -size % multiple) for size in shape)]
        layers = iter(self.convolutions)
        x = next(layers)(jnp.pad(fields, padding)[..., None])
        x = self._level(x, layers, 0)
        x = next(layers)(x)[..., 0]
        return x[(slice(None), *(slice(size) for size in shape))]

    def _level(self, x: Any, layers: Any, level: int) -> Any:
        before, coarsest, after = level_depths(self.depths, self.levels, level)
        if level == self.levels:
            return pairs(x, layers, coarsest)
        x = pairs(x, layers, before)
        below = self._level(pool(x, self.dim), layers, level + 1)
        return pairs(repeat(below, self.dim) + x, layers, after)

    def architecture(self) -> dict[str, Any]:
        """What `weights` alone does not say, as JSON."""
        sizes = {"dim": self.dim, "channels": self.channels, "levels": self.levels}
        return sizes | {"depths": list(self.depths), "bias": self.bias}

    def weights(self) -> dict[str, np.ndarray]:
        """Every array by name, `weight_00`, ... and `bias_00`, ...; float32."""
        arrays = {}
        for index, layer in enumerate(self.convolutions):
            arrays[f"weight_{index:02d}"] = np.asarray(layer.weight, "<f4")
            if layer.bias is not None:
                arrays[f"bias_{index:02d}"] = np.asarray(layer.bias, "<f4")
        return arrays

    @classmethod
    def of(cls, architecture: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Inverse of `architecture` and `weights`.

        **Raises:** `InvalidArgument` if an array is missing or has another shape.
        """
        network = cls(**architecture)
        layers = []
        for index, layer in enumerate(network.convolutions):
            fields: dict[str, Any] = {"bias": None}
            for name in ("weight", "bias") if network.bias else ("weight",):
                array = arrays.get(f"{name}_{index:02d}")
                wanted = np.shape(getattr(layer, name))
                where = f"DirectionNetwork.{name}_{index:02d}"
                if array is None or np.shape(array) != wanted:
                    got = "nothing" if array is None else f"shape {np.shape(array)}"
                    raise InvalidArgument(where, f"shape {wanted}", got)
                fields[name] = _kept(array)
            layers.append(Convolution(**fields))
        return eqx.tree_at(lambda n: n.convolutions, network, tuple(layers))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes an `.npz` without pickle, from which the same bits are read back."""
        path = Path(path)
        header = {"format": FORMAT} | self.architecture()
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        temporary = path.with_name(path.name + "~")
        with temporary.open("wb") as file:
            arrays: dict[str, Any] = dict(self.weights())
            np.savez_compressed(file, allow_pickle=False, header=text, **arrays)
        os.replace(temporary, path)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what `save` wrote.

        **Raises:** `UnreadableFile`.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                header = json.loads(bytes(archive["header"]))
                arrays = {name: archive[name] for name in archive.files}
            if header.pop("format") != FORMAT:
                raise ValueError("another format")
            return cls.of(header, arrays)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise UnreadableFile(
                f"{path} is not a network that DirectionNetwork.save wrote ({error})."
            ) from error

    def digest(self) -> str:
        """SHA-256 of architecture and weights, in hexadecimal."""
        hasher = hashlib.sha256(json.dumps(self.architecture()).encode())
        for array in self.weights().values():
            hasher.update(array.tobytes())
        return hasher.hexdigest()

    def described(self) -> dict[str, Any]:
        """For certificates and checkpoints: the architecture and a digest."""
        kind = {"kind": type(self).__name__}
        return kind | self.architecture() | {"sha256": self.digest()}


@final
class SavedDirections(AbstractDirections):
    """A network in a file of `DirectionNetwork.save`; for run files and commands.

    **Fields:** `path`, read when a run begins.
    """

    path: str = eqx.field(static=True)

    def dimension(self) -> int:
        return self._network().dim

    def _network(self) -> DirectionNetwork:
        path = Path(self.path)
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        return _read(str(path), stamp)

    def __call__(self, field: Any) -> Any:
        return self._network()(field)

    def described(self) -> dict[str, Any]:
        """The file's network, not only its name."""
        return self._network().described() | {"path": self.path}


@final
class PretrainedDirections(AbstractDirections):
    """The network for the plane that comes with the package.

    Trained on empty 32 x 32 grids by `tools/train_directions.py`, which remakes it.
    """

    def dimension(self) -> int:
        return 2

    def __call__(self, field: Any) -> Any:
        return _read(str(SHIPPED), 0)(field)


@cache
def _read(path: str, stamp: int) -> DirectionNetwork:
    del stamp  # a changed file is another entry of the cache
    return DirectionNetwork.load(path)


def validate_architecture(
    owner: eqx.Module, dim: Any, channels: Any, levels: Any, depths: Any
) -> None:
    """Raises the owner's typed error for sizes that make no network."""
    require(owner, "dim", dim in (2, 3), expected="2 or 3", got=dim)
    require(owner, "channels", channels >= 1, expected=">= 1", got=channels)
    require(owner, "levels", 1 <= levels <= 6, expected="in [1, 6]", got=levels)
    even = len(depths) == 3 and all(d >= 0 and d % 2 == 0 for d in depths)
    expected = "three even counts >= 0"
    require(owner, "depths", even, expected=expected, got=depths)


def _kept(array: Any) -> Any:
    if isinstance(array, jax.Array):
        return array
    return np.array(array, dtype=np.float32)
