"""The method's side of the contract: four verbs, and defaults for the rest."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._arrays import is_concrete, to_numpy
from ._claim import CONVERGED, Claim, Outcome, Withheld
from ._errors import InvalidArgument


class AbstractMethod(eqx.Module):
    """An immutable set of options and the steps that they configure.

    `init`, `step`, `done`, `finish` and `observe` are compiled by the driver and must
    be pure; `restage`, `outcome` and `claims` run on the host. The tree structure of a
    state never changes: sizes live in array shapes, the stage in an integer array. So
    a checkpoint can be restored by name.
    """

    host: ClassVar[bool] = False
    """True: the steps run in plain Python and NumPy (a conic solver, a queue)."""

    def __check_init__(self) -> None:
        if is_concrete(self):
            self.validate()

    def validate(self) -> None:
        """Checks the options. Raises `InvalidMethod`."""

    @abc.abstractmethod
    def init(self, problem: Any, key: Any) -> Any:
        """The state before the first step."""

    @abc.abstractmethod
    def step(self, problem: Any, state: Any) -> Any:
        """One step. A step that lacked room returns its state unchanged and says so."""

    @abc.abstractmethod
    def done(self, problem: Any, state: Any) -> Any:
        """Whether the current stage is over. Must hold for NaN."""

    @abc.abstractmethod
    def finish(self, problem: Any, state: Any) -> Any:
        """The answer that the state stands for."""

    def observe(self, problem: Any, state: Any) -> dict[str, Any]:
        """Scalars to record after each step."""
        del problem, state
        return {}

    def restage(self, problem: Any, state: Any) -> Any | None:
        """Once `done` holds: the next stage's state (other shapes allowed), or None."""
        del problem, state
        return None

    def outcome(self, problem: Any, state: Any) -> Outcome:
        """Why the method stopped by itself."""
        del problem, state
        return CONVERGED

    def warm_start(self, problem: Any, value: Any, key: Any) -> Any:
        """The state before the first step, from an earlier answer to a like problem."""
        del problem, value, key
        got = f"a start for {type(self).__name__}, which has no use for one"
        raise InvalidArgument("solve.start", "None", got)

    def claims(
        self, problem: Any, value: Any, state: Any, trace: Mapping[str, np.ndarray]
    ) -> tuple[Claim | Withheld, ...]:
        """What only the run itself shows: rates, descent, regret."""
        del problem, value, state, trace
        return ()

    def citations(self) -> tuple[str, ...]:
        """Keys in `references.bib` behind the configuration actually used."""
        return ()

    def to_arrays(self, state: Any) -> dict[str, np.ndarray]:
        """The state as named arrays, for a checkpoint."""
        leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(state, eqx.is_array))
        return {jax.tree_util.keystr(p): to_numpy(leaf) for p, leaf in leaves}

    def from_arrays(self, problem: Any, arrays: Mapping[str, np.ndarray]) -> Any:
        """Inverse of `to_arrays`."""
        like = eqx.filter_eval_shape(self.init, problem, jax.random.key(0))

        def restore(path: Any, leaf: Any) -> Any:
            if not isinstance(leaf, jax.ShapeDtypeStruct):
                return leaf
            array = jnp.asarray(arrays[jax.tree_util.keystr(path)])
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return jax.random.wrap_key_data(array)
            return array

        return jax.tree_util.tree_map_with_path(restore, like)
