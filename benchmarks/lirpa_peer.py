"""auto_LiRPA's local Lipschitz bounds, run by an interpreter of its own.

`PYTHON lirpa_peer.py IN.npz OUT.npz`, called by `lipschitz_peers`; nothing of lemmata
is imported. IN holds the layer records of a network ("network", JSON, with arrays
`network_<k>_<part>`), "points" (n, d), "radius" and the names of "settings". OUT holds,
for each setting, bounds (n, K) on the l_1 norms of the Jacobian's rows in float64, and
seconds: of the quicker of float32 (auto_LiRPA's default) and float64, warm, median.

The graph is auto_LiRPA's own local Lipschitz example: network, one output picked by a
mask, `JacobianOP`, `GradNorm`. Two settings go beyond its defaults, for its benefit:

- a row of the batch per point and class, where the example loops over classes;
- release 0.7.1 multiplies masks of shape (batch, neurons) into coefficients of shape
  (rows, batch, 1, neurons), so that a batch above one gives wrong bounds; here the
  masks get the missing axis. "as released" stays with one point at a time.
"""

import json
import logging
import statistics
import sys
import time
from types import SimpleNamespace

import auto_LiRPA
import numpy as np
import torch
from auto_LiRPA import BoundedModule, BoundedTensor
from auto_LiRPA.jacobian import GradNorm, JacobianOP
from auto_LiRPA.operators.relu import BoundReluGrad
from auto_LiRPA.perturbations import PerturbationLpNorm
from torch import nn

ROUNDS = 5
SETTINGS = {
    "as released": {"batch": False, "optimize": False},
    "batched": {"batch": True, "optimize": False},
    "batched, slopes optimised": {"batch": True, "optimize": True},
}
RELEASED = BoundReluGrad.bound_backward


def mended(self, last_lower, last_upper, g, positive, negative, z, **options):
    """`BoundReluGrad.bound_backward` with the masks' missing axis."""
    lower, upper = z.lower, z.upper
    if len(g.output_shape) == lower.ndim + 1:
        lower, upper = lower.unsqueeze(1), upper.unsqueeze(1)
    z = SimpleNamespace(lower=lower, upper=upper)
    return RELEASED(self, last_lower, last_upper, g, positive, negative, z, **options)


class RowNorm(nn.Module):
    """||v'J(x)||_1, v a mask (batch, K)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.norm = network, GradNorm(norm=1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        row = (self.network(x) * mask).sum(dim=1, keepdim=True)
        return self.norm(JacobianOP.apply(row, x))


def network_of(given) -> tuple[nn.Module, tuple[int, ...]]:
    """The network and its input's shape, reshapes before the first layer dropped."""
    content = json.loads(str(given["network"]))
    shape, layers = tuple(content["input_shape"]), []
    for node in content["nodes"]:
        if node["op"] == "relu":
            layers.append(nn.ReLU())
        elif node["op"] == "reshape":
            if layers:
                layers.append(nn.Flatten())
            else:
                shape = tuple(node["shape"])
        else:
            layers.append(_linear(node, given))
    return nn.Sequential(*layers), shape


def _linear(node, given) -> nn.Module:
    weight, bias = (torch.tensor(given[node[part]]) for part in ("weight", "bias"))
    if node["op"] == "dense":
        layer: nn.Module = nn.Linear(*reversed(weight.shape))
    else:
        (above, below), (left, right) = node["padding"]
        assert above == below
        assert left == right
        padding, stride = (above, left), tuple(node["stride"])
        out, into, *kernel = weight.shape
        layer = nn.Conv2d(into, out, tuple(kernel), stride, padding)
    layer.weight.data, layer.bias.data = weight, bias  # pyright: ignore
    return layer


def bounds_of(network, x, radius: float, batch: bool, optimize: bool):
    """A function that bounds all points and classes: (n, K)."""
    classes = network(x[:1]).shape[1]
    # joint optimisation of all layers' slopes; patches know no stride above one
    arguments = {"fix_interm_bounds": False}
    options = {"conv_mode": "matrix", "optimize_bound_args": arguments}
    like = x.repeat_interleave(classes, 0)
    masks = torch.eye(classes).repeat(len(x), 1)
    ball = PerturbationLpNorm(norm=np.inf, eps=radius)
    size = len(like) if batch else 1
    module = BoundedModule(
        RowNorm(network), (like[:size], masks[:size]), bound_opts=options, device="cpu"
    )

    def run() -> np.ndarray:
        found = []
        for start in range(0, len(like), size):
            part = slice(start, start + size)
            box = BoundedTensor(like[part], ball)
            _, upper = module.compute_jacobian_bounds(
                (box, masks[part]), optimize=optimize, bound_lower=False
            )
            found.append(upper.detach().numpy().reshape(-1))
        return np.concatenate(found).reshape(len(x), classes)

    return run


def measured(given, kind: torch.dtype, rounds: int, batch: bool, optimize: bool):
    """Bounds and seconds in one precision."""
    torch.set_default_dtype(kind)
    network, shape = network_of(given)
    network = network.to(kind)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    x = torch.tensor(given["points"], dtype=kind).reshape(-1, *shape)
    BoundReluGrad.bound_backward = mended if batch else RELEASED
    run = bounds_of(network, x, float(given["radius"]), batch, optimize)
    norms, taken = run(), []
    for _ in range(rounds):
        start = time.perf_counter()
        norms = run()
        taken.append(time.perf_counter() - start)
    return norms, statistics.median(taken) if taken else np.inf


def main(source: str, target: str) -> None:
    """Reads IN, writes OUT."""
    logging.disable(logging.WARNING)
    given, found = dict(np.load(source)), {}
    for name in map(str, given["settings"]):
        slow, seconds = name != "batched", {}
        # the bounds of float64 are kept; what is slow is timed in float32 alone
        for kind, rounds in ((torch.float32, 1), (torch.float64, 0)):
            found[f"{name}/norms"], seconds[kind] = measured(
                given, kind, rounds if slow else ROUNDS, **SETTINGS[name]
            )
        kind = min(seconds, key=lambda kind: seconds[kind])
        found[f"{name}/seconds"], found[f"{name}/kind"] = seconds[kind], str(kind)[6:]
    versions = f"auto_LiRPA {auto_LiRPA.__version__}, torch {torch.__version__}"
    np.savez(target, threads=torch.get_num_threads(), versions=versions, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
