"""How well rows match a query, by each SCORER.

A document's score is its own score (SCORE, SCORE_FIELD) times

- BM25STD: the sum over what matched of idf * f (k1 + 1) / (f + k1 (1 - b + b length / mean length)), with
  idf = ln(1 + (N - n + 1/2) / (n + 1/2)), k1 = 1.2, b = 0.75
  (S. Robertson, H. Zaragoza, The Probabilistic Relevance Framework, 2009);
- BM25STD.NORM, BM25STD.TANH: the same divided by the best score; tanh(that / factor), the document's own score inside;
- BM25: the sum of idf * f / (f + k1 (1 - b + b mean length)), b = 0.5, idf = floor(log2(1 + (N + 1) / n)), divided by the spread;
- TFIDF, TFIDF.DOCNORM: the sum of f * idf, idf as for BM25, divided by the greatest frequency in the document, or its length, and
  the spread;
- DOCSCORE: 1.

DISMAX (the sum of frequencies, of alternatives the greatest) and HAMMING (1 / (1 + the bits in which the document's payload and
the query's differ)) leave the document's own score out.

f: how often the term stands in the document, weighted by the fields; n of N documents have it. The spread is how far what matched
stands apart (text/places.py)."""
import math
from functools import lru_cache

import numpy as np

from . import errors
from .matches import ANY, FIRST, Everything, Group, Leaf, Match, Perhaps, among, row_array
from .text.places import places, spread

DEFAULT_SCORER = "BM25STD"
#: From single precision, as Redis has it: scores then agree to the last digit.
K1 = float(np.float32(1.2))
B_STD, B_OLD = 0.75, 0.5
_STD = frozenset(("BM25STD", "BM25STD.NORM", "BM25STD.TANH"))
_SPREADS = frozenset(("TFIDF", "TFIDF.DOCNORM", "BM25"))


def number_of(proto: int, value: float):
    """A score as a reply: text in RESP2, whole numbers without a point."""
    return float(value) if proto == 3 else b"%d" % value if value == int(value) else repr(float(value)).encode()


def probabilistic_idf(n_total: int, n: int) -> float:
    """The inverse document frequency of BM25STD; as before Redis 8.8, its fraction is in single precision."""
    return _idf(n_total, n) if errors.has_codes else _single_idf(n_total, n)


@lru_cache(maxsize=8192)
def _idf(n_total: int, n: int) -> float:
    return math.log(1 + (n_total - n + 0.5) / (n + 0.5))


@lru_cache(maxsize=1024)
def _single_idf(n_total: int, n: int) -> float:
    single = np.float32
    return math.log(single(1) + single(n_total - n + 0.5) / single(n + 0.5))


def whole_idf(n_total: int, n: int) -> float:
    """The inverse document frequency of TFIDF and BM25: a whole number.
    Redis counts one document too many here, its table's first row."""
    return float(math.frexp(1 + (n_total + 1) / max(n, 1))[1] - 1)


