"""The answer to a sparsity-constrained transport problem: a view over its non-zeros."""

from typing import Any, final

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from ..core import AbstractValue, AnyArray, TooLarge

_DENSE_LIMIT = 50_000_000  # entries


@final
class SparsePlan(AbstractValue):
    """A transport plan with few non-zeros, the selection plan, and both potentials.

    **Fields:**

    - `rows`, `columns`, `mass`: entries of the returned plan, (e,); zeros may occur.
    - `selection_rows`, `selection_columns`, `selection_mass`: entries of T(alpha), the
      plan that the potential selects: a global optimum for its own row sums.
    - `alpha` (m,), `beta` (n,): potentials of rows and columns, in units of the cost;
      T_ij = [alpha_i + beta_j - C_ij]_+ / gamma on the entries selected.
    - `objective`: <C, T> + gamma/2 |T|^2 of the returned plan.
    - `dual_value`: D, a lower bound on the optimum.
    """

    rows: Int[AnyArray, " e"]
    columns: Int[AnyArray, " e"]
    mass: Float[AnyArray, " e"]
    selection_rows: Int[AnyArray, " s"]
    selection_columns: Int[AnyArray, " s"]
    selection_mass: Float[AnyArray, " s"]
    alpha: Float[AnyArray, " m"]
    beta: Float[AnyArray, " n"]
    objective: Float[AnyArray, ""]
    dual_value: Float[AnyArray, ""]

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): sources, targets."""
        return self.alpha.shape[0], self.beta.shape[0]

    def sparse(self) -> sp.csr_array:
        """The returned plan as a SciPy CSR array, (m, n), without explicit zeros."""
        return self._csr("")

    def selection(self) -> sp.csr_array:
        """The selection plan T(alpha) as a SciPy CSR array, (m, n)."""
        return self._csr("selection_")

    @property
    def plan(self) -> sp.csr_array:
        """The returned plan; the same as `sparse()`."""
        return self.sparse()

    @property
    def support(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the non-zeros, sorted by column, then row."""
        rows, columns, _ = self._entries("")
        return rows, columns

    def dense(self) -> np.ndarray:
        """The returned plan as an array (m, n).

        **Raises:** `TooLarge` above 50 million entries; use `sparse()`.
        """
        m, n = self.shape
        if m * n > _DENSE_LIMIT:
            raise TooLarge(f"a plan of {m} x {n} entries; use sparse() instead")
        return self.sparse().toarray()

    def __matmul__(self, other: Any) -> Any:
        return self.sparse() @ other

    def pack(self) -> dict[str, np.ndarray]:
        """COO without zeros, sorted by column, then row; potentials and both values."""
        packed: dict[str, np.ndarray] = {}
        for prefix in ("", "selection_"):
            rows, columns, mass = self._entries(prefix)
            packed |= {
                f"{prefix}rows": rows,
                f"{prefix}columns": columns,
                f"{prefix}mass": mass,
            }
        for name in ("alpha", "beta", "objective", "dual_value"):
            packed[name] = np.asarray(getattr(self, name), dtype="<f8")
        return packed

    def uncertified(self) -> tuple[str, ...]:
        """`objective` and `dual_value` are recomputed by the judge, not believed."""
        return ("objective", "dual_value", "beta")

    def _entries(self, prefix: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, columns, mass = (
            np.asarray(getattr(self, f"{prefix}{name}"))
            for name in ("rows", "columns", "mass")
        )
        order = np.lexsort((rows, columns))
        order = order[mass[order] > 0]
        return (
            np.ascontiguousarray(rows[order], dtype="<i8"),
            np.ascontiguousarray(columns[order], dtype="<i8"),
            np.ascontiguousarray(mass[order], dtype="<f8"),
        )

    def _csr(self, prefix: str) -> sp.csr_array:
        rows, columns, mass = self._entries(prefix)
        return sp.csr_array((mass, (rows, columns)), shape=self.shape)
