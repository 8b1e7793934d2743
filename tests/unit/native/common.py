"""Data and brute force for the engine's tests."""
import os

import numpy as np

SMALL = bool(os.environ.get("VAMANA_TEST_SMALL"))      # under a sanitizer: less of everything


def clustered(n, dim, seed=0, spread=0.35):
    """Vectors around random centres, as embeddings lie: unit length on average, not normalised."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(2, n // 50), dim))
    x = centres[rng.integers(0, len(centres), n)] + spread * rng.standard_normal((n, dim)) * (1 + np.arange(dim) % 3)
    return (x / np.linalg.norm(x, axis=1).mean()).astype("f4")


def brute(metric, queries, x):
    """Exact distances (nq, n) in double."""
    q, x = np.asarray(queries, "f8"), np.asarray(x, "f8")
    if metric == "L2":
        return (q * q).sum(1)[:, None] + (x * x).sum(1)[None] - 2 * q @ x.T
    if metric == "COSINE":
        q, x = (a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-300) for a in (q, x))
    return 1 - q @ x.T


def recall(labels, exact, k):
    """Share of the true k nearest that are among labels (nq, >= k)."""
    true = np.argsort(exact, axis=1, kind="stable")[:, :k]
    return np.mean([len(set(a[:k].tolist()) & set(b.tolist())) / k for a, b in zip(labels, true, strict=True)])
