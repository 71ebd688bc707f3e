"""Layers of networks on grids: convolutions, residual pairs, pooling, up-sampling.

Source: Kaneda et al., ICML 2023 (arXiv 2205.10763); Glorot and Bengio, AISTATS 2010,
for the first weights.
"""

import itertools
import math
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..core import AnyArray, float64, is_concrete


@final
class Convolution(eqx.Module):
    """Kernel of width 3 (or 1), zero padding to the same size, channels last.

    **Fields:**

    - `weight`: shape `(k,) * dim + (inputs, outputs)`, float32.
    - `bias`: shape `(outputs,)`, float32, or None.
    """

    weight: Float[AnyArray, "..."]
    bias: Float[AnyArray, " outputs"] | None

    def __call__(self, x: Any) -> Any:
        """`(batch, ..., inputs)` to `(batch, ..., outputs)`."""
        found = self._linear(x, jnp.asarray(self.weight, x.dtype))
        return found if self.bias is None else found + jnp.asarray(self.bias, x.dtype)

    def _linear(self, x: Any, weight: Any) -> Any:
        if weight.shape[0] == 1:
            return x @ weight.reshape(weight.shape[-2:])
        if weight.ndim == 5:
            # Three planes side by side as channels: one plane convolution, which XLA
            # runs five times faster on a CPU than the same thing in space.
            depth, shape = x.shape[1], x.shape
            padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
            planes = [padded[:, k : k + depth] for k in range(3)]
            x = jnp.concatenate(planes, axis=-1).reshape(-1, *shape[2:-1], 3 * shape[4])
            weight = jnp.moveaxis(weight, 0, 2).reshape(3, 3, -1, weight.shape[-1])
            return _plane(x, weight).reshape(*shape[:-1], -1)
        return _plane(x, weight)


@jax.custom_vjp
def _plane(x: Any, weight: Any) -> Any:
    """Convolution in the plane. Its derivative in the weight is written as products of
    matrices: XLA's own runs ten times slower on a CPU.
    """
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, weight, (1, 1), "SAME", dimension_numbers=names
    )


def _plane_forward(x: Any, weight: Any) -> Any:
    return _plane(x, weight), (x, weight)


def _plane_backward(kept: Any, cotangent: Any) -> Any:
    x, weight = kept
    mirrored = jnp.flip(weight, (0, 1)).swapaxes(2, 3)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width, inputs = x.shape[1:]
    columns = cotangent.reshape(-1, weight.shape[3])
    parts = []
    for i, j in itertools.product(range(3), repeat=2):
        window = padded[:, i : i + height, j : j + width]
        parts.append(window.reshape(-1, inputs).T @ columns)
    return _plane(cotangent, mirrored), jnp.stack(parts).reshape(weight.shape)


_plane.defvjp(_plane_forward, _plane_backward)


def level_depths(
    depths: tuple[int, int, int], levels: int, level: int
) -> tuple[int, int, int]:
    """Convolutions before pooling, at the coarsest level, and after up-sampling."""
    if 0 < level < levels:
        return _half(depths[0]), 0, _half(depths[2])
    return depths


def _half(count: int) -> int:
    return 2 * math.ceil(count / 4)


def weight_shapes(
    dim: int, channels: int, levels: int, depths: tuple[int, int, int]
) -> list[tuple[int, ...]]:
    """Shapes of the weights, in the order in which the layers are applied."""
    down, up = 0, 0
    for level in range(levels):
        before, _, after = level_depths(depths, levels, level)
        down, up = down + before, up + after
    kernel = (3,) * dim
    inner = [(*kernel, channels, channels)] * (down + depths[1] + up)
    return [(*kernel, 1, channels), *inner, (*(1,) * dim, channels, 1)]


def glorot(
    key: Any, shapes: list[tuple[int, ...]], bias: bool
) -> tuple[Convolution, ...]:
    """Glorot's uniform weights, biases 0; NumPy unless the key is traced."""
    layers = []
    with float64():
        key = jax.random.key(key) if isinstance(key, int) else key
        for part, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True):
            fans = math.prod(shape[:-2]) * (shape[-2] + shape[-1])
            limit = np.float32(math.sqrt(6.0 / fans))
            weight = jax.random.uniform(part, shape, jnp.float32, -limit, limit)
            zeros = jnp.zeros(shape[-1], jnp.float32) if bias else None
            layers.append(Convolution(weight, zeros))
    made = tuple(layers)
    return jax.tree.map(np.asarray, made) if is_concrete(made) else made


def pairs(x: Any, layers: Any, count: int) -> Any:
    """Residual pairs of convolutions, `count` in all."""
    for _ in range(count // 2):
        inner = jax.nn.relu(next(layers)(x))
        x = jax.nn.relu(next(layers)(inner)) + x
    return x


def pool(x: Any, dim: int) -> Any:
    """Means over blocks of two in each axis; sizes are even."""
    pairs = itertools.chain.from_iterable((s // 2, 2) for s in x.shape[1:-1])
    blocks = x.reshape(x.shape[0], *pairs, x.shape[-1])
    return blocks.mean(axis=tuple(range(2, 2 * dim + 1, 2)))


def repeat(x: Any, dim: int) -> Any:
    """Every cell twice along each axis."""
    for axis in range(1, dim + 1):
        x = jnp.repeat(x, 2, axis=axis)
    return x
