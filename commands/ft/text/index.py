"""The inverted index of all TEXT fields of an index.

Every (re-)indexing of a document's text takes the next *number*; so postings only grow at their end, whatever becomes of rows. A
posting is one 64-bit word: the number, the set of fields in which the term stands, and how often it does, weighted by the
fields. The words of each document are kept in order, once, as term numbers: where a term stands is read there, and a stem stands
where the words stand that it was made of.

What a document's text was before is not looked for when it changes: its number is marked dead, and `collect` takes the postings
of dead numbers out."""
from array import array
from collections.abc import Callable, Collection

import numpy as np

from ..documents import grown
from . import language as lang
from .terms import Terms
from .words import characters, split

#: Words whose terms are remembered per language and kind of field.
_MAX_REMEMBERED = 32768
_MOST_FREQUENT = 0xffff
_NUMBER_SHIFT, _FIELDS_SHIFT = 32, 16
#: The number of a set of fields beyond the first 65535: all of them.
_ANY_FIELDS = 0xffff
_DEAD = 0xffffffff
#: Among the words of a document: one value of a field ends and the next one begins.
GAP = 0xfffffffe
_LIST = 88                      # bytes of a list of postings, without these


def _words_of(texts, spec, language: str) -> Collection[bytes | None]:
    """The words of a field's text, or of a list of these; None between the values of such a list."""
    if type(texts) is list:             # not even the ends of two values stand next to each other
        empty = (b"",) if spec.index_empty else ()
        found = [word for text in texts for word in (*(split(text) or (() if text else empty)), None)][:-1]
    else:
        found = split(texts)
    if language == lang.CHINESE:
        found = [piece for word in found for piece in (characters(word) if word else (word,))]
    return (b"",) if not found and spec.index_empty and not texts else found


class Postings:
    """The live postings of a term as columns: rows in ascending order, each row's frequency and number."""

    __slots__ = ("rows", "freqs", "numbers")

    def __init__(self, rows: np.ndarray, freqs: np.ndarray, numbers: np.ndarray):
        self.rows = rows                # uint32
        self.freqs = freqs              # uint32
        self.numbers = numbers          # uint32


