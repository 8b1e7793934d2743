"""Where the original vectors of indexed documents live: in memory, or in slots of a file (respserver/values/slots.py).

`search-vector-originals` says it for the server, ORIGINALS for one field. HSET and its like write a vector to the file before
anything changes, so that a full disk is an error of that command and of nothing else; vectors that come otherwise (COPY, RENAME,
the scan of a new index, a switch of the setting) and those of JSON documents are moved afterwards and stay in memory if that
fails. A vector in the file stays there when its index is dropped or its key moves elsewhere, until it is overwritten or
`search-vector-originals memory` is set; nobody who reads a document can tell the difference.

Of a JSON document it is the array of numbers that moves, in the form that keeps each number (values/json.py: `filing`); one that
mixes integers and fractions stays in memory.
"""
import glob
import os
import time
from collections.abc import Callable, Generator, Iterable
from functools import partial

import numpy as np

import native
from respserver.protocol.errors import CommandError
from respserver.values.hash import Hash, raw_of_many
from respserver.values.json import Filed, Json, filing, in_files
from respserver.values.slots import Method, Ref, SlotError, SlotStore, discard, remove_stale, store_of

from ..json.common import put
from .json_arrays import arrays_at
from .specs import VectorSpec

_METHOD = Method(b"crc32c", native.crc32c, native.SlotReader)
#: Shorter vectors stay in memory: a reference and a slot's head would take nearly as much.
MIN_WIDTH = 64
#: Keys looked at per piece of a background walk; one that moves values ends the piece.
_LOOKED_AT = 64
#: Seconds between two lines in the log about vectors that could not be written.
_LOG_EVERY = 10.0


