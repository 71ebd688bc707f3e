"""The catalogue's page on networks that propose search directions: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

from ._entry_common import CLAIMS, GRID, KINDS, METHODS, PARTS, RTOL

_TRAINING = "linear.direction_training/1"
_ARCHITECTURE = (
    Option("channels", "int", "16", "width of the network"),
    Option("levels", "int", "3", "how often the resolution is halved (the paper: 1)"),
    Option(
        "depths",
        "tuple[int, ...]",
        "(4, 6, 4)",
        "convolutions before pooling, at the coarsest level, after up-sampling",
    ),
    Option("bias", "bool", "False", "layers with biases, as the paper's"),
)

_PROBLEMS = (
    Problem(
        "GridPoisson",
        GRID,
        "the pressure equation on a grid of fluid, air and solid cells",
        (
            Data("cells", "0 air, 1 fluid, 2 solid; shape (n1, n2) or (n1, n2, n3)"),
            Data("rhs", "right-hand side of the same shape, zero off the fluid"),
        ),
        (Option("spacing", "float", "1.0", "side of a cell"), RTOL),
    ),
    Problem(
        "DirectionTraining",
        _TRAINING,
        "a network whose direction for a residual is near A^{-1} times it",
        (
            Data("cells", "the grid to train on, as for GridPoisson"),
            Data("vectors", "right-hand sides to learn from, shape (count, cells)"),
            Data("validation", "others to judge by, shape (kept, cells)"),
        ),
        (
            *_ARCHITECTURE,
            Option("loss_tol", "float", "0.1", "loss allowed on `validation`"),
        ),
    ),
)

_NETWORKS = "PretrainedDirections | SavedDirections | ResidualDirections"
_NETWORK = Option(
    "network",
    f"{_NETWORKS} | DirectionNetwork",
    "PretrainedDirections()",
    "what proposes directions",
)
_NORMALISE = Option("normalise", "bool", "True", "the network sees r / ||r||")
_SHAPE = Option(
    "grid",
    "tuple[int, ...] | None",
    "None",
    "shape of the unknowns, for a problem that has no grid of its own",
)
_MAX_STEPS = Option("max_steps", "int", "1000", "steps after which it gives up")

_METHODS = (
    Method(
        "DeepConjugateDirection",
        "steps along a network's directions, conjugated to the last ones",
        KINDS,
        (
            _NETWORK,
            Option("window", "int", "2", "directions that the next is conjugate to"),
            _NORMALISE,
            _SHAPE,
            _MAX_STEPS,
        ),
    ),
    Method(
        "TrainDirections",
        "stochastic gradient steps on the network",
        (_TRAINING,),
        (
            Option("optimizer", "Adam", "Adam()", "the rule, or one of optax's"),
            Option("steps", "int", "600", "batches taken"),
            Option("batch", "int", "10", "right-hand sides in a batch"),
            Option("single", "bool", "True", "compute in float32"),
            Option(
                "sizes",
                "tuple[int, ...]",
                "()",
                "factors by which the grid grows in a test afterwards, from 1",
            ),
        ),
    ),
    Method(
        "FlexibleDirections",
        "flexible conjugate gradients with the network as preconditioner",
        KINDS,
        (_NETWORK, _NORMALISE, _SHAPE, _MAX_STEPS),
        baseline=True,
    ),
    Method(
        "NetworkOnly",
        "the network's answer to the right-hand side, and nothing after it",
        KINDS,
        (_NETWORK, _NORMALISE, _SHAPE),
        baseline=True,
    ),
    Method(
        "DeflatedPCG",
        "conjugate gradients deflated by the lowest Ritz vectors",
        KINDS,
        (
            Option("vectors", "int", "16", "Ritz vectors"),
            Option("krylov", "int | None", "None", "Lanczos steps; None: 8 vectors"),
            Option(
                "preconditioner", "Jacobi | Identity", "Jacobi()", "one that is ready"
            ),
        ),
        baseline=True,
    ),
    *METHODS,
)

_OWN_PARTS = (
    Method("PretrainedDirections", "the plane's network that ships", ()),
    Method(
        "SavedDirections",
        "a network in a file",
        (),
        (Option("path", "str", "", "written by DirectionNetwork.save"),),
    ),
    Method("ResidualDirections", "the residual: conjugate gradients", ()),
    Method(
        "DirectionNetwork",
        "an untrained network",
        (),
        (
            Option("dim", "int", "2", "axes of the grid, 2 or 3"),
            *_ARCHITECTURE,
            Option("key", "int", "0", "of the first weights"),
        ),
    ),
    Method(
        "Adam",
        "Adam's rule",
        (),
        (
            Option("learning_rate", "float", "0.002", "> 0"),
            Option("decay", "bool", "True", "to zero along half a cosine"),
        ),
    ),
)

_OWN_CLAIMS = (
    ClaimEntry(
        "linear.energy_descent/1",
        "the error's energy never grew, and fell by what the steps say",
        "no step was taken",
    ),
    ClaimEntry(
        "linear.conjugacy/1",
        "the last directions are conjugate in pairs",
        "the window is 0, or there are more than a million unknowns",
    ),
    ClaimEntry(
        "linear.contraction/1",
        "the error's energy norm shrank at least as the steps' angles guarantee",
        "the least eigenvalue is not bounded, or the angles guarantee nothing",
    ),
    ClaimEntry(
        "linear.validation_loss/1",
        "the trained network's loss on vectors kept from training",
        "the grid is too large for the judge to evaluate the network",
    ),
    ClaimEntry(
        "linear.size_independence/1",
        "larger grids take few more steps than the size of training",
        "not asked for: TrainDirections(sizes=(1, 2, 4)) makes it",
    ),
)

ENTRIES = (
    Entry(
        slug="linear-deep-conjugate-direction",
        title="Deep conjugate directions",
        question="How do I solve Poisson's equation on changing domains all day?",
        paper=Paper(
            key="kaneda2023dcdm",
            title="A Deep Conjugate Direction Method for Iteratively Solving Linear "
            "Systems",
            authors="A. Kaneda, O. Akar, J. Chen, V. Kala, D. Hyde, J. Teran",
            venue="ICML 2023",
            arxiv="2205.10763",
        ),
        problems=_PROBLEMS,
        methods=_METHODS,
        parts=(*_OWN_PARTS, *PARTS),
        claims=(*CLAIMS, *_OWN_CLAIMS),
        example="lemmata.linear._example_deep_conjugate_direction:directions",
        study="lemmata.studies.linear_deep_conjugate_direction",
        benchmark="linear_deep_conjugate_direction.py",
    ),
)
