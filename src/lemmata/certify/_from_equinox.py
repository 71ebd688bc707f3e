"""An Equinox module (any traceable function of one array) as layer records.

The trace is walked operation by operation. What depends on no input is evaluated; what
is linear becomes a linear node; activations are known by their names. Transpositions
and axes of length one are kept as a view, so that a channels-last average pool is one
node.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core import InvalidArgument
from ..numerics.networks import Network
from ._network_trace import Recorder, Trace, View


def from_equinox(module: Callable[[Any], Any], input_shape: Sequence[int]) -> Network:
    """The network of a trained module.

    Knows dense layers, two-dimensional convolutions, average pools, sums, scales,
    reshapes, concatenation, ReLU, leaky ReLU, sigmoid, tanh, softplus, and the layers
    `GroupSort`, `MaxMin`, `Householder`; normalisation with fixed statistics is folded.

    **Arguments:**

    - `module`: such as `eqx.nn.MLP`; called on one input, without a batch. Put dropout
      and normalisation into inference mode first.
    - `input_shape`: of one input, such as `(3, 32, 32)`.

    **Returns:** the network with every weight lifted to float64 exactly.

    **Raises:** `InvalidArgument`, naming the operation.
    """
    shape = _checked(input_shape)
    with jax.enable_x64(True):
        lifted = jax.tree.map(_lifted, module)
        like = jax.ShapeDtypeStruct(shape, jnp.float64)
        try:
            closed = jax.make_jaxpr(lifted)(like)
        except InvalidArgument:
            raise
        except Exception as error:  # the user's own code: anything can come out of it
            expected = f"a module that takes one input of shape {shape}"
            got = f"{type(error).__name__}: {error}"
            raise InvalidArgument("from_equinox.module", expected, got) from error
        if len(closed.jaxpr.outvars) != 1:
            got = f"{len(closed.jaxpr.outvars)} outputs"
            raise InvalidArgument("from_equinox.module", "one output", got)
        recorder = Recorder(shape)
        trace = Trace(recorder, closed.jaxpr, closed.consts)
        (result,) = trace.run([View(-1, tuple(range(len(shape))), shape)])
    if not isinstance(result, View) or result.node < 0:
        got = "one without layers, or that does not depend on its input"
        raise InvalidArgument("from_equinox.module", "a network", got)
    content, arrays = recorder.finished(result)
    return Network.of(content, arrays)


def _checked(input_shape: Any) -> tuple[int, ...]:
    try:
        shape = tuple(int(n) for n in input_shape)
    except (TypeError, ValueError):
        shape = ()
    if not 1 <= len(shape) <= 4 or any(n < 1 for n in shape):
        expected = "one to four positive sizes, such as (64,)"
        raise InvalidArgument("from_equinox.input_shape", expected, input_shape)
    return shape


def _lifted(leaf: Any) -> Any:
    if not eqx.is_array(leaf):
        return leaf
    dtype = np.asarray(leaf).dtype if isinstance(leaf, np.ndarray) else leaf.dtype
    if jnp.issubdtype(dtype, jnp.floating):
        array = np.asarray(leaf, dtype=np.float64)
        bad = int(np.sum(~np.isfinite(array)))
        if bad:
            got = f"{bad} not finite"
            raise InvalidArgument("from_equinox.module", "finite weights", got)
        return jnp.asarray(array)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise InvalidArgument("from_equinox.module", "real weights", dtype)
    return leaf