class Originals:
    """The stores of one server, one for each width, and what is moved between them and memory."""

    def __init__(self, server):
        self.server = server
        self.stores: dict[int, SlotStore] = {}
        self.n_refused = 0                          # vectors that stayed in memory because they could not be written
        self._default = "memory"
        self._walk = None                           # the background walk under way
        self._again = False                         # another one is due after it
        self._tried: dict[int, int] = {}            # width -> values there were when a compaction gained nothing
        self._logged_at = -_LOG_EVERY

    # Which fields

    def set_default(self, place: str) -> None:
        """search-vector-originals: "memory" or "disk". Raises ValueError if a store that it takes cannot be made."""
        if place == self._default:
            return
        before, self._default = self._default, place
        try:
            for index in self.server.search.indexes.values():
                self.prepare(field.spec for field in index.vector_fields)
        except SlotError as error:
            self._default = before
            raise ValueError(error.text.removeprefix("ERR ")) from None
        self.refresh()
        self._start_walk()

    def is_on_disk(self, spec: VectorSpec) -> bool:
        """Whether the vectors of a field belong into a file."""
        return (spec.originals or self._default) == "disk" and spec.blob_size >= MIN_WIDTH

    def prepare(self, specs: Iterable) -> None:
        """Makes the stores that fields of an index to come need. Raises SlotError."""
        for spec in specs:
            if type(spec) is VectorSpec and self.is_on_disk(spec):
                self._store(spec.blob_size)

    def _store(self, width: int) -> SlotStore:
        """The store of a width, made if it is not there. Raises SlotError."""
        store = self.stores.get(width)
        if store is None:
            path = os.path.join(self.server.config["dir"] or ".", f"originals-{width}.slots")
            store = self.stores[width] = SlotStore(path, width, _METHOD)
        return store

    def refresh(self) -> None:
        """To be called when the fields of indexes have changed, or the setting; the stores are there."""
        is_any = False
        for index in self.server.search.indexes.values():
            is_json = index.source.is_json
            index.disk_fields = tuple(dict.fromkeys((field.path, field.spec.dim if is_json else field.blob_bytes)
                                                    for field in index.vector_fields if self.is_on_disk(field.spec)))
            index.move_out = self._move_out_of_view if is_json else self.move_out
            for field in index.vector_fields:
                field.places.clear()            # or those that move to disk would stay in memory
                field.rescorer.is_on_disk = self.is_on_disk(field.spec)
            is_any |= bool(index.disk_fields) and not is_json
        self.server.keyspace.place = self._place if is_any else None

    def _wanted(self, db, key: bytes, value) -> set[tuple[bytes, int]]:
        """The `disk_fields` of all indexes over a document."""
        if db.index:
            return set()
        return {field for index in self.server.search.matching(key) if index.source.kind is type(value)
                for field in index.disk_fields}

    # Moving

    def _place(self, db, key: bytes, words: tuple) -> tuple:
        """The words field, value, ... of a command that is about to set fields, with references in place of the vectors that
        belong on disk. Raises SlotError, with nothing left behind."""
        if db.index:
            return words
        placed = None
        for index in self.server.search.matching(key):
            for path, width in index.disk_fields if not index.source.is_json else ():
                names = words[::2]
                if path not in names or names.count(path) > 1:      # equal names: the last counts, and is moved later
                    continue
                at = 2 * names.index(path) + 1
                if placed is None:
                    placed = list(words)
                if len(placed[at]) == width and type(placed[at]) is not Ref:
                    try:
                        placed[at] = self.stores[width].write(placed[at])
                    except SlotError:
                        for word in placed:
                            if type(word) is Ref:
                                discard(word)
                        raise
        return words if placed is None else tuple(placed)

    def move_out(self, value: Hash, path: bytes, width: int) -> bool:
        """Moves a vector to disk; returns whether it was moved. One that cannot be written stays where it is."""
        raw = value.raw(path)
        if raw is None or type(raw) is Ref or len(raw) != width:
            return False
        ref = self._written(raw)
        if ref is not None:
            value.exchange(path, ref)
        return ref is not None

    def _written(self, raw: bytes) -> Ref | None:
        """Where bytes are on disk now; None if they cannot be written."""
        try:
            return self._store(len(raw)).write(raw)
        except SlotError as error:
            self.n_refused += 1
            now = time.monotonic()
            if now - self._logged_at >= _LOG_EVERY:
                self._logged_at = now
                self.server.log.warning("%d vectors stay in memory so far: %s", self.n_refused, error.text.removeprefix("ERR "))
            return None

    def _move_out_of_view(self, view, path: bytes, dim: int) -> None:
        """Moves the arrays of `dim` numbers that a path finds in a JSON document to disk."""
        for location, items in list(arrays_at(view.document.root, path, dim)):
            self._move_array(view.document, location, items)

    def _move_array(self, document: Json, location: tuple, items) -> bool:
        """Moves an array to disk; returns whether it was moved. One that cannot be written stays where it is."""
        kept = filing(items)
        ref = self._written(kept[1]) if kept is not None and len(kept[1]) >= MIN_WIDTH else None
        return ref is not None and put(document, location, Filed(kept[0], ref))

    def move_in(self, key: bytes, value: Hash, path: bytes) -> bool:
        """Moves a vector to memory; returns whether it was moved. A damaged one stays where it is."""
        try:
            text = value.get(path)
        except CommandError:
            return False
        discard(value.exchange(path, text))
        self._forget_places(key)
        return True

    def _forget_places(self, key: bytes) -> None:
        """To be called when a slot of this document's is given up, but its vector is not: lanes must not look there any more."""
        for index in self.server.search.matching(key):
            row = index.docs.row_of.get(key)
            if row is not None:
                for field in index.vector_fields:
                    field.places.forget(row)

    def _start_walk(self) -> None:
        if self._walk is not None and not self._walk.done:
            self._again = True
        elif self.server.background is not None:
            self._walk = self.server.run_sliced(self._move_all(), "move original vectors")

    def _settle(self, db, key: bytes, document: Json) -> int:
        """Brings the arrays of a JSON document to where they belong; returns how many were moved.
        A damaged one stays where it is."""
        found = dict(in_files(document.root)) if Filed.count else {}
        wanted = {location: items for path, dim in self._wanted(db, key, document)
                  for location, items in arrays_at(document.root, path, dim)}
        n_moved = sum([self._move_array(document, location, items)
                       for location, items in wanted.items() if location not in found])
        for location in found.keys() - wanted.keys():
            try:
                put(document, location, found[location].load())
            except CommandError:
                continue
            self._forget_places(key)
            n_moved += 1
        return n_moved

    def _documents(self) -> Generator:
        """Yields (database, key, hash or JSON document) for all that were there at the start, None after each piece."""
        for db in self.server.keyspace.databases:
            keys = list(db.data)
            for start in range(0, len(keys), _LOOKED_AT):
                for key in keys[start:start + _LOOKED_AT]:
                    value = db.data.get(key)
                    if type(value) is Hash or type(value) is Json:
                        yield db, key, value
                yield None

    def _move_all(self) -> Generator:
        """Brings every vector to where it belongs."""
        self._again = True
        while self._again:
            self._again = False
            for found in self._documents():
                if found is None:
                    yield
                    continue
                db, key, value = found
                if type(value) is Json:
                    n_moved = self._settle(db, key, value)
                else:
                    wanted = dict(self._wanted(db, key, value))
                    n_moved = sum([self.move_in(key, value, path) for path, _ in value.refs() if path not in wanted])
                    n_moved += sum([self.move_out(value, path, width) for path, width in wanted.items()])
                if n_moved:
                    yield
        self.server.trimmer.is_due = True
        self.compact()

    # Upkeep

    def compact(self) -> None:
        """To be called now and then: gives the free ends of files back,
        and starts to shorten one of which more than half is free."""
        for store in self.stores.values():
            store.rest()
            if store.n_slots > store.bound:
                store.trim()
        if self._walk is not None and not self._walk.done:
            return
        for width, store in self.stores.items():
            if store.n_slots > max(store.bound, 2 * store.n_used) and self._tried.get(width) != store.n_used:
                self._walk = self.server.run_sliced(self._compact(store), "compact original vectors")
                return

    def _compact(self, store: SlotStore) -> Generator:
        """Moves the values at the end of a file into the holes before it."""
        n_before = store.n_slots
        n_moved = 0
        for found in self._documents():
            if found is None:
                yield
                continue
            _, key, value = found
            for ref, exchange in _refs_of(value):
                if store_of(ref) is store and store.is_high(ref):
                    try:
                        exchange(store.write(store.read_ref(ref)))
                    except CommandError:            # damaged, or the disk is full: it stays
                        continue
                    discard(ref)
                    self._forget_places(key)
                    n_moved += 1
                    yield
        store.trim()
        self._tried[store.width] = store.n_used if store.n_slots == n_before else -1
        self.server.log.info("%s: %d values moved, %d of %d slots left", store.path, n_moved, store.n_slots, n_before)
        if self._again:
            yield from self._move_all()

    def start(self) -> None:
        """Removes the files of a server that ended without doing it."""
        for path in glob.glob(os.path.join(glob.escape(self.server.config["dir"] or "."), "originals-*.slots")):
            if remove_stale(path):
                self.server.log.info("Removed %s of an earlier server", path)

    def close(self) -> None:
        """Removes the files."""
        self.server.keyspace.place = None
        for store in self.stores.values():
            store.close()
        self.stores.clear()

    # Figures

    def of_field(self, field) -> tuple[str, int]:
        """Where a field's vectors belong, and what the file of their width takes on the disk, in bytes."""
        store = self.stores.get(field.blob_bytes)
        return "disk" if self.is_on_disk(field.spec) else "memory", store.file_bytes if store is not None else 0


