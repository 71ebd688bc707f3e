"""Every system: a damaged or forged certificate is refused."""

import copy
import random
import zipfile

import numpy as np
import pytest

from lemmata_checker import document as documents
from lemmata_checker.errors import CheckerError
from lemmata_checker.report import check
from tests.gauntlet.systems import system


def verdicts(document) -> dict[str, bool]:
    return {d.id: d.holds for d in check(document, seed=0).decisions}


def test_any_changed_byte_is_refused(example, lemma_file, tmp_path):
    """Every structural byte, and a sample of the arrays' bytes."""
    content = lemma_file.read_bytes()
    rng = random.Random(0)
    with zipfile.ZipFile(lemma_file) as archive:
        starts = [info.header_offset for info in archive.infolist()]
    places = {start + offset for start in starts for offset in range(0, 60, 7)}
    places |= {rng.randrange(len(content)) for _ in range(60)}
    places |= {len(content) - 1 - offset for offset in range(0, 60, 5)}
    forged = tmp_path / "forged.lemma"
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        forged.write_bytes(changed)
        with pytest.raises(CheckerError):
            documents.read(forged)


def test_truncation_is_refused(example, lemma_file, tmp_path):
    content = lemma_file.read_bytes()
    forged = tmp_path / "short.lemma"
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        forged.write_bytes(content[:length])
        with pytest.raises(CheckerError):
            documents.read(forged)


def test_tighter_promise_is_refused(example, lemma_file):
    """A promise beyond the measured figure, digests recomputed, does not hold."""
    document = documents.read(lemma_file)
    decisions = check(document, seed=0).decisions
    for claim, decision in zip(document.claims, decisions, strict=True):
        forged = copy.copy(document)
        sign = -1.0 if decision.relation == "<=" else 1.0
        step = 1e-9 * max(abs(decision.measured), 1e-300)
        beyond = decision.measured + sign * step
        forged.claims = [claim | {"promised": beyond}]
        assert not check(forged, seed=0).decisions[0].holds, claim["id"]


@pytest.mark.parametrize("fault", ["nan", "inf", "shape", "dtype", "missing"])
def test_malformed_arrays_never_hold(example, lemma_file, fault):
    document = documents.read(lemma_file)
    for name, array in document.value.items():
        if f"value/{name}" in document.uncertified:
            continue
        forged = copy.copy(document)
        forged.value = dict(document.value)
        if fault == "missing":
            del forged.value[name]
        elif (changed := _spoil(array, fault)) is None:
            continue
        else:
            forged.value[name] = changed
        assert not all(verdicts(forged).values()), f"{name} with {fault}"


def _spoil(array: np.ndarray, fault: str) -> np.ndarray | None:
    if fault == "shape":
        return np.concatenate([array.reshape(-1), array.reshape(-1)[:1]])
    if fault == "dtype":
        return array.astype("<f4" if array.dtype.kind == "f" else "<i4")
    if array.dtype.kind != "f" or not array.size:
        return None
    spoilt = array.copy()
    spoilt.reshape(-1)[array.size // 2] = float(fault)
    return spoilt


def test_altered_answer_is_judged_as_the_oracle_says(example, lemma_file, slug):
    """One entry changed, digests recomputed: refused exactly when no longer true."""
    document = documents.read(lemma_file)
    oracles, rng = system(slug).oracles, np.random.default_rng(3)
    judged = 0
    for name, array in document.value.items():
        for scale in (1e-13, 1e-6, 1e-1):
            forged = copy.copy(document)
            forged.value = dict(document.value) | {name: _nudge(array, scale, rng)}
            decisions = check(forged, seed=0).decisions
            for claim, found in zip(document.claims, decisions, strict=True):
                oracle = oracles.get(claim["id"], lambda *_: None)
                truth = oracle(document.problem, forged.value, claim)
                if truth is not None:
                    judged += 1
                    message = f"{name} nudged by {scale:g}: {found}"
                    assert found.holds == truth, message
    assert judged > 10, "the oracle decided next to nothing"


def _nudge(array: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    nudged = array.copy()
    flat = nudged.reshape(-1)
    place = int(rng.integers(array.size))
    if array.dtype.kind == "f":
        flat[place] += scale * max(abs(float(flat[place])), 1.0)
    elif array.dtype.kind == "b":
        flat[place] = ~flat[place]
    else:
        flat[place] = flat[place] + 1 if flat[place] == 0 else flat[place] - 1
    return nudged


def test_every_proof_has_an_oracle(example, slug):
    """A proof whose forgeries nobody can tell apart is not tested."""
    proofs = {
        d.id for d in example.solution.certificate.decisions if d.grade == "proof"
    }
    assert proofs <= set(system(slug).oracles)


def test_easier_problem_is_caught_by_the_users_data(
    example, lemma_file, slug, tmp_path
):
    """An altered problem convinces nobody who brings the real one."""
    from lemmata_checker.packed import Packed

    document = documents.read(lemma_file)
    name = system(slug).easier
    real = document.problem.arrays[name]
    np.save(tmp_path / "real.npy", real)
    forged = copy.copy(document)
    easier = dict(document.problem.arrays) | {name: real * 0.5 + 0.1}
    forged.problem = Packed(document.problem.kind, document.problem.json, easier)
    forged.digest, forged.arrays = "", {}
    forged.__post_init__()
    documents.write(tmp_path / "forged.lemma", forged)
    again = documents.read(tmp_path / "forged.lemma")
    report = check(again, {name: str(tmp_path / "real.npy")}, seed=0)
    assert not report.holds
    assert not report.same_problem
