"""What every field type has in common."""
from itertools import islice

from pyroaring import BitMap

from .. import errors

_SORT_KEY = 133                                 # bytes that a sort key takes beside its text: objects and a dict's entry


class FieldError(Exception):
    """A value that cannot be indexed. `text` is what FT.INFO shows as the last indexing error."""

    def __init__(self, text: str):
        super().__init__(text)
        self.text = text


class ErrorCount:
    """Indexing failures of an index or of one of its fields, with the last one's reason."""

    __slots__ = ("count", "last_error", "last_key")

    def __init__(self):
        self.count = 0
        self.last_error = "N/A"
        self.last_key = b"N/A"

    def add(self, text: str, key: bytes) -> None:
        self.count += 1
        self.last_error = text
        self.last_key = key


class Field:
    """One field of one index. Subclasses keep what their kind of query needs, by row.

    A value is first read (`parse`, which may refuse it and changes nothing) and then stored (`put`); `clear` forgets a
    row's value. `missing` holds the rows without the field where the schema asks for INDEXMISSING, else it is None."""

    type_name = ""              # TEXT, TAG, ...
    records_per_document = 0    # what a stored value adds to FT.INFO's num_records
    keeps_document = False      # True: a bad value is counted but the document is indexed without it

    def __init__(self, spec):
        self.spec = spec
        self.path: bytes = spec.path            # the field of the hash
        self.name: bytes = spec.name            # what queries call it
        self.errors = ErrorCount()
        self.has_arrays = False                 # whether a JSON document had an array for it
        self.present = BitMap() if spec.index_missing else None
        self.sort_keys: dict[int, bytes] | None = {} if spec.sortable and self.type_name != "NUMERIC" else None
        self.codes = None                       # what GROUPBY keeps of it (grouping.py)

    def parse(self, raw: bytes):
        """The value in the form that `put` takes. Raises FieldError for one that cannot be indexed."""
        raise NotImplementedError

    def check_sortable(self, raw: bytes) -> None:
        """Raises FieldError for a text that the field should sort by without regard to case and that is not UTF-8, as from
        Redis 8.8 on."""
        if self.sort_keys is not None and not raw.isascii() and not self.spec.unf and errors.has_codes:
            try:
                raw.decode()
            except UnicodeDecodeError:
                raise FieldError(errors.NOT_UTF8) from None

    def parse_texts(self, texts: list[bytes]):
        """Likewise for the texts that a JSON document has for the field, at least one. Each must be one that `parse` takes;
        where a field cannot have several, the first counts. Raises FieldError."""
        return [self.parse(text) for text in texts][0]

    def put(self, row: int, value) -> None:
        """Stores the value of a row, in place of what it had."""
        raise NotImplementedError

    def clear(self, row: int) -> None:
        """Forgets a row's value, if it had one."""
        raise NotImplementedError

    def note_presence(self, row: int, is_present: bool) -> None:
        """Keeps the books for ismissing()."""
        if self.present is not None:
            if is_present:
                self.present.add(row)
            else:
                self.present.discard(row)

    def sort_key(self, row: int):
        """The value that SORTBY compares: a float, bytes, or None where there is none. Only for sortable fields."""
        return self.sort_keys.get(row) if self.sort_keys is not None else None

    def n_records_of(self, row: int) -> int:
        """What a row that has a value has added to FT.INFO's num_records."""
        return self.records_per_document

    @property
    def n_values(self) -> int:
        """How many rows have a record in this field's index."""
        return 0

    @property
    def nbytes(self) -> int:
        """Bytes that the field's index holds, without sort keys."""
        return 0

    @property
    def sortable_nbytes(self) -> int:
        """Bytes that the sort keys hold, and what GROUPBY keeps."""
        held = self.codes.nbytes if self.codes is not None else 0
        if not self.sort_keys:
            return held
        n = len(self.sort_keys)
        sample = [len(text) for text in islice(self.sort_keys.values(), 256)]
        return int(n * (sum(sample) / len(sample) + _SORT_KEY)) + held

    @classmethod
    def bytes_of(cls, spec, n: int, assumed: dict) -> int:
        """What `nbytes` will be with a value in n documents, of which `assumed` (measure/estimate.py) says more."""
        return 0

    @staticmethod
    def sortable_bytes_of(n: int, assumed: dict) -> int:
        """What `sortable_nbytes` will be with a value in n documents."""
        return n * (assumed["SORTABLE_BYTES"] + _SORT_KEY)

    def containers(self) -> list:
        """The dicts and lists that hold an object per row or value."""
        return [] if self.sort_keys is None else [self.sort_keys]

    def state(self):
        """What the field holds, in plain values (marshal), or None: then it is filled from the documents after a restart."""
        return None

    def restore(self, state) -> None:
        """Takes over a state; the field is empty."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives back what the field holds outside Python."""


def fold_whole(raw: bytes) -> bytes:
    """Text without regard to case, as values are sorted and grouped: letters may become several."""
    return raw.lower() if raw.isascii() else raw.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")


def fold(raw: bytes) -> bytes:
    """Text in lower case; bytes that are not UTF-8 stay as they are."""
    if raw.isascii():
        return raw.lower()
    # Python lowers a sigma by its place in the word.
    return raw.decode("utf-8", "surrogateescape").replace("\u03a3", "\u03c3").lower().encode("utf-8", "surrogateescape")