def _refs_of(value: Hash | Json) -> list[tuple[Ref, Callable[[Ref], object]]]:
    """(Ref, a function that puts another one in its place) for each value of a document that lives in a file."""
    if type(value) is Hash:
        return [(ref, partial(value.exchange, path)) for path, ref in value.refs()]
    return [(one.ref, partial(setattr, one, "ref")) for _, one in in_files(value.root)] if Filed.count else []


def held(values: list, path: bytes, rows: Iterable[int]) -> tuple[list[bytes | None], list[int]]:
    """What the hashes of rows (`values`: row -> hash or None) hold under a field,
    and at which positions that is a reference to a slot."""
    n = len(values)
    return raw_of_many([values[row] if row < n else None for row in rows], path)


def blobs_of(found: list[bytes | None], refs: list[int], width: int) -> list[bytes | memoryview | None]:
    """The vectors of this width that `held` tells of; None where there is none, or it is damaged on disk. What lies there is
    read in one batch, which asks for all of it at once."""
    if len(refs) == len(found):
        return _read(found, width)
    if refs:
        for i, value in zip(refs, _read([found[i] for i in refs], width)):
            found[i] = value
    return [None if value is None or len(value) != width else value for value in found]


def distances_on_disk(found: list[bytes | None], refs: list[int], width: int, ruler: native.Ruler,
                      query: bytes) -> list[float] | None:
    """The distances of the vectors that `held` tells of, nan for one that is not finite.
    None if not all of them lie intact in one file."""
    if not refs or len(refs) != len(found):
        return None
    number, store = found[0][0], store_of(found[0])
    if store.width != width or any([ref[0] != number for ref in found]):
        return None
    distances, n_bad = store.reader.distances(store.slots_of(found), ruler, query)
    return None if n_bad else distances


def _read(refs: list[bytes], width: int) -> list[bytes | memoryview | None]:
    """The values of Refs; None for those whose value has another width."""
    if not refs:
        return []
    number = refs[0][0]
    if any([ref[0] != number for ref in refs]):     # the field holds vectors of several widths: indexes disagree about it
        return [_read([ref], width)[0] for ref in refs]
    store = store_of(refs[0])
    return store.read_many(refs) if store.width == width else [None] * len(refs)


def array_of(blobs_: list, dim: int, kind: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """(n, dim) array of vectors, zero where there is none, and (n,) whether there is one."""
    there = np.array([blob is not None for blob in blobs_], dtype=bool)
    vectors = np.zeros((len(blobs_), dim), kind)
    if there.any():
        vectors[there] = np.frombuffer(b"".join([blob for blob in blobs_ if blob is not None]), kind).reshape(-1, dim)
    return vectors, there
