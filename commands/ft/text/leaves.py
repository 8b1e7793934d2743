"""The text parts of a query: words to terms, terms to matches."""
from math import inf
from time import perf_counter_ns

import numpy as np
from pyroaring import BitMap

import native

from .. import errors, tree
from ..matches import ALL, FIRST, Group, Leaf, Match, any_of, row_array, row_set
from . import language as lang
from .places import exact, within
from .terms import first, is_word
from .words import characters

#: Terms or tags that are looked up between two looks at the clock.
AT_A_TIME = 128
#: Characters of the longest text that is looked for among the terms.
_LONGEST = 1024
_EXPANDERS = frozenset((b"DEFAULT", b"SBSTEM", b"PHONETIC", b"SYNONYM"))


def field_set(index, options, fields) -> int | None:
    """The fields that a node looks into, as a set of bits; None for all."""
    if index.options.no_fields:
        return None
    bits = index.text.bits(fields)
    if options is not None and options.in_fields:
        allowed = index.text.bits(options.in_fields)
        bits = allowed if bits is None else bits & allowed
    return bits


def language_of(index, options) -> str:
    """The language of a query's words."""
    return (options.language if options is not None else None) or index.options.language or "english"


def expand(index, options, node: tree.Term) -> list[tuple[bytes, tuple[bytes, ...] | None]]:
    """The terms that a word stands for besides itself: synonym groups, how it sounds, its stem. With each the fields in which
    it is looked for: the node's, but stems only in those that stem."""
    if node.exact or node.fields == () or options is not None and (options.verbatim or options.expander is not None
                                              and options.expander.upper() not in _EXPANDERS):
        return []
    text = index.text
    kind = options.expander.upper() if options is not None and options.expander else b"DEFAULT"
    specs = [field.spec for field in text.fields if node.fields is None or field.name in node.fields]
    word = node.text
    found = []
    if kind in (b"DEFAULT", b"SYNONYM"):
        found += [(lang.SYNONYM + group, node.fields) for group in text.groups.get(word, ())]
    if kind in (b"DEFAULT", b"PHONETIC"):
        wants = node.attributes.phonetic if node.attributes is not None else None
        if wants is not False and any(spec.phonetic for spec in specs) and (code := lang.sound(word)):
            found.append((lang.SOUND + code, node.fields))
    if kind in (b"DEFAULT", b"SBSTEM") and word and not (specs and all(spec.no_stem for spec in specs)):
        stem = lang.stem(word, language_of(index, options))
        stemming = node.fields
        if stemming is not None and any(spec.no_stem for spec in specs):
            stemming = tuple([field.name for field in text.fields if field.name in stemming and not field.spec.no_stem])
        found.append((lang.STEM + stem, stemming))
        if stem != word:
            found.append((stem, stemming))
    return found


