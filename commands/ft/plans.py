"""What an index keeps of the searches that it has been asked: how they were read, and what the filters of KNN searches let
pass."""
from itertools import islice

#: Prepared searches kept per index; when there are more, the older half is forgotten.
MAX_PREPARED = 1024
#: Bytes of filters and roads (lanes.py) kept per index, or so many for each document where that is more.
MAX_BYTES, MAX_BYTES_PER_DOCUMENT = 64 << 20, 32


def forget_older_half(kept: dict) -> None:
    """Takes the entries out of a dict that are in it for longest."""
    for key in list(islice(kept, (len(kept) + 1) // 2)):
        del kept[key]


class Plans(dict):
    """Prepared searches, by text, and what else is kept until the schema or a setting changes. `version` grows when that happens:
    what others have kept is no longer right then."""

    __slots__ = ("version", "n_bytes", "_sizes")

    def __init__(self):
        super().__init__()
        self.version = 0
        self.n_bytes = 0                            # of all filters and roads
        self._sizes: dict = {}                      # HotKnn -> those of its own; the first ones are asked first to go

    def clear(self) -> None:
        """Forgets everything: it may be wrong."""
        super().clear()
        self._sizes.clear()
        self.n_bytes = 0
        self.version += 1

    def make_room(self) -> None:
        """To be called before something is kept."""
        if len(self) >= MAX_PREPARED:
            forget_older_half(self)

    def note_size(self, hot, n_bytes: int, n_documents: int) -> bool:
        """Takes down what a HotKnn's filter and roads take. Returns whether there is too much now: then `evict` has to be called
        soon."""
        self.n_bytes += n_bytes - self._sizes.pop(hot, 0)
        if n_bytes:
            self._sizes[hot] = n_bytes
        return self.n_bytes > most_bytes(n_documents)

    def evict(self, n_documents: int) -> None:
        """If there is too much, has those that were not used lately give up what they keep, until there is room for more; nobody
        may be about to use it."""
        sizes, most = self._sizes, most_bytes(n_documents)
        if self.n_bytes <= most:
            return
        for hot in 2 * list(sizes):
            if self.n_bytes <= most - most // 8:
                break
            if hot not in sizes:                    # it has gone when it came first
                continue
            size = sizes.pop(hot)
            if hot.is_used:
                hot.is_used = False
                sizes[hot] = size
            else:
                self.n_bytes -= size
                hot.give_up()


def most_bytes(n_documents: int) -> int:
    """Bytes of filters and roads that an index of so many documents keeps."""
    return max(MAX_BYTES, MAX_BYTES_PER_DOCUMENT * n_documents)
