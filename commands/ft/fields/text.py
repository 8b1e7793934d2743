"""TEXT: the field's part of the full-text index, which all TEXT fields of an index share (commands/ft/text/)."""
from .base import Field, fold_whole


class TextField(Field):
    """Text. Its words are in the index's TextIndex; here is what a word in this field weighs, and the sort key."""

    type_name = "TEXT"

    def __init__(self, spec):
        super().__init__(spec)
        #: How often a word counts, and what was made of it: a stem; a sound or a synonym.
        self.weight = max(1, int(spec.weight))
        self.derived_weights = max(1, int(spec.weight * 0.2)), max(1, int(spec.weight * 0.1))

    def parse(self, raw: bytes) -> bytes:
        self.check_sortable(raw)
        return raw

    def parse_texts(self, texts: list[bytes]) -> bytes:
        return texts[0]

    def put(self, row: int, value: bytes) -> None:
        if self.sort_keys is not None:
            self.sort_keys[row] = value if self.spec.unf else fold_whole(value)

    def clear(self, row: int) -> None:
        if self.sort_keys is not None:
            self.sort_keys.pop(row, None)
