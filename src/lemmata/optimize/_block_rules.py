"""Which partitions, selections and updates go together, and why the others do not."""

import math
from collections.abc import Iterator
from typing import Any

from ..core import InvalidMethod
from ._block_search import is_quadratic
from ._block_updates import (
    AbstractUpdate,
    BacktrackingUpdate,
    ExactUpdate,
    GradientUpdate,
    MatrixUpdate,
    NewtonUpdate,
    ProximalGradientUpdate,
    ProximalNewtonUpdate,
    TwoMetricUpdate,
)
from ._losses import LeastSquares, Logistic, Quadratic, Softmax
from ._partitions import (
    AbstractPartition,
    AveragedBlocks,
    GivenBlocks,
    GreedyForest,
    OrderedBlocks,
    RedBlackBlocks,
    RowSumAveragedBlocks,
    RowSumSortedBlocks,
    SortedBlocks,
    TreePartition,
    VariableBlocks,
)
from ._penalties import Unpenalised
from ._selection_parts import EXHAUSTIVE
from ._selections import (
    GS,
    GSD,
    GSL,
    GSQ,
    AbstractSelection,
    CyclicSelection,
    LipschitzSampling,
    MaximumImprovement,
    RandomSelection,
)

PARTITIONS: tuple[type[AbstractPartition], ...] = (
    OrderedBlocks,
    SortedBlocks,
    AveragedBlocks,
    RowSumSortedBlocks,
    RowSumAveragedBlocks,
    GivenBlocks,
    VariableBlocks,
    RedBlackBlocks,
    TreePartition,
    GreedyForest,
)
SELECTIONS: tuple[type[AbstractSelection], ...] = (
    RandomSelection,
    CyclicSelection,
    LipschitzSampling,
    GS,
    GSL,
    GSD,
    GSQ,
    MaximumImprovement,
)
UPDATES: tuple[type[AbstractUpdate], ...] = (
    GradientUpdate,
    BacktrackingUpdate,
    MatrixUpdate,
    NewtonUpdate,
    ExactUpdate,
    ProximalGradientUpdate,
    ProximalNewtonUpdate,
    TwoMetricUpdate,
)


def objection(
    partition: AbstractPartition | type[AbstractPartition],
    select: AbstractSelection | type[AbstractSelection],
    update: AbstractUpdate | type[AbstractUpdate],
    *,
    composite: bool,
) -> tuple[str, str] | None:
    """The option that does not fit the others and what would, or None.

    **Arguments:** instances or types; `composite`: whether there is a penalty.
    """
    blocks: Any = partition if isinstance(partition, type) else type(partition)
    rule: Any = select if isinstance(select, type) else type(select)
    step: Any = update if isinstance(update, type) else type(update)
    if composite and not step.composite:
        return "update", "one that handles a penalty, such as ProximalNewtonUpdate()"
    if blocks.forests and not step.forests:
        return "update", f"one without a dense H_b, as {blocks.__name__} is large"
    if blocks is GreedyForest and not step.inverses:
        return "update", "MatrixUpdate() or ExactUpdate() with GreedyForest"
    if blocks is GreedyForest and rule in (CyclicSelection, GSQ, MaximumImprovement):
        return "select", "a rule that scores single coordinates with GreedyForest"
    if rule is GSQ and composite:
        return "select", "GSD() or MaximumImprovement() where there is a penalty"
    return None


def validity_table() -> Iterator[tuple[str, str, str, str, str]]:
    """Rows (partition, select, update, problem, verdict) for every combination.

    The verdict is "valid" or what is expected instead. Exhaustive searches over
    variable blocks (`MaximumImprovement`, `GSQ(Exhaustive())`) are valid up to 20
    variables; `ExactUpdate` needs a quadratic loss; blocks from a graph need a loss
    other than `Softmax`.
    """
    for composite in (False, True):
        for partition in PARTITIONS:
            for select in SELECTIONS:
                for update in UPDATES:
                    found = objection(partition, select, update, composite=composite)
                    yield (
                        partition.__name__,
                        select.__name__,
                        update.__name__,
                        "penalised" if composite else "smooth",
                        "valid" if found is None else f"{found[0]}: {found[1]}",
                    )


def check_combination(problem: Any, method: Any) -> None:
    """Raises `InvalidMethod` naming the option, before the first step."""
    loss, n = problem.loss, problem.loss.variables
    partition, select, update = method.partition, method.select, method.update
    partition.check(n)
    composite = not isinstance(problem.penalty, Unpenalised)
    found = objection(partition, select, update, composite=composite)
    if found is not None:
        option, expected = found
        refuse(option, expected, type(getattr(method, option)).__name__)
    if update.quadratic and not is_quadratic(loss):
        expected = "NewtonUpdate() or MatrixUpdate(), as the loss is not quadratic"
        refuse("update", expected, type(update).__name__)
    if partition.static and not isinstance(loss, LeastSquares | Logistic | Quadratic):
        expected = f"no blocks from a graph with {type(loss).__name__}, which is dense"
        refuse("partition", expected, type(partition).__name__)
    if looks_at_all(partition, select) and n > EXHAUSTIVE:
        expected = f"at most {EXHAUSTIVE} variables, as all variable blocks are tried"
        count = math.comb(n, blocks_size(partition))
        refuse("select", expected, f"{n}, with {count:.1e} blocks")
    if isinstance(loss, Softmax) and isinstance(update, ExactUpdate):
        refuse("update", "MatrixUpdate() with Softmax", "ExactUpdate")


def looks_at_all(partition: AbstractPartition, select: AbstractSelection) -> bool:
    """Whether all blocks of a size are listed."""
    if not isinstance(partition, VariableBlocks):
        return False
    exhaustive = isinstance(select, GSQ) and select.approximation.exact
    return exhaustive or isinstance(select, MaximumImprovement)


def blocks_size(partition: AbstractPartition) -> int:
    return partition.size if isinstance(partition, VariableBlocks) else 0


def refuse(option: str, expected: str, got: Any) -> None:
    raise InvalidMethod(f"BlockCoordinateDescent.{option}", expected, got)