class TextIndex:
    """Terms, postings and the words of documents by number.

    `options` as in CreateOptions. `min_stem`: function that gives the length from which words are stemmed."""

    def __init__(self, options, min_stem: Callable[[], int]):
        self.options = options
        self.min_stem = min_stem
        self.fields: list = []                          # of type TextField, in schema order
        self.terms = Terms()
        self.postings: list[array | int | None] = []    # by term
        self.stem_of = array("I")                       # by term: one more than its stem's, 0 where it has none
        self.sources: dict[int, set[int]] = {}          # term made of words -> these, where stem_of does not say so
        self.groups: dict[bytes, list[bytes]] = {}      # word -> its synonym groups
        self.n_docs = 0                                 # live numbers
        self.total_length = 0                           # of these
        self.n_postings = 0                             # dead ones among them
        self.n_dead = 0
        self.n_terms = 0                                # that have postings, be they dead
        self.n_numbers = 0
        self._row_of = np.empty(64, dtype=np.uint32)    # by number, _DEAD: none
        self._lengths = np.empty(64, dtype=np.uint32)
        self._peaks = np.empty(64, dtype=np.uint16)     # the greatest frequency of a term in the document
        self._counts = np.empty(64, dtype=np.uint16)    # of its postings
        self._starts = np.zeros(65, dtype=np.uint64)    # of the document's words in `_words`
        self._words = np.empty(256, dtype=np.uint32)
        self._number_of = np.full(64, -1, dtype=np.int64)   # by row
        self._is_ordered = True                         # rows ascend with numbers, as long as none was used twice
        self._last_row = -1
        self._masks: dict[int, int] = {0: 0}            # set of fields -> its number
        self._mask_list: list[int] = [0]
        self._fitting: dict[int, np.ndarray] = {}       # fields -> by set of fields whether one is in it
        self._fitting_at: dict[int, int] = {}           # the addresses of these
        self._remembered: dict[tuple, dict[bytes, tuple[int, ...]]] = {}
        self.stopwords: frozenset[bytes] = frozenset()
        self.gap = 100                                  # positions from the end of a value to the beginning of the next
        self.has_gaps = False

    # Documents

    def put(self, row: int, value, language: str) -> int:
        """Indexes the text of a row anew; returns how many postings that made. `value`: its hash."""
        self.clear(row)
        freqs: dict[int, int] = {}      # term -> frequency, with the fields above bit 32
        words: list[int] = []
        length = 0
        for bit, field in enumerate(self.fields):
            spec = field.spec
            if spec.no_index:
                continue
            texts = value.get(field.path)
            if texts is None:
                continue
            known = self._remembered_words(language, spec)
            weight = field.weight
            derived = field.derived_weights
            mark = 1 << 32 + bit
            for word in _words_of(texts, spec, language):
                if word is None:
                    words.append(GAP)
                    self.has_gaps = True
                    continue
                made = known.get(word)
                if made is None:
                    made = self._learn(known, word, language, spec)
                if not made:
                    continue
                term = made[0]
                words.append(term)
                length += weight
                freqs[term] = (freqs.get(term, 0) + weight) | mark
                if len(made) > 1:
                    for i in range(1, len(made), 2):
                        term = made[i]
                        freqs[term] = (freqs.get(term, 0) + derived[made[i + 1]]) | mark
        self._post(self._append(row, words, length), freqs)
        return len(freqs)

    def _append(self, row: int, words: list[int], length: int) -> int:
        """Gives a document the next number: keeps its words behind those of the others, and its length. Returns the number."""
        number = self.n_numbers
        if number == len(self._row_of):
            self._grow_columns()
        start = int(self._starts[number])
        end = start + len(words)
        if end > len(self._words):
            more = np.empty(max(len(self._words) // 4, len(words), 4096), dtype=np.uint32)
            self._words = np.concatenate([self._words, more])
        self._words[start:end] = words
        self._starts[number + 1] = end
        self._row_of[number] = row
        self._lengths[number] = length
        self.n_numbers = number + 1
        if row >= len(self._number_of):
            more = np.full(max(len(self._number_of) // 4, row + 1 - len(self._number_of), 1024), -1, dtype=np.int64)
            self._number_of = np.concatenate([self._number_of, more])
        self._number_of[row] = number
        if row < self._last_row:
            self._is_ordered = False
        self._last_row = row
        self.n_docs += 1
        self.total_length += length
        return number

    def _post(self, number: int, freqs: dict[int, int]) -> None:
        """Adds a document to the postings of its terms. `freqs`: term -> frequency, with the fields above bit 32."""
        self.n_postings += len(freqs)
        postings, masks = self.postings, self._masks
        head = number << _NUMBER_SHIFT
        peak, no_freqs = 0, self.options.no_freqs
        for term, packed in freqs.items():
            freq = packed & 0xffffffff
            if freq > peak:
                peak = freq
            if no_freqs:
                freq = 1
            mask = masks.get(packed >> 32)
            if mask is None:
                mask = self._new_mask(packed >> 32)
            posting = head | mask << _FIELDS_SHIFT | (freq if freq < _MOST_FREQUENT else _MOST_FREQUENT)
            old = postings[term]
            if old is None:
                postings[term] = posting
                self.n_terms += 1
            elif type(old) is int:
                postings[term] = array("Q", (old, posting))
            else:
                old.append(posting)
        self._peaks[number] = min(peak, _MOST_FREQUENT)
        self._counts[number] = min(len(freqs), _MOST_FREQUENT)

    def count(self, row: int) -> int:
        """How many postings a row has."""
        number = int(self._number_of[row]) if row < len(self._number_of) else -1
        return int(self._counts[number]) if number >= 0 else 0

    def clear(self, row: int) -> None:
        """Forgets the text of a row, if it had any."""
        number = int(self._number_of[row]) if row < len(self._number_of) else -1
        if number < 0:
            return
        self._number_of[row] = -1
        self._row_of[number] = _DEAD
        self.n_docs -= 1
        self.n_dead += 1
        self.total_length -= int(self._lengths[number])

    def _grow_columns(self) -> None:
        more = max(64, len(self._row_of) // 4)
        for name in ("_row_of", "_lengths", "_peaks", "_counts"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.empty(more, dtype=column.dtype)]))
        self._starts = np.concatenate([self._starts, np.empty(more, dtype=np.uint64)])

    def _new_mask(self, fields: int) -> int:
        if len(self._mask_list) >= _ANY_FIELDS:
            return _ANY_FIELDS
        self._masks[fields] = number = len(self._mask_list)
        self._mask_list.append(fields)
        return number

    # Words to terms

    def _remembered_words(self, language: str, spec) -> dict[bytes, tuple[int, ...]]:
        key = language if not spec.no_stem else "", spec.phonetic is not None
        known = self._remembered.get(key)
        if known is None:
            known = self._remembered[key] = {}
        return known

    def _learn(self, known: dict, word: bytes, language: str, spec) -> tuple[int, ...]:
        """What a word is indexed as: its term, then pairs of a derived term and its kind (an index of `derived_weights`); nothing
        for a stop word."""
        if len(known) >= _MAX_REMEMBERED:
            known.clear()
        if word in self.stopwords:
            made: tuple[int, ...] = ()
        else:
            parts = [self._term(word)]
            if not spec.no_stem and len(word) >= self.min_stem():
                stem = lang.stem(word, language)
                if stem != word:
                    parts += [self._derived(lang.STEM + stem, parts[0]), 0]
            if spec.phonetic is not None and (code := lang.sound(word)):
                parts += [self._derived(lang.SOUND + code, parts[0]), 1]
            for group in self.groups.get(word, ()):
                parts += [self._derived(lang.SYNONYM + group, parts[0]), 1]
            made = tuple(parts)
        known[word] = made
        return made

    def _term(self, name: bytes) -> int:
        term = self.terms.add(name)
        if term == len(self.postings):
            self.postings.append(None)
            self.stem_of.append(0)
        return term

    def _derived(self, name: bytes, word: int) -> int:
        """The term of a stem or the like, which stands where `word` stands."""
        term = self._term(name)
        if self.stem_of[word] == term + 1:
            return term
        if name.startswith(lang.STEM) and not self.stem_of[word]:
            self.stem_of[word] = term + 1
        else:
            self.sources.setdefault(term, set()).add(word)
        return term

    def forget_words(self) -> None:
        """To be called when stop words, synonyms or the rules of stemming change."""
        self._remembered.clear()

    # Reading

    def frequency(self, name: bytes) -> int:
        """How many documents have a term; dead ones count until they are collected."""
        term = self.terms.get(name)
        if term is None:
            return 0
        packed = self.postings[term]
        return 0 if packed is None else 1 if type(packed) is int else len(packed)

    def read(self, name: bytes, fields: int | None) -> Postings | None:
        """The live postings of a term in some fields (a set of bits; None: any); None if there are none."""
        term = self.terms.get(name)
        if term is None:
            return None
        packed = self.postings[term]
        if packed is None:
            return None
        words = np.array((packed,) if type(packed) is int else packed, dtype=np.uint64)
        if fields is not None:
            words = words[self._fits(words, fields)]
        numbers = (words >> np.uint64(_NUMBER_SHIFT)).astype(np.uint32)
        rows = self._row_of[numbers]
        freqs = words.astype(np.uint32) & np.uint32(_MOST_FREQUENT)
        if self.n_dead:
            live = rows != _DEAD
            if not live.all():
                rows, freqs, numbers = rows[live], freqs[live], numbers[live]
        if not len(rows):
            return None
        if not self._is_ordered:
            order = np.argsort(rows)
            rows, freqs, numbers = rows[order], freqs[order], numbers[order]
        return Postings(rows, freqs, numbers)

    def _fits(self, words: np.ndarray, fields: int) -> np.ndarray:
        """Which postings are of one of the fields."""
        return self.fitting(fields)[(words >> np.uint64(_FIELDS_SHIFT)).astype(np.uint16)]

    def fitting(self, fields: int) -> np.ndarray:
        """By the number of a set of fields: whether one of `fields` is in it."""
        known = self._fitting.get(fields)
        if known is None or len(known) != len(self._mask_list) and len(known) <= _ANY_FIELDS:
            n = len(self._mask_list)
            known = np.zeros(_ANY_FIELDS + 1 if n >= _ANY_FIELDS else n, dtype=bool)
            known[:n] = [bool(one & fields) for one in self._mask_list]
            known[_ANY_FIELDS:] = True
            self._fitting[fields] = known
            self._fitting_at[fields] = known.ctypes.data
        return known

    def fitting_at(self, fields: int) -> int:
        """The address of the array that `fitting` gave for these fields last."""
        return self._fitting_at[fields]

    @property
    def columns(self) -> tuple:
        """What native.TextTop.columns takes but for the doc ids."""
        return self._row_of, self._lengths, self._words, self._starts, self._number_of

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """The numbers of rows; -1 for a row without text."""
        known = self._number_of
        if len(rows) and rows[-1] >= len(known):
            found = np.full(len(rows), -1, dtype=np.int64)
            inside = rows < len(known)
            found[inside] = known[rows[inside]]
            return found
        return known[rows]

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """How long the rows' texts are: their words by the weights of the fields. Zero for a row without text."""
        return self._column(self._lengths, rows)

    def peaks(self, rows: np.ndarray) -> np.ndarray:
        """The greatest frequency of a term in each row."""
        return self._column(self._peaks, rows)

    def _column(self, column: np.ndarray, rows: np.ndarray) -> np.ndarray:
        numbers = self.numbers(rows)
        values = column[numbers]
        return np.where(numbers < 0, 0, values) if len(numbers) and numbers.min() < 0 else values

    def words_of(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The words of documents, one after the other:
        terms, and where each document begins among them (one more than there are documents)."""
        starts = self._starts[numbers].astype(np.int64)
        counts = self._starts[numbers + 1].astype(np.int64) - starts
        bounds = np.concatenate([[0], np.cumsum(counts)])
        at = np.repeat(starts - bounds[:-1], counts) + np.arange(bounds[-1])
        return self._words[at], bounds

    def stands(self, words: np.ndarray, name: bytes) -> np.ndarray:
        """Where among these words (terms) a term stands: a mask."""
        term = self.terms.get(name)
        if term is None:
            return np.zeros(len(words), dtype=bool)
        mask = words == term
        if name[:1] in (lang.STEM, lang.SOUND, lang.SYNONYM):
            known = np.where(words == GAP, 0, words) if self.has_gaps else words
            mask = mask | ((np.array(self.stem_of)[known] == term + 1) & (known == words))
            others = self.sources.get(term)
            if others:
                mask |= np.isin(words, np.array(sorted(others), dtype=np.uint32))
        return mask

    # Housekeeping

    def collect(self) -> None:
        """Takes the postings of dead numbers out."""
        if not self.n_dead:
            return
        row_of = self._row_of
        for term, packed in enumerate(self.postings):
            if packed is None:
                continue
            words = np.array((packed,) if type(packed) is int else packed, dtype=np.uint64)
            live = row_of[(words >> np.uint64(_NUMBER_SHIFT)).astype(np.uint32)] != _DEAD
            n = int(np.count_nonzero(live))
            if n < len(words):
                self.n_postings -= len(words) - n
                words = words[live]
                self.postings[term] = None if not n else int(words[0]) if n == 1 else array("Q", words.tobytes())
                self.n_terms -= not n
        self.n_dead = 0

    @staticmethod
    def bytes_of(n: int, assumed: dict) -> int:
        """What `nbytes` may be expected to be with n documents, of whose text `assumed` (measure/estimate.py) says more."""
        n_words, n_postings = n * assumed["TEXT_WORDS"], n * assumed["TEXT_POSTINGS"]
        n_terms = min(assumed["TEXT_TERMS"], n_postings)
        columns = grown(64, n, 4, 64)
        held = 20 * columns + 8 + 4 * grown(256, n_words, 4, 4096) + 8 * grown(64, n, 4, 1024)
        return held + n_terms * (4 + 8 + _LIST) + Terms.bytes_of(n_terms, assumed["TEXT_TERM_BYTES"]) + 8 * n_postings

    @property
    def nbytes(self) -> int:
        held = self._row_of.nbytes + self._lengths.nbytes + 2 * self._peaks.nbytes + self.place_nbytes
        held += self._number_of.nbytes + 4 * len(self.stem_of) + self.terms.nbytes
        n_lists = sum(type(packed) is array for packed in self.postings)
        return held + 8 * len(self.postings) + 36 * (len(self.postings) - n_lists) + _LIST * n_lists + 8 * self.n_postings

    @property
    def place_nbytes(self) -> int:
        """What `nbytes` has of where in its document each word stands."""
        return self._starts.nbytes + self._words.nbytes

    def bits(self, names: Collection[bytes] | None) -> int | None:
        """The set of fields of these names; None for all."""
        if names is None:
            return None
        return sum(1 << bit for bit, field in enumerate(self.fields) if field.name in names)

    def containers(self) -> list:
        """The dicts and lists that hold an object per term."""
        return [self.postings, *self.terms.containers(), *self._remembered.values()]