class TextReader:
    """Finds the matches of text nodes for one evaluation."""

    __slots__ = ("index", "options", "config", "warnings", "_deadline")

    def __init__(self, index, options, config, deadline: float = inf):
        """deadline: by perf_counter_ns; later native.SearchTimeout ends the evaluation."""
        self.index = index
        self.options = options
        self.config = config
        self.warnings: list[bytes] = []
        self._deadline = deadline

    def leaf(self, name: bytes, fields: int | None, weight: float = 1.0) -> Leaf | None:
        """The match of one term, None if there is none."""
        text = self.index.text
        postings = text.read(name, fields)
        if postings is None:
            return None
        return Leaf(name, None, weight, text.frequency(name), postings.rows, postings.freqs)

    def _weight(self, node) -> float:
        attributes = node.attributes
        return 1.0 if attributes is None or attributes.weight is None else attributes.weight

    def term(self, node: tree.Term) -> Match:
        if not node.text.isascii() and language_of(self.index, self.options) == lang.CHINESE:
            words = characters(node.text)
            if len(words) != 1:
                return self.phrase(tree.Phrase(words, node.fields, attributes=node.attributes))
        fields = field_set(self.index, self.options, node.fields)
        own = self.leaf(node.text, fields, self._weight(node))
        others = [self.leaf(name, fields if names is node.fields else field_set(self.index, self.options, names))
                  for name, names in expand(self.index, self.options, node)]
        return any_of([own, *others])

    def phrase(self, node: tree.Phrase) -> Match:
        fields = field_set(self.index, self.options, node.fields)
        words = node.words
        if language_of(self.index, self.options) == lang.CHINESE:
            words = [piece for word in words for piece in characters(word)]
        leaves = [self.leaf(word, fields) for word in words]
        if not words or None in leaves:
            return Match(BitMap())
        rows = leaves[0].rows
        for leaf in leaves[1:]:
            rows = rows & leaf.rows
        if rows and self.index.options.no_offsets:
            rows = BitMap()
        elif rows:
            candidates = row_array(rows)
            rows = row_set(candidates[exact(self.index.text, candidates, words)])
        return Group(ALL, leaves, rows, self._weight(node))

    def _first_of(self, node, names: list[bytes]) -> Match:
        fields = field_set(self.index, self.options, node.fields)
        leaves = []
        for i, name in enumerate(names):
            if i % AT_A_TIME == AT_A_TIME - 1 and perf_counter_ns() > self._deadline:
                raise native.SearchTimeout(0, "time is up")
            if (leaf := self.leaf(name, fields)) is not None:
                leaves.append(leaf)
        if not leaves:
            return Match(BitMap())
        return Group(FIRST, leaves, BitMap.union(*[leaf.rows for leaf in leaves]), self._weight(node))

    def pattern(self, node) -> Match:
        """What an Affix, a Fuzzy or a Pattern matches."""
        return self._first_of(node, self.names(node))

    def names(self, node) -> list[bytes]:
        """The terms that an Affix, a Fuzzy or a Pattern stands for."""
        terms, limit = self.index.text.terms, self.config["search-max-prefix-expansions"]
        kind = type(node)
        if len(node.text) > _LONGEST:
            what = "Wildcard" if kind is tree.Pattern else "Fuzzy" if kind is tree.Fuzzy else node.kind.upper()
            raise errors.fail(errors.TERM_TOO_LONG, what)
        if kind is tree.Affix:
            if len(node.text) < self.config["search-min-prefix"]:
                return []
            if node.kind == "prefix":
                found = terms.with_prefix(node.text)
            else:
                self._check_suffixes(node)
                found = self._of_words(node, (terms.with_suffix if node.kind == "suffix" else terms.with_infix)(node.text))
        elif kind is tree.Fuzzy:
            found = iter(terms.near(node.text, node.distance, limit + 1))
            if self.options.dialect < 2:
                found = filter(None, found)         # it does not know empty strings
        else:
            self._check_suffixes(node)
            found = self._of_words(node, terms.matching(node.text))
        if self.index.n_removals:
            found = filter(self.index.text.frequency, found)        # some may have no document any more
        names, is_cut = first(found, limit)
        if is_cut and errors.EXPANSIONS_WARNING not in self.warnings:
            self.warnings.append(errors.EXPANSIONS_WARNING)
        return names

    def _check_suffixes(self, node) -> None:
        """Raises CommandError for a suffix, infix or pattern of fields without WITHSUFFIXTRIE in an index that has fields with
        it, as Redis does: it looks there alone."""
        fields = self.index.text.fields
        if node.fields is not None and any(field.spec.suffix_trie for field in fields) and not all(
                field.spec.suffix_trie for field in fields if field.name in node.fields):
            raise errors.CommandError(errors.NO_SUFFIX_FIELD)

    def _of_words(self, node, names):
        """Without stems and the like where the fields have their words' suffixes indexed: stems are not among these."""
        specs = [field.spec for field in self.index.text.fields if node.fields is None or field.name in node.fields]
        return filter(is_word, names) if specs and all(spec.suffix_trie for spec in specs) else names

    def near_each_other(self, group: Group, slop: int | None, in_order: bool) -> BitMap:
        """The rows in which what the children matched stands within `slop` other words (None: any number),
        in order if asked for."""
        parts = [child for child in group.children if child.has_places]
        if len(parts) < 2 or not group.rows:
            return group.rows
        if self.index.options.no_offsets:
            return BitMap()
        rows = row_array(group.rows)
        keep = self.index.text.numbers(rows) < 0        # of optional words alone: nothing stands anywhere
        with_text = np.flatnonzero(~keep)
        keep[with_text] = within(self.index.text, rows[with_text], parts, slop, in_order)
        return group.rows if keep.all() else row_set(rows[np.flatnonzero(keep)])