class Scorer:
    """Scores rows of one index. `name` as in search_options.SCORERS."""

    __slots__ = ("index", "name", "n_docs", "mean_length", "payload", "factor")

    def __init__(self, index, name: str | None, payload: bytes | None = None, factor: int | None = None):
        self.index = index
        self.name = name or DEFAULT_SCORER
        self.n_docs = len(index.docs)
        self.mean_length = index.text.total_length / self.n_docs if self.n_docs and index.text is not None else 0.0
        self.payload = payload
        if factor is None and name == "BM25STD.TANH" and index.config is not None:
            factor = index.config["search-bm25std-tanh-factor"]
        self.factor = factor or 4

    @property
    def is_by_row(self) -> bool:
        """Whether the score of a row does not depend on the others."""
        return self.name != "BM25STD.NORM"

    def scores(self, root: Match, rows: np.ndarray) -> np.ndarray:
        """The score of each of the rows, which `root` matched. rows: ascending; returns float64."""
        name = self.name
        if name == "HAMMING":
            return self._hamming(rows)
        if name == "DOCSCORE":
            return self.own(rows)
        values = self.values(root, rows)
        if name == "DISMAX":
            return values
        if name not in _STD and name in _SPREADS:
            values = values * self.own(rows)
            if name != "BM25":
                norm = self.norms(rows)
                values = np.divide(values, norm, out=np.zeros(len(rows)), where=norm > 0)
            return values / self.spreads(root, rows)
        values = values * self.own(rows)
        if name == "BM25STD.TANH":
            return np.tanh(values / self.factor)
        if name == "BM25STD.NORM":
            best = values.max(initial=0.0)
            return values / best if best > 0 else values
        return values

    def own(self, rows: np.ndarray) -> np.ndarray:
        """The documents' own scores."""
        index = self.index
        own = np.full(len(rows), float(np.float32(index.options.score)))
        special = index.docs.scores
        if special:
            for i, row in enumerate(rows.tolist()):
                score = special.get(row)
                if score is not None:
                    own[i] = np.float32(score)
        return own

    def norms(self, rows: np.ndarray) -> np.ndarray:
        """What TFIDF divides by: the greatest frequency of a term in the document, or its length. Zero without text."""
        text = self.index.text
        if text is None:
            return np.zeros(len(rows))
        return (text.peaks(rows) if self.name == "TFIDF" else text.lengths(rows)).astype(np.float64)

    def spreads(self, root: Match, rows: np.ndarray) -> np.ndarray:
        """How far what matched stands apart in each row."""
        parts = [child for child in root.children if child.has_places]
        text = self.index.text
        if not isinstance(root, Group) or len(root.children) < 2 or not parts or text is None or self.index.options.no_offsets:
            return np.ones(len(rows))
        spreads = np.ones(len(rows))
        has_text = text.numbers(rows) >= 0
        matched = [among(row_array(child.rows), rows)[1] for child in root.children]
        if root.kind is FIRST:
            return spreads
        n_matched = np.sum(matched, axis=0) if root.kind is ANY else np.full(len(rows), len(root.children))
        masks = [matched[root.children.index(part)] for part in parts]
        which = np.flatnonzero(has_text)
        for i, lists in zip(which.tolist(), places(text, rows[which], parts)):
            there = [one for one, mask in zip(lists, masks) if mask[i]]
            spreads[i] = spread(there, int(n_matched[i]))
        return spreads

    def values(self, match: Match, rows: np.ndarray) -> np.ndarray:
        """What a match adds to the score of each row; zero for rows that it did not match."""
        if isinstance(match, Leaf):
            freqs, there = match.frequencies(rows)
            found = self.leaf_value(match, freqs, rows[there])
            if len(found) == len(rows):
                return found
            values = np.zeros(len(rows))
            values[there] = found
            return values
        if isinstance(match, Group):
            return self._group(match, rows) * match.weight
        if isinstance(match, Perhaps):
            values, (_, there) = np.zeros(len(rows)), among(row_array(match.children[0].rows), rows)
            values[there] = self.values(match.children[0], rows[there]) * match.weight
            return values
        if isinstance(match, Everything) and self.name in _STD and self.mean_length > 0:
            return self._saturated(match.weight, np.ones(len(rows)), rows)
        return np.full(len(rows), self.plain_value(match))

    def _group(self, group: Group, rows: np.ndarray) -> np.ndarray:
        values = np.zeros(len(rows))
        takes_greatest = self.name == "DISMAX" and group.kind is ANY
        taken = np.zeros(len(rows), dtype=bool) if group.kind is FIRST else None
        for child in group.children:
            if isinstance(child, Leaf) and taken is None:
                found = self.values(child, rows)
            elif group.kind in (ANY, FIRST):
                _, there = among(child.array() if isinstance(child, Leaf) else row_array(child.rows), rows)
                if taken is not None:
                    there &= ~taken
                    taken |= there
                if not there.any():
                    continue
                found = np.zeros(len(rows))
                found[there] = self.values(child, rows[there])
            else:
                found = self.values(child, rows)
            values = np.maximum(values, found) if takes_greatest else values + found
        return values

    def leaf_value(self, leaf: Leaf, freqs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What a term adds to rows that have it with these frequencies."""
        name = self.name
        if name in _STD:
            if not self.mean_length > 0:        # Redis divides by it: no order comes of tags alone
                return np.zeros(len(rows))
            return self._saturated(leaf.weight * probabilistic_idf(self.n_docs, leaf.n_docs), freqs, rows)
        if name == "DISMAX":
            return leaf.weight * freqs
        idf = whole_idf(self.n_docs, leaf.n_docs)
        if name == "BM25":
            return leaf.weight * idf * freqs / (freqs + self.old_norm())
        return leaf.weight * freqs * idf

    def _saturated(self, weight: float, freqs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """BM25STD's measure of frequencies in documents of these lengths, times a weight;
        in the order in which Redis multiplies."""
        ratio = self.index.text.lengths(rows) / self.mean_length
        return weight * (freqs * (K1 + 1)) / (freqs + K1 * (1 - B_STD + B_STD * ratio))

    def plain_value(self, match: Match) -> float:
        """What anything else that matched adds: as a term that stands once in every document."""
        if self.name in _STD or not match.counts:
            return 0.0
        if self.name == "BM25":
            return match.weight / (1 + self.old_norm())
        return match.weight

    def old_norm(self) -> float:
        """What BM25 adds to a frequency in the denominator."""
        return K1 * (1 - B_OLD + B_OLD * self.mean_length)

    def _hamming(self, rows: np.ndarray) -> np.ndarray:
        payloads, wanted = self.index.docs.payloads, self.payload
        values = np.zeros(len(rows))
        if wanted:
            number = int.from_bytes(wanted)
            for i, row in enumerate(rows.tolist()):
                payload = payloads.get(row)
                if payload is not None and len(payload) == len(wanted):
                    values[i] = 1 / (1 + (number ^ int.from_bytes(payload)).bit_count())
        return values

    def is_flat(self, root: Match) -> bool:
        """Whether every row has the same score for what it matched."""
        if self.index.docs.scores or self.name in ("HAMMING", "TFIDF", "TFIDF.DOCNORM"):
            return False
        return self.name == "DOCSCORE" or self.name in _STD and (type(root) is Match or not self.mean_length > 0)
