"""Damages files that a server reads when it starts and has them read, until so many have been: append-only files, snapshots,
tables and vectors of index images. Each has to be read, or refused by an error of its own; none may take long, end the process,
or keep memory.

    scripts/fuzz-files [--inputs 100000] [--seed N]

Of snapshots half have their check sum put right after the damage, so that what lies behind it is reached. scripts/fuzz-image
goes deeper into the vectors: it follows the branches of the code."""
import argparse
import contextlib
import marshal
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402

import commands  # noqa: E402
import native  # noqa: E402
from commands.ft import images  # noqa: E402
from localserver import Progress  # noqa: E402
from respserver.config import Config  # noqa: E402
from respserver.persistence import as_commands, crc64, rdb_read, rdb_write, replay  # noqa: E402
from respserver.state import Server  # noqa: E402
from respserver.values.hash import Hash  # noqa: E402
from respserver.values.list import List  # noqa: E402
from respserver.values.set import Set  # noqa: E402
from respserver.values.sorted_set import SortedSet  # noqa: E402
from robustness.fuzz import resident  # noqa: E402
from robustness.words import damage  # noqa: E402

#: Seconds that reading one file may take.
PATIENCE = 60
#: Memory may grow by this much after the first tenth. Bytes.
SLACK = 16 << 20


class Originals:
    """Intact files of every kind, as bytes."""

    def __init__(self, r: random.Random, directory: str):
        data: dict = {b"s%d" % i: r.randbytes(r.randrange(90)) for i in range(10)}
        data |= {b"h%d" % i: Hash([(b"n", b"%d" % i), (b"v", r.randbytes(300))]) for i in range(60)}
        data |= {b"l": List([b"1", b"", b"x" * 99]), b"m": Set([b"1", b"two"]),
                 b"z": SortedSet([(b"a", 1.5), (b"b", float("-inf"))])}
        timed = Hash([(b"a", b"1"), (b"b", b"2")])
        timed.expire_at(b"a", 1_900_000_000_000)
        data[b"t"] = timed
        self.databases = Server(Config()).keyspace.databases
        self.databases[0].data.update(data)
        self.databases[0].expires[b"s1"] = 1_900_000_000_000
        self.databases[0].note_field_expiry(b"t", timed)
        snapshot = b"".join(rdb_write.whole(self.databases, [(rdb_write.AUX_COMMAND, as_commands.encode([b"PING"]))]))
        self.snapshot = snapshot + crc64.crc64(snapshot).to_bytes(8, "little")
        log = [as_commands.encode(words) for words in as_commands.of_databases(self.databases)]
        self.log = b"#TS:1700000000\r\n" + b"".join([*log[:20], as_commands.encode([b"MULTI"]), *log[20:30],
                                                     as_commands.encode([b"EXEC"])])
        table = marshal.dumps({"point": ("appendonly.aof.1.incr.aof", 0),
                               "indexes": [{"name": b"ix", "keys": b"a" * 500, "vectors": {}}]})
        self.table = images._MAGIC + images._VERSION.to_bytes(4, "little") + native.crc64(table).to_bytes(8, "little") + table
        self.vectors = []
        rows = np.random.default_rng(0).standard_normal((40, 3), np.float32)
        for compression in (None, "LVQ8", "LVQ4x4", "LeanVec4x8", "SQ8"):
            index = native.Index(3, "L2", compression=compression, graph_max_degree=4, training_threshold=30)
            index.add(np.arange(40), rows)
            index.wait()
            path = os.path.join(directory, "original")
            index.save(path)
            index.close()
            self.vectors.append(Path(path).read_bytes())


class Reading:
    """Reads damaged files as the server does; each method takes the bytes of one."""

    def __init__(self, r: random.Random, directory: str):
        self.random, self.path = r, os.path.join(directory, "damaged")
        self.n_read = self.n_refused = 0

    def put(self, data: bytes) -> str:
        with open(self.path, "wb") as file:
            file.write(data)
        return self.path

    def log(self, data: bytes) -> None:
        for _ in replay.commands(self.put(data)):
            pass

    def snapshot(self, data: bytes) -> None:
        if self.random.random() < 0.5 and len(data) > 8:
            data = data[:-8] + crc64.crc64(data[:-8]).to_bytes(8, "little")
        for _ in rdb_read.File(replay.mapped(self.put(data))).items():
            pass

    def table(self, data: bytes) -> None:
        images._read(self.put(data))

    def vectors(self, data: bytes) -> None:
        index = native.Index.load(self.put(data))
        with contextlib.closing(index):
            index.wait()
            index.search_blob(bytes(4 * index.dim), 3)

    def read(self, kind: str, data: bytes) -> None:
        """Raises what must not happen."""
        try:
            getattr(self, kind)(data)
            self.n_read += 1
        except (replay.AofError, rdb_read.RdbError, images.Unfit, native.NativeError):
            self.n_refused += 1


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    r = random.Random(arguments.seed)
    commands.load(Server(Config()))                     # gives the readers what they have of the engine
    slowest, memory, started, progress = 0.0, 0, time.monotonic(), Progress("fuzz-files", arguments.inputs)
    with tempfile.TemporaryDirectory(prefix="vamana-") as directory:
        originals, reading = Originals(r, directory), Reading(r, directory)
        for n in range(arguments.inputs):
            kind = r.choice(("log", "snapshot", "table", "vectors"))
            data = getattr(originals, kind)
            data = damage(r, r.choice(data) if kind == "vectors" else data)
            before = time.monotonic()
            try:
                reading.read(kind, data)
                took = time.monotonic() - before
                if took > PATIENCE:
                    raise TimeoutError(f"{took:.1f} s")
            except Exception as error:
                Path("fuzz-file.bin").write_bytes(data)
                raise SystemExit(
                    f"{type(error).__name__}: {error}, reading a damaged {kind} (input {n:,}): fuzz-file.bin") from error
            slowest = max(slowest, took)
            if n == arguments.inputs // 10:
                memory = resident(os.getpid())
            progress(n + 1)
    growth = resident(os.getpid()) - memory
    print(f"{arguments.inputs:,} damaged files in {time.monotonic() - started:.0f} s: {reading.n_read:,} read, "
          f"{reading.n_refused:,} refused, the slowest {slowest:.2f} s, memory {growth / (1 << 20):+.1f} MiB")
    return 1 if growth > SLACK else 0


if __name__ == "__main__":
    sys.exit(main())
