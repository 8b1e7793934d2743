"""Images of indexes: what a restart needs to search at once, as it was at one point of the log.

    search-ID.state     the document tables, and which vectors belong to them: marshalled, with a check sum
    search-ID-N.vec     the vectors of one field, with codes and graph: native.Index.save

The point is a place in the append-only file (part, offset), or a snapshot (its id). At the start everything up to that point is
read without indexing it; then the images are attached, fields other than vectors are filled from the documents, and what
follows in the log is indexed as it comes. An index without an image, or with one that is damaged or does not fit, is filled
from the documents altogether: its vectors are searched exactly until they are in the graph again.

The moment of an image is on the loop thread; the tables are written by the forked process that writes the snapshot, and the
vectors by a thread of this one."""
import glob
import marshal
import os
import re
import secrets
import time
from types import NoneType

import numpy as np
from pyroaring import BitMap

import native
from respserver.persistence.files import remove, replace_file
from respserver.persistence.replay import mapped

_MAGIC = b"VAMANAIX"
_VERSION = 3
#: In place of a key's length: the row has no key. In place of its place among the keys: it is to be looked for.
_NONE, _UNKNOWN = 0xFFFFFFFF, -1
_NAME = re.compile(r"search-([0-9a-f]{16})(?:\.state|-\d+\.vec)$")


class Unfit(Exception):
    """An image that cannot be used; the text says why."""


class Job:
    """One image being written. `prepare`, which may be left out, and `write_vectors` run in a thread, `write_tables` in the
    child, the rest on the loop thread."""

    def __init__(self, images: "Images"):
        self.images = images
        self.id = secrets.token_hex(8)
        self.point: tuple | None = None
        self.started = time.monotonic()
        self._engines = [field.engine for index in images.manager.indexes.values() for field in index.vector_fields]
        self._prepared: dict[native.Index, native.Saver] = {}
        self._savers: list[tuple[str, native.Saver]] = []
        self._files: dict[tuple[bytes, bytes], str] = {}        # (index, field) -> file name
        self._n_open = 2                                        # the tables and the vectors
        self._is_good = True

    def prepare(self) -> None:
        """Makes ready what would make `begin` take long."""
        for engine in self._engines:
            try:
                self._prepared[engine] = engine.prepare_save()
            except native.NativeError:                          # it is gone, or `begin` will say what is wrong
                pass

    def begin(self, point: tuple) -> None:
        """The moment is now. Raises NativeError, and is cancelled then."""
        self.point = point
        self.started = time.monotonic()
        try:
            for index in self.images.manager.indexes.values():
                for field in index.vector_fields:
                    name = f"search-{self.id}-{len(self._savers)}.vec"
                    saver = self._prepared.pop(field.engine, None) or field.engine.prepare_save()
                    self._savers.append((name, saver))
                    saver.begin()
                    self._files[index.name, field.name] = name
        except native.NativeError:
            self.cancel()
            raise
        self._drop_prepared()

    def _drop_prepared(self) -> None:
        """Of indexes that are not there any more."""
        for saver in self._prepared.values():
            saver.cancel()
        self._prepared.clear()

    def cancel(self) -> None:
        """Nothing is to be written after all."""
        for _, saver in self._savers:
            saver.cancel()
        self._savers.clear()
        self._drop_prepared()

    def _table_of(self, index) -> dict:
        docs = index.docs
        n = docs.n_rows
        keys = docs.keys
        lengths = np.fromiter([_NONE if key is None else len(key) for key in keys], np.uint32, n)
        places = _places(keys, self.images.server.keyspace.databases[0].data)
        vectors = {}
        for field in index.vector_fields:
            labels = field.engine.labels_state() if field.spec.is_multi else None
            vectors[field.name] = self._files[index.name, field.name], labels, field.had_vectors, field.rescorer.state()
        return {"name": index.name, "definition": index.definition, "keys": b"".join([key for key in keys if key is not None]),
                "key_lengths": lengths.tobytes(), "places": places.tobytes(), "doc_ids": docs.doc_ids[:n].tobytes(),
                "born": None if docs.born is docs.doc_ids else docs.born[:n].tobytes(), "max_doc_id": docs.max_doc_id,
                "free_rows": docs.free_rows, "vectors": vectors,
                "fields": {field.name: state for field in index.fields if (state := field.state()) is not None}}

    def write_tables(self) -> None:
        """Writes the state file. Raises OSError."""
        indexes = [self._table_of(index) for index in self.images.manager.indexes.values() if not index.is_scanning]
        text = marshal.dumps({"point": self.point, "indexes": indexes})
        head = _MAGIC + _VERSION.to_bytes(4, "little") + native.crc64(text).to_bytes(8, "little")
        os.makedirs(self.images.directory, exist_ok=True)
        replace_file(os.path.join(self.images.directory, f"search-{self.id}.state"), (head, text))

    def write_vectors(self) -> None:
        """Writes the vectors. Raises OSError."""
        os.makedirs(self.images.directory, exist_ok=True)
        savers, self._savers = self._savers, []
        try:
            while savers:
                name, saver = savers.pop(0)
                saver.write(os.path.join(self.images.directory, name))
        except native.ImageError as error:
            self._savers = savers
            self.cancel()
            raise OSError(str(error)) from None

    def part_done(self, error: str) -> None:
        """The tables or the vectors are written, or have failed."""
        self._is_good &= not error
        if error:
            self.images.server.log.warning("Index images could not be written: %s", error)
        self._n_open -= 1
        if self._n_open:
            return
        images = self.images
        is_good = self._is_good and os.path.exists(os.path.join(images.directory, f"search-{self.id}.state"))
        if is_good:
            images.latest = self.point
            images.server.log.info("Index images saved: %d fields, %.1f s", len(self._files), time.monotonic() - self.started)
        images.server.keeper.in_thread(lambda: images.drop_files(self.id, is_good), lambda failure: None)


