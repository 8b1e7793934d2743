"""One bit a dimension: what it keeps of float32's ranking, without and with rescoring, by scanning all codes. There are no
judgements of relevance here: the score is the NDCG@10 with float32's own ten nearest as the relevant ones, the first worth 10,
the tenth 1 (float32 has 1.000). `similarity` is the mean share of the similarity to the query (inner product, or minus the
squared distance plus that of a random vector) of float32's ten that the ten found have. Published, as NDCG@10 by judgements:
92.5 % of float32's without, 96 % with rescoring."""
import numpy as np
from engines import K, load, make, nearest, recall
from localserver import table

N, N_QUERIES = 100_000, 500
#: Candidates that are scored again, per result, as published.
OVERSAMPLING = 4
KINDS = ["BIN", "PQ", "LVQ4"]


def _signs(base, queries):
    """The published form: the signs of the coordinates, compared by Hamming distance;
    then the candidates by the query's floats."""
    bits, asked = np.where(base > 0, 1, -1).astype(np.float32), np.where(queries > 0, 1, -1).astype(np.float32)
    by_hamming = nearest(bits, asked, "IP", k=OVERSAMPLING * K)
    scores = np.einsum("qd,qcd->qc", queries, bits[by_hamming])
    by_floats = np.take_along_axis(by_hamming, np.argsort(-scores, axis=1, kind="stable"), 1)
    return by_hamming[:, :K], by_floats[:, :K]


def ndcg(found: np.ndarray, exact: np.ndarray) -> float:
    """The mean NDCG@K with the rows of `exact` (n, K) as relevant, the first worth K,
    the last 1 (Järvelin and Kekäläinen, 2002)."""
    gains, discounts = np.arange(K, 0, -1), 1 / np.log2(np.arange(2, K + 2))
    gained = (found[:, :, None] == exact[:, None, :]) @ gains
    return float((gained @ discounts).mean() / (gains @ discounts))


def _similarity(base, queries, found, metric, zero) -> np.ndarray:
    vectors = base[found]
    if metric == "L2":
        return zero - ((vectors - queries[:, None]) ** 2).sum(axis=2)
    return np.einsum("qd,qkd->qk", queries, vectors) - zero


def run(directory: str, options) -> dict:
    """Prints the table; returns {form: recall, ndcg, similarity, candidates rescored}."""
    base, queries, _, metric = load(directory)
    base, queries = base[:N], queries[:N_QUERIES]
    exact = nearest(base, queries, metric)
    at_random = np.random.default_rng(0).integers(0, len(base), (len(queries), K))
    zero = abs(_similarity(base, queries, at_random, metric, 0).mean())
    whole = _similarity(base, queries, exact, metric, zero).mean()
    centred = queries - base.mean(axis=0) if metric == "L2" else queries
    forms = {}
    by_hamming, by_floats = _signs(base - base.mean(axis=0) if metric == "L2" else base, centred)
    forms["signs, Hamming"] = by_hamming, 0
    forms[f"signs, {OVERSAMPLING} k by the query's floats"] = by_floats, 0
    for kind in options.engines or KINDS:
        engine = make(f"rescored-flat-{kind}", base, metric)
        engine.tune(queries)
        forms[kind] = engine.search(queries, K, count=0), 0
        forms[f"{kind}, {OVERSAMPLING} k rescored"] = engine.search(queries, K, count=OVERSAMPLING * K), OVERSAMPLING * K
        if engine.count:
            forms[f"{kind}, RERANK AUTO"] = engine.search(queries, K), engine.count
    result = {}
    for name, (found, rerank) in forms.items():
        result[name] = {"recall": recall(found, exact), "ndcg": ndcg(found, exact), "rerank": rerank,
                        "similarity": float(_similarity(base, queries, found, metric, zero).mean() / whole)}
    print(table(["form", "rescored", "recall@10", "NDCG@10 kept", "similarity kept"],
                [[name, f["rerank"], f"{f['recall']:.3f}", f"{100 * f['ndcg']:.1f} %", f"{100 * f['similarity']:.2f} %"]
                 for name, f in result.items()]))
    return result


def draw(result: dict, axes, title: str) -> None:
    """Bars: NDCG kept by each form."""
    names = list(result)
    axes.barh(names[::-1], [100 * result[name]["ndcg"] for name in names[::-1]], color="tab:blue")
    axes.axvline(92.5, linestyle="--", color="gray")
    axes.axvline(96, linestyle="--", color="black")
    axes.set(xlabel="% of float32's NDCG@10; published: 92.5 without, 96 with rescoring", xlim=(40, 100), title=title)
    axes.tick_params(labelsize=7)
