"""The catalogue's page on block coordinate descent: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_KIND = "optimize.composite/1"

_PROBLEM = Problem(
    "CompositeProblem",
    _KIND,
    "smooth loss plus separable penalty: regression, classification, quadratics",
    (
        Data(
            "design", "A, one row per observation, (m, features); .mtx if sparse", False
        ),
        Data(
            "target", "y, (m,): numbers, labels -1 and 1, or classes 0, 1, ...", False
        ),
        Data(
            "operator",
            "H of a quadratic loss, (n, n), symmetric; .mtx if sparse",
            False,
        ),
        Data("linear", "b of a quadratic loss, (n,)", False),
        Data(
            "strength",
            "one penalty per coefficient, (n,), instead of one number",
            False,
        ),
        Data(
            "l2", "one ridge term per coefficient, (n,), instead of one number", False
        ),
        Data("lower", "one lower bound per coefficient, (n,)", False),
        Data("upper", "one upper bound per coefficient, (n,)", False),
    ),
    (
        Option(
            "loss",
            "'least_squares' | 'logistic' | 'softmax' | 'quadratic'",
            "",
            "what is minimised",
        ),
        Option(
            "penalty",
            "'unpenalised' | 'l1' | 'non_negative' | 'non_negative_l1' | 'box' | None",
            "None",
            "what is added; None: nothing",
        ),
        Option("strength", "float | None", "None", "of l1 and non_negative_l1, >= 0"),
        Option("l2", "float", "0.0", "ridge term of logistic and softmax, >= 0"),
        Option("lower", "float | None", "None", "lower bound of box"),
        Option("upper", "float | None", "None", "upper bound of box"),
        Option(
            "classes",
            "int | None",
            "None",
            "of softmax; left out: as many as labels show",
        ),
        Option(
            "columns",
            "int | None",
            "None",
            "of a sparse design; left out: the last one used",
        ),
        Option("gap_tol", "float", "1e-08", "F(x) - min F allowed, as a share of F(0)"),
        Option(
            "stationarity_tol",
            "float | None",
            "None",
            "KKT residual allowed, as a share of the first; None: not asked for",
        ),
    ),
)


def _sized(name: str, about: str, *more: Option) -> Method:
    size = Option("size", "int", "50", "coordinates in a block, >= 1")
    return Method(name, about, (), (size, *more))


_COLOURS = Option(
    "colours", "list[int] | None", "None", "one number per variable; None: found here"
)
_PARTS = (
    _sized("OrderedBlocks", "consecutive coordinates"),
    _sized("SortedBlocks", "blocks of similar Lipschitz constants"),
    _sized("AveragedBlocks", "smallest and largest constants in turn"),
    _sized("RowSumSortedBlocks", "blocks of similar row sums of |H|"),
    _sized("RowSumAveragedBlocks", "smallest and largest row sums in turn"),
    Method(
        "GivenBlocks",
        "the user's own blocks",
        (),
        (Option("groups", "list[list[int]]", "", "each coordinate in exactly one"),),
    ),
    _sized(
        "VariableBlocks",
        "any coordinates, chosen anew at every step",
        Option(
            "largest",
            "int | None",
            "None",
            "blocks double up to this size while the support fills more than half of "
            "one; None: they stay as they are",
        ),
    ),
    Method("RedBlackBlocks", "sets without coupled variables", (), (_COLOURS,)),
    Method("TreePartition", "few forests that cover the graph", (), (_COLOURS,)),
    Method("GreedyForest", "a maximal forest at every step", ()),
    Method("RandomSelection", "any block, all equally likely", ()),
    Method("CyclicSelection", "one block after the other", ()),
    Method("LipschitzSampling", "at random, in proportion to L_b", ()),
    Method("GS", "the largest ||g_b||", ()),
    Method("GSL", "the largest ||g_b||^2 / L_b", ()),
    Method(
        "GSD",
        "the largest sum of g_i^2 / D_i",
        (),
        (
            Option(
                "bound",
                "SizeBound | RowSumBound | CoordinateBound",
                "SizeBound()",
                "which D",
            ),
        ),
    ),
    Method("SizeBound", "D_i = L_i size: always valid", ()),
    Method("RowSumBound", "D_i >= sum_j |H_ij|", ()),
    Method("CoordinateBound", "D_i = L_i, a heuristic", ()),
    Method(
        "GSQ",
        "the largest g_b^T H_b^-1 g_b",
        (),
        (
            Option(
                "approximation",
                "HardThresholding | TopDiagonal | Exhaustive",
                "HardThresholding()",
                "for variable blocks",
            ),
        ),
    ),
    Method(
        "HardThresholding",
        "iterative hard thresholding",
        (),
        (Option("steps", "int", "10", "iterations"),),
    ),
    Method("TopDiagonal", "the largest g_i^2 / L_i", ()),
    Method("Exhaustive", "all blocks, up to 20 variables", ()),
    Method("MaximumImprovement", "the block that lowers the objective most", ()),
    Method("GradientUpdate", "d = -g_b / L_b", ()),
    Method("BacktrackingUpdate", "L doubled until the step descends", ()),
    Method("MatrixUpdate", "d = -H_b^-1 g_b", ()),
    Method("ExactUpdate", "the minimiser over the block of a quadratic", ()),
    Method("NewtonUpdate", "Newton's step with an Armijo search", ()),
    Method("ProximalGradientUpdate", "the model with L_b, any penalty", ()),
    Method(
        "ProximalNewtonUpdate",
        "the model with the block's Hessian, any penalty",
        (),
        (Option("rtol", "float", "1e-12", "to which the block's model is minimised"),),
    ),
    Method("TwoMetricUpdate", "Newton on the free coordinates, then projection", ()),
)
_PARTITIONS = (
    "OrderedBlocks | SortedBlocks | AveragedBlocks | RowSumSortedBlocks | "
    "RowSumAveragedBlocks | GivenBlocks | VariableBlocks | RedBlackBlocks | "
    "TreePartition | GreedyForest"
)
_SELECTIONS = (
    "RandomSelection | CyclicSelection | LipschitzSampling | GS | GSL | GSD | GSQ | "
    "MaximumImprovement"
)
_UPDATES = (
    "GradientUpdate | BacktrackingUpdate | MatrixUpdate | ExactUpdate | NewtonUpdate | "
    "ProximalGradientUpdate | ProximalNewtonUpdate | TwoMetricUpdate"
)
_DESCENT = Method(
    "BlockCoordinateDescent",
    "moves a block of coordinates at a time",
    (_KIND,),
    (
        Option("partition", _PARTITIONS, "VariableBlocks()", "how blocks are formed"),
        Option("select", _SELECTIONS, "GSD()", "which block is next"),
        Option("update", _UPDATES, "ProximalNewtonUpdate()", "how it is moved"),
        Option("refresh", "int", "200", "steps after which A x is computed anew"),
        Option(
            "whole_support",
            "int | None",
            "0",
            "the block holds the whole support once that has stood still for so many "
            "steps; None: never",
        ),
        Option("record", "int", "8", "steps kept as witnesses of the run's claims"),
        Option(
            "residual_rtol",
            "float | None",
            "None",
            "goes on to this share of the first KKT residual; None: to the promise",
        ),
    ),
)

_BLOCK_COORDINATE = Entry(
    slug="optimize-block-coordinate",
    title="Block coordinate descent",
    question="How do I fit a large model when touching a few coefficients is cheap?",
    paper=Paper(
        key="nutini2022block",
        title="Let's Make Block Coordinate Descent Converge Faster: Faster Greedy "
        "Rules, Message-Passing, Active-Set Complexity, and Superlinear Convergence",
        authors="J. Nutini, I. Laradji, M. Schmidt",
        venue="JMLR 23(131), 2022",
        arxiv="1712.08859",
    ),
    problems=(_PROBLEM,),
    methods=(_DESCENT,),
    parts=_PARTS,
    claims=(
        ClaimEntry(
            "optimize.value_enclosure/1",
            "no point is better by more than the gap",
            "nothing bounds a coordinate: rank-deficient without penalty",
        ),
        ClaimEntry(
            "optimize.support/1",
            "coordinates are shown to be zero, or not zero, in every minimiser",
            "the penalty makes no coordinate zero, or the gap decides none",
        ),
        ClaimEntry(
            "optimize.stationarity/1",
            "the KKT residual is small",
            "not asked for: stationarity_tol",
        ),
        ClaimEntry("optimize.progress/1", "recorded steps gain what theory promises"),
        ClaimEntry(
            "optimize.linear_rate/1",
            "the objective falls by the promised factor",
            "not a positive definite quadratic, or no rule with a rate",
        ),
        ClaimEntry(
            "optimize.rule_order/1",
            "GSQ's block is promised no less than those of GSL, GSD and GS",
            "blocks are not fixed",
        ),
        ClaimEntry(
            "optimize.forest/1", "blocks are forests, solved", "blocks are no forests"
        ),
        ClaimEntry(
            "optimize.active_set_complexity/1",
            "the support is found within the steps that theory promises",
            "no strict complementarity was shown",
        ),
        ClaimEntry(
            "optimize.finite_termination/1",
            "the answer is exact soon after its support is found",
            "the support does not fit a block, or the loss is no quadratic",
        ),
    ),
    example="lemmata.optimize._example_block_coordinate:block_coordinate",
    study="lemmata.studies.optimize_block_coordinate",
    benchmark="optimize_block_coordinate.py",
)

ENTRIES = (_BLOCK_COORDINATE,)