class Images:
    """The images of one server's indexes. While `pending` the point has not been reached: nothing is indexed."""

    def __init__(self, manager):
        self.manager = manager
        self.server = manager.server
        self.latest: tuple | None = None                        # the point of the newest image
        self.pending: dict | None = None
        self.problem = ""                                       # why the newest one cannot be used
        self.point: tuple | None = None

    @property
    def directory(self) -> str:
        return os.path.join(self.server.config["dir"], "vamana-images")

    # Writing

    def job(self) -> Job:
        """One that may be prepared before it is begun: Job.prepare, in a thread."""
        return Job(self)

    def begin(self, point: tuple, job: Job | None = None) -> Job | None:
        """Notes all indexes as they are now; None if there are none, or it cannot be done. `job`: one that has been prepared."""
        job = job or Job(self)
        if not self.manager.indexes:
            job.cancel()
            return None
        try:
            job.begin(point)
        except native.NativeError as error:
            self.server.log.warning("Index images could not be begun: %s", error)
            return None
        return job

    def save(self, point: tuple) -> None:
        """Writes images at once, unless the newest are of this point."""
        if point == self.latest:
            return
        job = self.begin(point)
        if job is None:
            return
        try:
            job.write_vectors()
            job.write_tables()
        except OSError as error:
            self.server.log.warning("Index images could not be written: %s", error)
            self.drop_files(job.id, False)
            return
        self.latest = point
        self.server.log.info("Index images saved: %.1f s", time.monotonic() - job.started)
        self.drop_files(job.id, True)

    def drop_files(self, id_: str, is_good: bool) -> None:
        """Removes all images but this one, or, where it is not good, just this one."""
        for path in glob.glob(os.path.join(glob.escape(self.directory), "search-*")):
            match = _NAME.search(path)
            if (match is not None and (match[1] == id_) != is_good) or path.endswith(".tmp") and id_ in path:
                remove(path)

    # Reading

    def look(self) -> None:
        """To be called before anything is read: notes the newest image, if there is an intact one."""
        for path in glob.glob(os.path.join(glob.escape(self.directory), "search-*.tmp")):
            remove(path)                                        # a server was killed meanwhile
        paths = glob.glob(os.path.join(glob.escape(self.directory), "search-*.state"))
        for path in sorted(paths, key=os.path.getmtime, reverse=True):
            try:
                self.pending = _read(path)
            except (Unfit, OSError) as error:
                self.server.log.warning("Index images %s cannot be used, indexes are built again: %s", path, error)
                self.problem = str(error)
                continue
            self.point = self.latest = tuple(self.pending["point"])
            self.server.keyspace.is_quiet = True
            return

    def reached(self, point: tuple) -> None:
        """Reading has come to this point: attaches the images if it is theirs."""
        if self.point is None or point != self.point:
            return
        state, self.pending, self.point = self.pending, None, None
        self.server.keyspace.is_quiet = False
        started = time.monotonic()
        manager = self.manager
        tables = {table["name"]: table for table in state["indexes"]}
        for index in manager.indexes.values():
            table = tables.get(index.name)
            try:
                if table is None or table["definition"] != index.definition:
                    raise Unfit("there is none for this index")
                _attach(index, table, self.directory, self.server)
                index.origin = "taken up"
                self.server.log.info("Index %s: %d documents from its image, %.3f s", index.name.decode("utf-8", "replace"),
                                     len(index.docs), time.monotonic() - started)
            except (Unfit, OSError, native.NativeError) as error:
                self.server.log.warning("Index %s is built again, its image cannot be used: %s",
                                        index.name.decode("utf-8", "replace"), error)
                index.origin = f"built again: {error}"
                manager.scan(index)

    def end_of_data(self) -> None:
        """Everything has been read."""
        if self.point is None:
            for index in self.manager.indexes.values() if self.problem else ():
                index.origin = index.origin or f"built again: {self.problem}"
            return
        self.pending = self.point = self.latest = None
        self.server.keyspace.is_quiet = False
        self.server.log.warning("The log does not reach the point of the index images: indexes are built again")
        for index in self.manager.indexes.values():
            index.origin = "built again: the log does not reach the point of its image"
            self.manager.scan(index)


