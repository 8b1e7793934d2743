"""TAG: value -> set of rows."""
import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import repeat

from pyroaring import BitMap

from .base import Field, fold, fold_whole

#: A longer tag is cut, as in Redis.
MAX_TAG_BYTES = 4096


class TagField(Field):
    """Tags of each row. A tag that one row alone has is kept as that row's number, not as a set: names and ids are often tags."""

    type_name = "TAG"
    records_per_document = 1

    def __init__(self, spec):
        super().__init__(spec)
        self.separator: bytes = spec.separator
        self.is_case_sensitive: bool = spec.case_sensitive
        self.takes_empty: bool = spec.index_empty
        self.postings: dict[bytes, BitMap | int] = {}
        self._interned: dict[bytes, bytes] = {}                     # the one object per tag that rows refer to
        self._tags_of: list[bytes | tuple[bytes, ...] | None] = []  # row -> its tag or tags
        self._tag_bytes = self._n_memberships = 0                   # for nbytes
        self._rows = BitMap()                                       # rows with a value, be it without a tag
        self._sorted: list[bytes] | None = []                       # the tags in order, None: to be sorted again

    def normal(self, tag: bytes) -> bytes:
        """A tag as it is stored: folded unless the field is case sensitive."""
        return tag if self.is_case_sensitive else fold(tag)

    def parse_texts(self, texts: list[bytes]):
        parts = [part for text in texts for part in text.split(self.separator)] if self.separator else texts
        tags = dict.fromkeys(self.normal(tag[:MAX_TAG_BYTES]) for part in parts if (tag := part.strip()))
        if self.takes_empty and not all(map(bytes.strip, texts)):
            tags[b""] = None
        return tuple(tags), texts[0]

    def parse(self, raw: bytes):
        raw = raw.partition(b"\0")[0]
        self.check_sortable(raw)
        parts = raw.split(self.separator)
        if len(parts) == 1:
            tag = raw.strip()[:MAX_TAG_BYTES]
            tags = (self.normal(tag),) if tag else ()
        else:
            tags = tuple(dict.fromkeys(self.normal(tag[:MAX_TAG_BYTES])
                                       for part in parts if (tag := part.strip()) or self.takes_empty))
        if not tags and self.takes_empty and not raw.strip():
            tags = (b"",)
        return tags, raw

    def put(self, row: int, value) -> None:
        tags, raw = value
        self.clear(row)
        if self.sort_keys is not None:
            self.sort_keys[row] = raw if self.spec.unf else fold_whole(raw)
        if self.spec.no_index:
            return
        self._rows.add(row)
        postings = self.postings
        kept = []
        for tag in tags:
            rows = postings.get(tag)
            if rows is None:
                postings[tag] = row
                self._interned[tag] = tag
                self._tag_bytes += len(tag)
                self._sorted = None
            elif type(rows) is int:
                postings[tag] = BitMap((rows, row))
            else:
                rows.add(row)
            kept.append(self._interned[tag])
        self._n_memberships += len(kept)
        if kept:
            tags_of = self._tags_of
            if row >= len(tags_of):
                tags_of.extend(repeat(None, row + 1 - len(tags_of)))
            tags_of[row] = kept[0] if len(kept) == 1 else tuple(kept)

    def clear(self, row: int) -> None:
        if self.sort_keys is not None:
            self.sort_keys.pop(row, None)
        self._rows.discard(row)
        tags_of = self._tags_of
        tags = tags_of[row] if row < len(tags_of) else None
        if tags is None:
            return
        tags_of[row] = None
        for tag in (tags,) if type(tags) is bytes else tags:
            rows = self.postings[tag]
            self._n_memberships -= 1
            if type(rows) is int:
                left = 0
            else:
                rows.discard(row)
                left = len(rows)
            if not left:
                del self.postings[tag]
                del self._interned[tag]
                self._tag_bytes -= len(tag)
                self._sorted = None

    def state(self):
        if self.sort_keys is not None or self.present is not None:
            return None
        return ([(tag, rows if type(rows) is int else rows.serialize()) for tag, rows in self.postings.items()], self._tags_of,
                self._rows.serialize(), self._n_memberships)

    def restore(self, state) -> None:
        postings, tags_of, rows, self._n_memberships = state
        self.postings = {tag: rows_ if type(rows_) is int else BitMap.deserialize(rows_) for tag, rows_ in postings}
        self._interned = {tag: tag for tag in self.postings}
        one = self._interned.get
        self._tags_of = [one(tags) if type(tags) is bytes else tags and tuple(map(one, tags)) for tags in tags_of]
        self._tag_bytes = sum(map(len, self.postings))
        self._rows = BitMap.deserialize(rows)
        self._sorted = None

    def rows_of(self, tag: bytes) -> BitMap:
        """The rows with this tag, which is given as in `postings`. Not to be changed by the caller."""
        rows = self.postings.get(tag)
        if rows is None:
            return BitMap()
        return BitMap((rows,)) if type(rows) is int else rows

    def count(self, tag: bytes) -> int:
        """How many rows have this tag."""
        rows = self.postings.get(tag)
        return 0 if rows is None else 1 if type(rows) is int else len(rows)

    def _in_order(self) -> list[bytes]:
        if self._sorted is None:
            self._sorted = sorted(self.postings)
        return self._sorted

    def with_prefix(self, prefix: bytes) -> Iterator[bytes]:
        """The tags that begin with `prefix`, in order."""
        tags = self._in_order()
        for i in range(bisect_left(tags, prefix), len(tags)):
            if not tags[i].startswith(prefix):
                return
            yield tags[i]

    def with_suffix(self, suffix: bytes) -> Iterator[bytes]:
        """The tags that end with `suffix`, in order."""
        return (tag for tag in self._in_order() if tag.endswith(suffix))

    def with_infix(self, infix: bytes) -> Iterator[bytes]:
        """The tags that contain `infix`, in order."""
        return (tag for tag in self._in_order() if infix in tag)

    def matching(self, pattern: bytes) -> Iterator[bytes]:
        """The tags that a wildcard pattern fits as a whole: ? is one character, * any number,
        a backslash takes the next literally."""
        match = wildcard(pattern).fullmatch
        head = re.match(rb"[^?*\\]*", pattern).group()
        return (tag for tag in (self.with_prefix(head) if head else self._in_order()) if match(tag))

    def containers(self) -> list:
        return [*super().containers(), self._tags_of, self.postings, self._interned]

    @property
    def n_values(self) -> int:
        return len(self._rows)

    @classmethod
    def bytes_of(cls, spec, n, assumed):
        if spec.no_index:
            return 0
        n_tags = min(assumed["TAG_VALUES"], n * assumed["TAGS_PER_DOCUMENT"])
        return _bytes_of(n_tags, n_tags * assumed["TAG_BYTES"], n * assumed["TAGS_PER_DOCUMENT"], n)

    @property
    def nbytes(self) -> int:
        return _bytes_of(len(self.postings), self._tag_bytes, self._n_memberships, len(self._tags_of))

    @property
    def names_nbytes(self) -> int:
        """That part of `nbytes` that the tags take, not the documents that have them."""
        return _bytes_of(len(self.postings), self._tag_bytes, 0, 0)


def _bytes_of(n_tags: int, tag_bytes: int, n_memberships: int, n_rows: int) -> int:
    # Per tag: a bytes object, entries in two dicts, now and then a set; per membership two bytes in a set; per row
    # a place in a list.
    return tag_bytes + 280 * n_tags + 2 * n_memberships + 9 * n_rows


def wildcard(pattern: bytes) -> re.Pattern:
    """The regular expression of a w'...' pattern. What is between two stars is taken where it is met first, for good: so
    no pattern costs more than its length times the tag's."""
    pieces: list[bytes] = []
    out: list[bytes] = []
    i = 0
    while i < len(pattern):
        char = pattern[i:i + 1]
        if char == b"\\" and i + 1 < len(pattern):
            i += 1
            out.append(re.escape(pattern[i:i + 1]))
        elif char == b"*":
            pieces.append(b"".join(out))
            out = []
        elif char == b"?":
            out.append(b".")
        else:
            out.append(re.escape(char))
        i += 1
    last = b"".join(out)
    if pieces:
        last = pieces[0] + b"".join(b"(?>.*?%b)" % piece for piece in pieces[1:] if piece) + b".*" + last
    return re.compile(last, re.DOTALL)
