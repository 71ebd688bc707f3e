"""Peers with their own interpreters: auto_LiRPA and immrax, never dependencies.

`LEMMATA_LIRPA_PYTHON` names a Python with torch and auto_LiRPA (from its sources: the
package index has an old release alone):

    python3 -m venv lirpa && lirpa/bin/pip install torch
    lirpa/bin/pip install git+https://github.com/Verified-Intelligence/auto_LiRPA
    export LEMMATA_LIRPA_PYTHON=$PWD/lirpa/bin/python

`LEMMATA_IMMRAX_PYTHON` one with immrax (`pip install immrax`). A peer whose variable
is not set is left out.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lemmata.certify import Network

FOLDER = Path(__file__).parent
PEERS = {
    "auto_LiRPA": ("LEMMATA_LIRPA_PYTHON", "lirpa_peer.py"),
    "immrax": ("LEMMATA_IMMRAX_PYTHON", "immrax_peer.py"),
}


class PeerBounds(NamedTuple):
    """One setting's bounds (n, K), seconds per batch of them all, and how it ran."""

    who: str
    norms: np.ndarray
    seconds: float
    note: str


def peer_bounds(
    peer: str,
    network: Network,
    points: np.ndarray,
    radius: float,
    settings: tuple[str, ...],
) -> list[PeerBounds]:
    """Bounds of the boxes within `radius` of `points` (n, d), by each setting."""
    variable, script = PEERS[peer]
    python = os.environ.get(variable)
    if not python:
        return []
    content, arrays = network.records()
    with tempfile.TemporaryDirectory() as folder:
        source, target = (str(Path(folder) / n) for n in ("in.npz", "out.npz"))
        np.savez(
            source,
            network=json.dumps(content),
            points=points,
            radius=radius,
            settings=np.asarray(settings),
            allow_pickle=False,
            **{name: np.asarray(array) for name, array in arrays.items()},
        )
        command = [python, "-W", "ignore", str(FOLDER / script), source, target]
        kept = {n: v for n, v in os.environ.items() if not n.startswith("JAX_")}
        subprocess.run(command, check=True, env=kept)
        found = dict(np.load(target))
    threads = int(found["threads"]) or os.cpu_count()
    return [
        PeerBounds(
            f"{peer}, {name}",
            found[f"{name}/norms"],
            float(found[f"{name}/seconds"]),
            f"{found['versions']}, {threads} threads, timed in {found[f'{name}/kind']}",
        )
        for name in settings
    ]