def _read(path: str) -> dict:
    """A state file's content. Raises Unfit, OSError."""
    data = mapped(path)
    if data[:8] != _MAGIC or int.from_bytes(data[8:12], "little") != _VERSION:
        raise Unfit("it is of another kind or version")
    text = memoryview(data)[20:]
    if not text or native.crc64(text) != int.from_bytes(data[12:20], "little"):
        raise Unfit("its check sum is wrong")
    try:
        return marshal.loads(text)
    except (ValueError, EOFError, TypeError):               # zeros have the check sum zero
        raise Unfit("its content is damaged") from None


def _places(keys: list, data: dict) -> np.ndarray:
    """(n,) int32: which of the keyspace's keys, in its order, each of these is; _UNKNOWN for None."""
    own, there = (np.fromiter(map(id, some), np.int64, len(some)) for some in (keys, data))
    if np.array_equal(own, there[:len(own)]):
        return np.arange(len(own), dtype=np.int32)
    if not len(there):
        return np.full(len(own), _UNKNOWN, np.int32)
    order = np.argsort(there)
    found = order[np.minimum(np.searchsorted(there, own, sorter=order), len(there) - 1)]
    places = np.where(there[found] == own, found, _UNKNOWN).astype(np.int32)
    others = [row for row in np.flatnonzero(places == _UNKNOWN).tolist() if keys[row] is not None]
    if others:                                      # other objects, with the same text
        place_of = {key: place for place, key in enumerate(data)}
        places[others] = [place_of.get(keys[row], _UNKNOWN) for row in others]
    return places


def _documents(text: bytes, lengths: np.ndarray, places: np.ndarray, data: dict) -> tuple[list, list]:
    """Keys and values by row, None where there is none: the keyspace's own objects, as a million keys need not be there twice.
    The keys are in `text`, of these lengths; where the order of the keyspace is what it was their places say which they are."""
    n, own, contents = len(lengths), list(data), list(data.values())
    if n <= len(own) and np.array_equal(places, np.arange(n)):
        keys, values = own[:n], contents[:n]
    elif len(own) > places.max(initial=_UNKNOWN):
        at = places.tolist()
        keys = [own[place] if place >= 0 else None for place in at]
        values = [contents[place] if place >= 0 else None for place in at]
    else:
        keys, values = [], []
    known = [key for key in keys if key is not None]
    has_key = lengths != _NONE
    if len(keys) == n and np.array_equal(places >= 0, has_key) and b"".join(known) == text:
        if np.array_equal(np.fromiter(map(len, known), np.uint32, len(known)), lengths[has_key]):
            return keys, values
    ends = np.cumsum(np.where(has_key, lengths, 0), dtype=np.int64).tolist()
    theirs = dict(zip(own, own))
    keys = [None if length == _NONE else text[end - length:end] for end, length in zip(ends, lengths.tolist())]
    return [theirs.get(key, key) for key in keys], [None if key is None else data.get(key) for key in keys]


def _attach(index, table: dict, directory: str, server) -> None:
    """Gives an index that is empty its documents and vectors. Raises Unfit, NativeError, with the index empty."""
    kind = index.source.kind
    view = index.source.view
    lengths = np.frombuffer(table["key_lengths"], np.uint32)
    keys, values = _documents(table["keys"], lengths, np.frombuffer(table["places"], np.int32), server.keyspace.databases[0].data)
    if not set(map(type, values)) <= {kind, NoneType} or values.count(None) != keys.count(None):
        raise Unfit("it has a document that is not there")
    engines = {}
    try:
        for field in index.vector_fields:
            name, labels, had_vectors, rescoring = table["vectors"][field.name]
            engine = native.Index.load(os.path.join(directory, os.path.basename(name)))
            engines[field.name] = engine
            if engine.dim != field.spec.dim or engine.dtype != field.spec.dtype:
                raise Unfit(f"the vectors of {field.name!r} are others")
    except (Unfit, native.NativeError):
        for engine in engines.values():
            engine.close()
        raise
    docs = index.docs
    docs.keys += keys
    docs.values += [None if value is None else view(value) for value in values] if index.source.is_json else values
    docs.doc_ids = np.frombuffer(table["doc_ids"], np.int64).copy()
    docs.born = docs.doc_ids if table["born"] is None else np.frombuffer(table["born"], np.int64).copy()
    docs.free_rows += table["free_rows"]
    docs.max_doc_id = table["max_doc_id"]
    docs.live = BitMap(np.flatnonzero(lengths != _NONE).astype(np.uint32))
    docs.row_of.fill()
    docs.names.fill(table["keys"], lengths)
    for field in index.vector_fields:
        _, labels, had_vectors, rescoring = table["vectors"][field.name]
        field.take_engine(engines[field.name], labels)
        field.had_vectors = had_vectors
        field.rescorer.restore(rescoring)
    states = table["fields"]
    for name, state in states.items():
        index.by_name[name].restore(state)
    index.refill(states)
