"""Snapshots in RDB format: writing one, reading one, SAVE and BGSAVE."""
import os
import time
from collections.abc import Callable, Generator, Iterable
from itertools import islice

from .. import REDIS_VERSION
from ..protocol.errors import CommandError
from ..values.hash import Hash
from . import rdb_read, rdb_write
from .crc64 import crc64
from .files import publish, remove, write_all
from .replay import mapped

_BUFFER = 1 << 20
#: The remark that holds a snapshot's id.
_ID = b"vamana-id"
#: Keys between two looks at the clock while loading.
_PIECE = 64


class Blocked(Exception):
    """A file that cannot be loaded; the text says why."""


def write(path: str, server, definitions: Iterable[bytes], is_base: bool = False, id_: str = "",
          report: Callable[[int], None] | None = None) -> None:
    """Writes all databases into a new file `path`, synchronised. `definitions`: commands in RESP that are run before the keys are
    loaded; `id_` is told to who reads it. Raises OSError, and CommandError if a value cannot be read."""
    remarks = [(b"redis-ver", REDIS_VERSION.encode()), (b"redis-bits", b"64"), (b"ctime", b"%d" % time.time()),
               (b"used-mem", b"0"), (b"aof-base", b"1" if is_base else b"0"), *([(_ID, id_.encode())] if id_ else []),
               *[(rdb_write.AUX_COMMAND, text) for text in definitions]]
    checks = server.config["rdbchecksum"]
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        crc, parts, size = 0, [], 0
        for part in rdb_write.whole(server.keyspace.databases, remarks, report):
            parts.append(part)
            size += len(part)
            if size >= _BUFFER:
                data = b"".join(parts)
                crc = crc64(data, crc) if checks else 0
                write_all(fd, data)
                parts, size = [], 0
        data = b"".join(parts)
        crc = crc64(data, crc) if checks else 0
        write_all(fd, data)
        write_all(fd, crc.to_bytes(8, "little"))
        os.fsync(fd)
    finally:
        os.close(fd)


def save(path: str, server, definitions: Iterable[bytes], id_: str = "", report: Callable[[int], None] | None = None) -> None:
    """Writes a snapshot in place of the one there was. Raises OSError or CommandError, with the old one kept."""
    temporary = os.path.join(os.path.dirname(path), f"temp-{os.getpid()}.rdb")
    try:
        write(temporary, server, definitions, False, id_, report)
        publish(temporary, path)
    except (OSError, CommandError):
        remove(temporary)
        raise


def load(path: str, server, apply: Callable[[list[bytes]], None], progress: Callable[[int, int], None],
         note_id: Callable[[str], None] = str) -> Generator:
    """Reads a snapshot into the databases; yields after each piece and returns the offset behind it. `apply(words)` runs the
    commands that it holds, `progress(bytes, keys)` is told how far it has come, `note_id` the file's id if it has one. Raises
    Blocked, OSError."""
    data = mapped(path)
    file = rdb_read.File(data, server.config["rdb-skip-unsupported"], server.config["rdbchecksum"])
    file.on_remark = lambda name, value: note_id(value.decode()) if name == _ID else apply_remark(name, value, apply)
    n, due = 0, _PIECE
    databases = server.keyspace.databases
    try:
        for item in file.items():
            if item.db >= len(databases):
                raise rdb_read.RdbError(item.at, f"database {item.db}: this server has {len(databases)}")
            if type(item) is rdb_read.Run:
                twice = put_many(databases[item.db], item.keys, item.values)
                n += len(item.keys)
            else:
                twice = None if put(databases[item.db], item.key, item.value, item.when_ms) else item.key
                n += 1
            if twice is not None:
                raise rdb_read.RdbError(item.at, f"key {twice!r} is in it twice")
            if n >= due:
                due = n + _PIECE
                progress(file.at, n)
                yield
    except rdb_read.RdbError as error:
        raise Blocked(f"{path}: {error}") from None
    progress(file.at, n)
    for what, count in file.skipped.items():
        server.log.warning("%s: %d of kind '%s' were not loaded", path, count, what)
    return file.at


def put(db, key: bytes, value, when_ms: int | None) -> bool:
    """Stores a key that has been read. Returns False if there is one of that name."""
    if key in db.data:
        return False
    db.data[key] = value
    if when_ms is not None:
        db.expires[key] = when_ms
    if type(value) is Hash and value.had_times:
        db.note_field_expiry(key, value)
    if db.keyspace.is_quiet:
        db.keyspace.dirty += 1
    else:
        db.changed(key, "restore", None, value)
    return True


def put_many(db, keys: list[bytes], values: list[Hash]) -> bytes | None:
    """Stores hashes without expiry times that have been read. Returns a key that there was before, or that comes twice."""
    data, keyspace = db.data, db.keyspace
    n = len(data)
    data.update(zip(keys, values))
    if len(data) != n + len(keys):
        before = set(islice(data, n))
        return next(key for i, key in enumerate(keys) if key in before or key in keys[:i])
    if keyspace.is_quiet:
        keyspace.dirty += len(keys)
    else:
        for key, value in zip(keys, values):
            db.changed(key, "restore", None, value)
    return None


def apply_remark(name: bytes, value: bytes, apply: Callable[[list[bytes]], None]) -> None:
    """Runs a command that a snapshot holds as a remark."""
    if name != rdb_write.AUX_COMMAND:
        return
    import hiredis
    reader = hiredis.Reader()
    reader.feed(value)
    words = reader.gets()
    if words:
        apply(words)
