"""What an index is said to take before there is one is what it takes."""
import threading

import numpy as np
import pytest
from common import SMALL, clustered

import native

SIZES = [(3000, 64)] if SMALL else [(1000, 64), (4000, 300)]


@pytest.mark.parametrize("compression", [None, *native.COMPRESSIONS])
@pytest.mark.parametrize("n, dim", SIZES)
def test_what_it_takes(compression, n, dim):
    options = dict(metric="COSINE", compression=compression, training_threshold=2000, construction_window_size=40,
                   graph_max_degree=32)
    said = native.estimate(n, dim, widest=40, **options)
    ix = native.Index(dim, **options)
    data = clustered(n, dim)
    most, done = [0], threading.Event()

    def watch():
        while not done.wait(0.0005):
            most[0] = max(most[0], sum(ix.nbytes.values()))
    watcher = threading.Thread(target=watch)
    watcher.start()
    ix.add(np.arange(n), data) if n < 2000 else ix.add(np.arange(2000), data[:2000])
    ix.wait()
    ix.add(np.arange(2000, n), data[2000:])
    ix.wait()
    for vector in data[:10]:
        ix.search_blob(vector.astype("<f4").tobytes(), 10)
    done.set()
    watcher.join()
    ix.wait()
    held = ix.nbytes
    parts = {part: said[part] for part in held}
    assert abs(sum(parts.values()) / sum(held.values()) - 1) < 0.05, (parts, held)
    for part in ("codes", "residuals", "graph", "labels"):
        assert parts[part] == held[part], part
    assert min(said["peak_retraining"], said["peak_training"]) >= sum(parts.values())
    if compression and n > 2000:
        assert most[0] < 1.05 * said["peak_training"]


@pytest.mark.parametrize("options", [
    dict(algorithm="FLAT"), dict(algorithm="FLAT", dtype="FLOAT64"), dict(dtype="UINT8", metric="L2"),
    dict(dtype="FLOAT16", metric="IP"), dict(graph_max_degree=64, compression="SQ8"),
    dict(compression="LeanVec4x8", reduce=32, metric="L2")])
def test_other_options(options):
    n, dim = 4000, 96
    ix = native.Index(dim, training_threshold=2000, **options)
    ix.add(np.arange(n), np.abs(clustered(n, dim)) * 50)
    ix.wait()
    ix.search(np.ones((1, dim)), 10)
    said = native.estimate(n, dim, training_threshold=2000, **options)
    assert abs(sum(said[part] for part in ix.nbytes) / sum(ix.nbytes.values()) - 1) < 0.05, (said, ix.nbytes)


def test_none_and_too_many():
    assert sum(native.estimate(0, 8)[part] for part in native.PARTS) < 1 << 20
    with pytest.raises(native.NativeError):
        native.estimate(1 << 40, 8)
    with pytest.raises(native.NativeError):
        native.estimate(10, 0)
    with pytest.raises(native.NativeError):
        native.estimate(10, 8, compression="X")
