"""EXPLAINSCORE: how the score of one document came about."""
import numpy as np

from respserver.protocol.reply import Simple

from . import errors
from .errors import show
from .matches import ANY, FIRST, Everything, Group, Leaf, Match, Perhaps
from .score import B_OLD, B_STD, K1, Scorer, probabilistic_idf, whole_idf


class _Part:
    """What one part of the query added to the score of a document, and the parts that it is made of."""

    __slots__ = ("value", "text", "parts")

    def __init__(self, value: float, text: str, parts: list["_Part"] | None = None):
        self.value = value
        self.text = text
        self.parts = parts

    def reply(self):
        """As it is sent: a text, or a text and its parts."""
        if self.parts is None:
            return Simple(self.text)
        return [Simple(self.text), [part.reply() for part in self.parts]]


def explain_score(scorer: Scorer, root: Match, row: int, score: float):
    """The explanation of one row's score, ready to be sent."""
    name = scorer.name
    rows = np.array([row], dtype=np.uint32)
    own = float(scorer.own(rows)[0])
    if name == "DOCSCORE":
        return Simple(f"Document's score is {own:.2f}")
    if name == "HAMMING":
        payload, wanted = scorer.index.docs.payloads.get(row), scorer.payload
        if not wanted or payload is None or len(payload) != len(wanted):
            return Simple("Payloads provided to scorer vary in length")
        length = len(payload)
        return Simple(f"String length is {length}. Bit count is {round(1 / score - 1)}. Result is (1 / count + 1) = {score:.2f}")
    part = _explain(scorer, root, row, rows)
    if name == "DISMAX":
        return part.reply()
    if name in ("TFIDF", "TFIDF.DOCNORM"):
        norm, apart = scorer.norms(rows)[0], scorer.spreads(root, rows)[0]
        if not norm:
            return Simple("Document max frequency is 0" if name == "TFIDF" else "Document length is 0")
        return _Part(
            0, f"Final TFIDF : words TFIDF {part.value:.2f} * document score {own:.2f} / norm {norm:.0f} / slop {apart:.0f}",
            [part]).reply()
    if name == "BM25":
        apart = scorer.spreads(root, rows)[0]
        return _Part(0, f"Final BM25 : words BM25 {part.value:.2f} * document score {own:.2f} / slop {apart:.0f}", [part]).reply()
    whole = part.value * own
    if name == "BM25STD.NORM":
        best = whole / score if score else 0.0
        return _Part(0, f"Final BM25STD.NORM: {score:.2f} = Original Score: {whole:.2f} / Max Score: {best:.2f}", [part]).reply()
    inner = _Part(0, f"Final BM25 : words BM25 {part.value:.2f} * document score {own:.2f}", [part])
    if name == "BM25STD.TANH":
        return _Part(0, f"Final Normalized BM25 : tanh(stretch factor 1/{scorer.factor} * Final BM25 {whole:.2f})",
                     [inner]).reply()
    return inner.reply()


def _explain(scorer: Scorer, match: Match, row: int, rows: np.ndarray) -> _Part:
    if isinstance(match, Leaf):
        return _leaf(scorer, match, rows)
    if isinstance(match, Perhaps) and row in match.children[0].rows:
        return _explain(scorer, match.children[0], row, rows)
    if isinstance(match, Group) and len(match.children) == 1 and match.weight == 1 and errors.has_codes:
        return _explain(scorer, match.children[0], row, rows)       # as from 8.4 on, what a prefix or a pattern found
    if isinstance(match, Group):
        children = [child for child in match.children if row in child.rows]
        if match.kind is FIRST:
            children = children[:1]
        parts = [_explain(scorer, child, row, rows) for child in children]
        values = [part.value for part in parts]
        whole = max(values) if scorer.name == "DISMAX" and match.kind is ANY else sum(values)
        value, weight = whole * match.weight, match.weight
        if scorer.name == "DISMAX":
            text = f"{value:.2f} = Weight {weight:.2f} * children DISMAX {whole:.2f}"
        elif scorer.name.startswith("TFIDF"):
            text = f"(Weight {weight:.2f} * total children TFIDF {whole:.2f})"
        else:
            text = f"(Weight {weight:.2f} * children BM25 {whole:.2f})"
        return _Part(value, text, parts)
    value = scorer.plain_value(match)
    if scorer.name.startswith("BM25STD"):
        if isinstance(match, Everything) and scorer.mean_length > 0:
            value = float(scorer.values(match, rows)[0])
            return _Part(value, "*: " + _saturation(scorer, value, match.weight, " * IDF 1.00", 1, rows))
        return _Part(value, "Irrelevant token -> score is 0")
    if scorer.name == "DISMAX":
        return _Part(value, f"DISMAX {value:.2f} = Weight {match.weight:.2f} * Frequency {match.counts:d}")
    if scorer.name == "BM25":
        return _Part(value, f"({value:.2f} = Weight {match.weight:.2f} * F {match.counts:d} / (F {match.counts:d} + k1 "
                            f"{K1:.1f} * (1 - b {B_OLD:.1f} + b {B_OLD:.1f} * Average Len {scorer.mean_length:.2f})))")
    return _Part(value, f"(TFIDF {value:.2f} = Weight {match.weight:.2f} * Frequency {match.counts:d})")


def _leaf(scorer: Scorer, leaf: Leaf, rows: np.ndarray) -> _Part:
    freqs, _ = leaf.frequencies(rows)
    value = float(scorer.leaf_value(leaf, freqs, rows)[0])
    freq, weight = float(freqs[0]), leaf.weight
    if scorer.name == "DISMAX":
        return _Part(value, f"DISMAX {value:.2f} = Weight {weight:.2f} * Frequency {freq:.0f}")
    idf = whole_idf(scorer.n_docs, leaf.n_docs)
    if scorer.name == "BM25":
        return _Part(value, f"({value:.2f} = Weight {weight:.2f} * IDF {idf:.2f} * F {freq:.0f} / (F {freq:.0f} + k1 {K1:.1f} *"
                            f" (1 - b {B_OLD:.1f} + b {B_OLD:.1f} * Average Len {scorer.mean_length:.2f})))")
    if scorer.name.startswith("TFIDF"):
        return _Part(value, f"(TFIDF {value:.2f} = Weight {weight:.2f} * TF {freq:.0f} * IDF {idf:.2f})")
    idf = probabilistic_idf(scorer.n_docs, leaf.n_docs)
    return _Part(value, f"{show(leaf.name)}: " + _saturation(scorer, value, weight, f" * IDF {idf:.2f}", freq, rows))


def _saturation(scorer: Scorer, value: float, weight: float, idf: str, freq: float, rows: np.ndarray) -> str:
    length = scorer.index.text.lengths(rows)[0] if scorer.index.text is not None else 0
    return (f"({value:.2f} = Weight {weight:.2f}{idf} * (F {freq:.2f} * (k1 {K1:.1f} + 1))"
            f" / (F {freq:.2f} + k1 {K1:.1f} * (1 - b {B_STD:.2f} + b {B_STD:.2f} * Doc Len {length:d}"
            f" / Average Doc Len {scorer.mean_length:.2f})))")
