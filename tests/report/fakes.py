"""Study folders as `lemmata study` leaves them, made without running anything."""

import struct
import zlib

import numpy as np


def png(width: int, height: int) -> bytes:
    """A small RGB image."""
    ramp = np.linspace(0, 255, width * height * 3).astype(np.uint8)
    rows = ramp.reshape(height, width * 3)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def claim(name, promised, measured, *, grade="proof", relation="<=", **more):
    inside = measured <= promised if relation == "<=" else measured >= promised
    statement = {
        "marginals": "||P1 - r||_1 + ||P'1 - c||_1 <= promised, for a nonnegative P",
        "entropic_enclosure": "dual value <= OPT <= primal value, no wider than that",
        "transport_enclosure": "LB <= min <C, P> <= UB, no wider than promised",
        "superlinear": "the last ratio of successive errors, ratios strictly falling",
        "ascent": "the dual never falls along the trace by more than rounding",
        "cardinality": "no column of the plan has more nonzeros than promised",
        "sparse_lower_bound": "the optimum is at least the promised figure",
    }[name]
    return {
        "id": f"transport.{name}/1",
        "grade": grade,
        "relation": relation,
        "statement": statement,
        "promised": promised,
        "measured": measured,
        "holds": inside,
        "margin": None,
        "detail": more.get("detail", ""),
        "figures": more.get("figures", {}),
        "assumptions": more.get("assumptions", {}),
        "unit": more.get("unit", ""),
        "parameters": more.get("parameters", {}),
    }


def case(name, title, method, claims, withheld=(), expected=None, sentence=""):
    failing = [c["id"] for c in claims if not c["holds"]]
    expected = expected or (
        {c["id"]: "holds" if c["holds"] else "fails" for c in claims}
        | {w["id"]: "withheld" for w in withheld}
    )
    return {
        "name": name,
        "title": title,
        "file": f"{name}.lemma",
        "method": method,
        "result": {
            "name": "converged",
            "sentence": sentence or "The marginal error is below the tolerance.",
        },
        "steps": 29,
        "seconds": {"compile": 1.93, "run": 0.342, "certify": 0.0151},
        "expected": expected,
        "verdict": {
            "exit": 1 if failing else 0,
            "claims": claims,
            "withheld": list(withheld),
        },
        "agrees": True,
    }


def cases() -> list[dict]:
    checked = {"costs and weights are finite": "checked", "equal sums": "checked"}
    enclosure = {"lower bound": 0.0123456789, "upper bound": 0.01234567891}
    no_bound = {
        "id": "transport.hessian_sparsity/1",
        "reason": "no bound: eta * Delta = 3.1 is below 1 + 2 log n = 13.4",
    }
    good = [
        claim("marginals", 4.4e-13, 3.3e-16, assumptions=checked, unit="L1 mass"),
        claim(
            "entropic_enclosure",
            1e-8,
            2.7e-12,
            assumptions={**checked, "libm-4ulp": "unchecked"},
            detail="Both bounds are rounded outwards; `exp` is taken with 4 ulp.",
            figures=enclosure,
        ),
        claim("transport_enclosure", 0.005178, 0.00409, assumptions=checked),
        claim("superlinear", 1e-2, 3.1e-5, grade="evidence"),
        claim("ascent", -1.9e-12, 3.4e-9, grade="evidence", relation=">="),
    ]
    short = [
        claim("marginals", 4.4e-13, 0.0, assumptions=checked),
        claim("entropic_enclosure", 1e-8, 2.4e-3, assumptions=checked),
        claim("sparse_lower_bound", 57.5, 57.500000001, relation=">="),
    ]
    return [
        case(
            "assignment",
            "Random assignment, n = 500",
            "SinkhornNewton(n_warm=20, sparsify=TailMass())",
            good,
            [no_bound],
        ),
        case(
            "sinkhorn",
            "The same with Sinkhorn, stopped early",
            "Sinkhorn(max_sweeps=500)",
            short,
            sentence="Stopped at `max_sweeps` with an error of 2e-3; raise it.",
        ),
        case(
            "cap",
            "At most two partners each",
            "SemiDual()",
            [claim("cardinality", 2, 2, parameters={"plan": "returned"})],
        ),
    ]


def plots() -> list[dict]:
    sweeps = np.arange(0, 2000, 20)
    steps = np.arange(1, 10)
    rng = np.random.default_rng(0)
    i, j = np.nonzero(rng.random((60, 60)) < 0.04)
    rows, columns = (
        np.concatenate([np.arange(60), i]),
        np.concatenate([np.arange(60), j]),
    )
    grid = np.linspace(-2, 2, 40)
    z = np.exp(-(grid[:, None] ** 2) - 0.5 * grid[None, :] ** 2)
    common = {"x_log": False, "y_log": False, "series": []}
    error = {
        "id": "error",
        "kind": "xy",
        "title": "Marginal error over time",
        "caption": "L1 violation of both marginals; one machine, two cores.",
        "x_label": "seconds",
        "y_label": "L1 violation",
        "x_log": False,
        "y_log": True,
        "series": [
            _series("Newton, tail mass", steps / 10, 10.0 ** (-(steps**1.35) / 1.6)),
            _series("Newton, 2/n", steps / 10, 0.69**steps),
            _series("Sinkhorn", sweeps / 500, 0.3 / (1 + sweeps), "line", "baseline"),
            _series(
                "POT, log domain", sweeps / 400, 0.5 / (1 + sweeps), "line", "peer"
            ),
            _series("promised", [0, 5], [4.4e-13, 4.4e-13], "dashed", "bound"),
            _series("paper, Table 1", [0.34], [1e-16], "markers", "paper"),
        ],
    }
    bars = {
        "id": "time",
        "kind": "xy",
        "title": "Time to the same accuracy",
        "caption": "",
        "x_label": "",
        "y_label": "seconds",
        **common,
        "series": [
            _series("ours", ["random", "L2", "L1"], [1.6, 1.5, 15.0], "bars"),
            _series("POT", ["random", "L2", "L1"], [6.2, 1.5, 44.0], "bars", "peer"),
        ],
    }
    support = {
        "id": "support",
        "kind": "pattern",
        "title": "Entries kept in the last step",
        "caption": "Share kept: 5.6 %.",
        "rows": rows.tolist(),
        "columns": columns.tolist(),
        "shape": [60, 60],
    }
    plan = {"id": "plan", "kind": "heatmap", "title": "The plan", "z": z.tolist()}
    photo = {
        "id": "photo",
        "kind": "image",
        "title": "Colours carried over",
        "caption": "Left: the source. Right: in the target's colours.",
        "file": "photo.png",
        "alt": "Two photographs side by side",
    }
    return [error, bars, support, plan | {"caption": "", "x_label": "j"}, photo]


def _series(name, x, y, style="line", role="ours"):
    return {
        "name": name,
        "x": list(np.asarray(x).tolist()),
        "y": list(np.asarray(y, float).tolist()),
        "style": style,
        "role": role,
    }
