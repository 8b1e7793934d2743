"""COMPRESSION values beyond Redis's six, over the socket: they train, search, and say what they are."""
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import native  # noqa: E402
from helpers import wait_until  # noqa: E402
from samples import create, distances, fill, knn, text, vectors  # noqa: E402

# Name -> k, and the share of the true ten nearest that are among the k found. BIN returns estimates from one bit for each
# dimension; these clusters, of 125 equally distant vectors each, are the hardest case for it.
EXTENSIONS = {"LVQ8x8": (10, 0.9), "SQ8": (10, 0.9), "BIN": (50, 0.5)}


def details(client):
    """What FT.INFO says about the vector field, as a dict of texts."""
    reply = client.execute_command("FT.INFO", "idx")
    if not isinstance(reply, dict):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    field = next(f for f in {text(k): v for k, v in reply.items()}["attributes"]
                 if b"VECTOR" in (f.values() if isinstance(f, dict) else f))
    pairs = field.items() if isinstance(field, dict) else zip(field[::2], field[1::2], strict=False)
    return {text(k): text(v) for k, v in pairs}


def recall(client, base, k=10, n_queries=40):
    hits = 0
    for query in vectors(n_queries, base.shape[1], seed=8):
        truth = set(np.argsort(distances(base, query, "COSINE"))[:10].tolist())
        hits += len(truth & {int(key[2:]) for key, _ in knn(client, query, k)})
    return hits / (10 * n_queries)


def wait_until_trained(client):
    wait_until(lambda: details(client)["training"] == "done", what="the end of training")


@pytest.mark.parametrize("compression", EXTENSIONS)
def test_svs_takes_more_codecs(both, compression):
    k, least = EXTENSIONS[compression]
    base = vectors(2000, 64)
    create(both, algorithm="SVS-VAMANA", dim=64, options=["COMPRESSION", compression.lower(), "TRAINING_THRESHOLD", 1024])
    fill(both, base)
    wait_until_trained(both)
    said = details(both)
    assert (said["compression"], said["effective_compression"], said["training_threshold"]) == (compression, compression, "1024")
    assert recall(both, base, k) >= least


def test_hnsw_takes_sq8(both):
    base = vectors(1500, 64)
    create(both, algorithm="HNSW", dim=64, options=["COMPRESSION", "SQ8", "TRAINING_THRESHOLD", 1000])
    fill(both, base)
    wait_until_trained(both)
    said = details(both)
    assert (said["compression"], said["effective_compression"], said["training_threshold"]) == ("SQ8", "SQ8", "1000")
    assert recall(both, base) >= 0.9


def test_hnsw_sq8_without_training(r3):
    """Threshold 0 forbids training: the range is fitted to each vector, from the first on."""
    base = vectors(300, 64)
    create(r3, algorithm="HNSW", dim=64, options=["COMPRESSION", "SQ8", "TRAINING_THRESHOLD", 0])
    fill(r3, base)
    wait_until_trained(r3)
    said = details(r3)
    assert (said["compression"], said["effective_compression"], said["training_threshold"]) == ("SQ8", "LVQ8", "0")
    assert recall(r3, base) >= 0.9


@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW"])
@pytest.mark.parametrize("compression", ["LVQ8", "LVQ4x4", "LeanVec4x8", "SQ8"])
def test_flat_and_hnsw_take_compressions(r3, algorithm, compression):
    base = vectors(1500, 64)
    create(r3, algorithm=algorithm, dim=64, options=["COMPRESSION", compression, "TRAINING_THRESHOLD", 1024])
    fill(r3, base)
    wait_until_trained(r3)
    said = details(r3)
    assert (said["compression"], said["effective_compression"], said["trained"]) == (compression, compression, "1")
    assert int(said["bytes_per_vector"]) == native.bytes_per_vector(64, "FLOAT32", compression)
    assert recall(r3, base) >= 0.85


@pytest.mark.parametrize("reduction", ["PCA", "OOD", "PREFIX", "RANDOM"])
def test_reductions(r3, reduction):
    base = vectors(1500, 64)
    create(r3, algorithm="SVS-VAMANA", dim=64,
           options=["COMPRESSION", "LeanVec8x8", "TRAINING_THRESHOLD", 1024, "REDUCE", 48, "REDUCTION", reduction])
    fill(r3, base)
    wait_until_trained(r3)
    said = details(r3)
    # Nobody has asked anything before the training.
    assert (said["reduction"], said["effective_reduction"]) == (reduction, "PCA" if reduction == "OOD" else reduction)
    assert recall(r3, base) >= 0.8
