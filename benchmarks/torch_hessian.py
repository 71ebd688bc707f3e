"""PyHessian and curvlinops on one network: `python torch_hessian.py FILE PRODUCTS`.

Needs torch, pyhessian and curvlinops-for-pytorch, and nothing of lemmata: it runs in
an environment of its own. Prints JSON: by kind and method, [value, median seconds].
"""

import json
import statistics
import sys
import time

import numpy as np
import torch
from curvlinops import HessianLinearOperator, hutchpp_trace, xtrace
from pyhessian import hessian
from scipy.sparse.linalg import eigsh

ROUNDS = 5


def timed(run):
    """[value, median seconds] of a few rounds after a first."""
    run()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        value = run()
        times.append(time.perf_counter() - start)
    return [float(value) / 2, statistics.median(times)]


def main(path: str, products: int) -> None:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    arrays = {name: torch.from_numpy(a) for name, a in np.load(path).items()}
    width, inputs = arrays["inner"].shape
    first = torch.nn.Linear(inputs, width, bias=False)
    last = torch.nn.Linear(width, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(arrays["inner"])
        last.weight.copy_(arrays["outer"][None])
    model = torch.nn.Sequential(first, torch.nn.ReLU(), last)
    x, y = arrays["inputs"], arrays["targets"][:, None]
    loss = torch.nn.MSELoss()  # twice ours

    def fresh():
        model.zero_grad()
        return hessian(model, loss, data=(x, y), cuda=False)

    params = [p for p in model.parameters()]
    operator = HessianLinearOperator(
        model, loss, params, [(x, y)], check_deterministic=False
    )
    every = {"maxIter": products, "tol": 0.0}
    traces = {
        "PyHessian, Hutchinson": lambda: np.mean(fresh().trace(**every)),
        "curvlinops, Hutch++": lambda: hutchpp_trace(operator, products),
        "curvlinops, XTrace": lambda: xtrace(operator, products),
    }
    plain = operator.to_scipy()
    tops = {
        "PyHessian, power iteration": lambda: fresh().eigenvalues(100, 1e-9)[0][0],
        "curvlinops, ARPACK to 1e-9": lambda: eigsh(
            plain, 1, which="LA", tol=1e-9, return_eigenvectors=False
        )[0],
    }
    found = {
        "trace": {who: timed(run) for who, run in traces.items()},
        "top": {who: timed(run) for who, run in tops.items()},
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
