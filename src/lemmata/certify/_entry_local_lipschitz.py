"""The catalogue's page on local Lipschitz constants: data only."""

from lemmata.catalogue import ClaimEntry, Data, Entry, Method, Option, Paper, Problem

_LOCAL, _MONOTONE = "certify.local_lipschitz/1", "certify.monotonicity/1"

_DATA = (
    Data("network", "an ONNX file, or the arrays of the records in --option", False),
    Data("lower", "lower corner of the box, one number per input"),
    Data("upper", "upper corner of the box, one number per input"),
    Data("direction", "v of v'f, one number per output, with output=direction", False),
)
_NETWORK = Option(
    "network", "dict | str", "", "layer records; --data network=model.onnx gives them"
)
_SEARCH = Option(
    "search",
    "PointSearch",
    "PointSearch()",
    "how points with a long gradient are sought",
)
_SLOPES = (
    Option(
        "optimize_slopes",
        "bool",
        "False",
        "improve the lower slopes of relaxed ReLUs by projected Adam",
    ),
    Option("slope_steps", "int", "20", "steps of it"),
)

_METHODS = (
    Method(
        "BoundPropagation",
        "linear bounds of the network and of its Jacobian, in one pass",
        (_LOCAL,),
        (*_SLOPES, _SEARCH),
    ),
    Method(
        "BranchAndBound",
        "splits the box by signs of ReLUs until upper and lower bounds meet",
        (_LOCAL,),
        (
            Option(
                "inner", "BoundPropagation", "BoundPropagation()", "the first bound"
            ),
            Option("heuristic", "Area | Babsr", "Area()", "which neuron is split"),
            Option(
                "prune",
                "NoPruning | SignPrograms",
                "NoPruning()",
                "whether sign patterns without a point are dropped",
            ),
            Option("batch_size", "int", "128", "domains bounded at once"),
            Option("max_domains", "int", "200000", "stop after so many"),
            Option(
                "rtol", "float", "0.001", "stop when each bound is so close to attained"
            ),
            Option(
                "fix_preactivation",
                "bool",
                "False",
                "keep the box's bounds on values in domains, but for the split signs",
            ),
        ),
    ),
    Method(
        "ExactEnumeration",
        "the exact constant of a small network: every sign pattern is decided",
        (_LOCAL,),
        (Option("max_domains", "int", "200000", "stop after so many"),),
        baseline=True,
    ),
    Method(
        "RecurJac",
        "the same propagation with constants where a gradient may change its sign",
        (_LOCAL,),
        (_SEARCH,),
        baseline=True,
    ),
    Method(
        "IntervalJacobian",
        "interval arithmetic on the Jacobian",
        (_LOCAL,),
        (_SEARCH,),
        baseline=True,
    ),
    Method(
        "GlobalProduct",
        "product of the layers' operator norms",
        (_LOCAL,),
        (_SEARCH,),
        baseline=True,
    ),
    Method(
        "DerivativeBounds",
        "linear bounds of the Jacobian, for single features",
        (_MONOTONE,),
        _SLOPES,
    ),
)

_TRIED = (Option("tried", "int", "1", "so many best neurons are split for real"),)
_PARTS = (
    Method(
        "PointSearch",
        "random points and corners, then ascent on a smoothed norm",
        (),
        (
            Option(
                "candidates", "int", "16", "points per output, half of them corners"
            ),
            Option("steps", "int", "20", "steps of ascent"),
            Option("sharpness", "float", "10.0", "inverse width of a smoothed kink"),
            Option("step_size", "float", "0.2", "first step, in sides of the box"),
        ),
    ),
    _METHODS[0],
    Method("Area", "area between the envelopes of a product, weighted", (), _TRIED),
    Method("Babsr", "what the intercepts of the envelopes add", (), _TRIED),
    Method("NoPruning", "no sign pattern is tested", ()),
    Method("SignPrograms", "one linear program per domain", ()),
)

_ENTRY = Entry(
    slug="certify-local-lipschitz",
    title="Local Lipschitz constants of networks",
    question="How fast can this network's outputs change within a box?",
    paper=Paper(
        key="shi2022efficiently",
        title="Efficiently Computing Local Lipschitz Constants of Neural Networks via "
        "Bound Propagation",
        authors="Z. Shi, Y. Wang, H. Zhang, J. Z. Kolter, C.-J. Hsieh",
        venue="NeurIPS 2022",
        arxiv="2210.07394",
    ),
    problems=(
        Problem(
            "LocalLipschitz",
            _LOCAL,
            "bound each output's change per unit of the l_inf norm within a box",
            _DATA,
            (
                _NETWORK,
                Option(
                    "output",
                    "int | 'all' | 'direction'",
                    "'all'",
                    "which output; with direction the data of that name",
                ),
                Option(
                    "max_gap",
                    "float | None",
                    "None",
                    "promised ratio of upper bound to attained norm",
                ),
            ),
        ),
        Problem(
            "Monotonicity",
            _MONOTONE,
            "show that an output only rises, or only falls, with a feature",
            _DATA,
            (
                _NETWORK,
                Option("output", "int | 'direction'", "", "which output"),
                Option("features", "list[int]", "", "positions of inputs"),
            ),
        ),
    ),
    methods=_METHODS,
    parts=_PARTS,
    claims=(
        ClaimEntry(
            "certify.local_lipschitz_upper/1",
            "no output changes faster within the box than stated",
        ),
        ClaimEntry(
            "certify.local_lipschitz_lower/1",
            "at the stated points it changes at least so fast",
        ),
        ClaimEntry(
            "certify.local_lipschitz_gap/1",
            "upper bound over attained norm",
            "no gradient above zero was found for some output",
        ),
        ClaimEntry(
            "certify.jacobian_interval/1",
            "every generalised Jacobian lies within the stated intervals",
        ),
        ClaimEntry(
            "certify.local_lipschitz_sandwich/1",
            "no drawn pair of points contradicts the upper bounds",
            "the box is a point",
        ),
        ClaimEntry(
            "certify.monotone/1",
            "the output is monotone in the features so judged",
            "no derivative keeps its sign, by these bounds",
        ),
        ClaimEntry(
            "certify.derivative_interval/1",
            "the derivatives lie within the stated intervals",
        ),
    ),
    example="lemmata.certify._example_local_lipschitz:local_lipschitz",
    study="lemmata.studies.certify_local_lipschitz",
    benchmark="certify_local_lipschitz.py",
)

ENTRIES = (_ENTRY,)
