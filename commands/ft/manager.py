"""All indexes of a server: names, aliases, and which index a key belongs to. Hears of every change of a key."""
import math
import time
from collections.abc import Callable, Generator

from respserver.background import SlicedTask
from respserver.deferred import Deferred
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import OK
from respserver.registry import COMMANDS
from respserver.values.hash import Hash
from respserver.values.json import Json

from . import errors
from .complaints import Complaints
from .cursor import Cursors
from .fields import CLASSES
from .images import Images
from .index import Index, no_such_index
from .measure.job import Jobs
from .originals import Originals
from .pool import Turns

#: What waits for workers while they are paused.
_HELD = frozenset({"FT.SEARCH", "FT.AGGREGATE", "FT.HYBRID", "FT.PROFILE"})
_QUERIES = (b"ft.search", b"ft.aggregate", b"ft.hybrid")
#: Where a command has the name of an index, if that is not its first argument; 0: it has none.
_INDEX_AT = {"FT.CURSOR": 2, "FT.ALIASADD": 2, "FT._ALIASADDIFNX": 2, "FT.ALIASUPDATE": 2, "FT.DEBUG": 2, "_FT.DEBUG": 2,
             **dict.fromkeys(("FT.CREATE", "FT._CREATEIFNX", "FT.CONFIG", "_FT.CONFIG", "FT._LIST", "FT.DICTADD", "FT.DICTDEL",
                              "FT.DICTDUMP", "FT.SUGADD", "FT.SUGGET", "FT.SUGDEL", "FT.SUGLEN", "FT.ALIASDEL", "FT._ALIASDELIFX",
                              "VAMANA.ESTIMATE"), 0)}
#: Keys looked at per piece of a background scan.
_SCAN_PIECE = 8
#: How long FT.CREATE and FT.ALTER scan before they answer: a small database is indexed by then. Seconds.
_SCAN_AT_ONCE = 0.001


class Manager:
    """Indexes of database 0. It is a keyspace Listener."""

    def __init__(self, server):
        self.server = server
        self.indexes: dict[bytes, Index] = {}
        self.aliases: dict[bytes, Index] = {}
        self.dictionaries: dict[bytes, set[bytes]] = {}      # of FT.DICTADD
        self._by_prefix: dict[bytes, list[Index]] = {}
        self._prefix_lengths: list[int] = []
        self.turns = Turns(server)
        self.threads_mode = ""                      # MT_MODE of a loadmodule line: an old name for what the threads are for
        self.jobs = Jobs(server)
        self.originals = Originals(server)
        self.is_held = False        # _FT.DEBUG WORKERS PAUSE: vectors wait for their graph, and queries for workers, if any
        self._held_since: dict[int, float] = {}     # client id -> since when its query has been waiting for that
        self._measuring = None                      # the background measurement under way
        self.cursors = Cursors(server)
        self.images = Images(self)
        self.complaints = Complaints()
        self.n_puts: dict[str, int] = {}            # by indexes that are gone: type of field -> values
        self._renamed: tuple | None = None      # (key, its hash) taken away by the first half of a RENAME

    # Names

    def find(self, name: bytes) -> Index:
        """The index with this name or alias; raises the refusal if there is none."""
        index = self.get(name)
        if index is None:
            raise no_such_index(name)
        index.n_uses += 1
        return index

    def get(self, name: bytes) -> Index | None:
        """The index with this name or alias, or None."""
        return self.indexes.get(name) or self.aliases.get(name)

    def prefixes_used(self, command, words: list) -> list[tuple[bytes, str]]:
        """What a call needs to be allowed, as Acl.prefixes has it: to read all keys that its index may hold, and to write them
        if it deletes documents."""
        at = _INDEX_AT.get(command.name, 1)
        index = self.get(words[at]) if 0 < at < len(words) else None
        if index is None:
            return []
        deletes = command.name in ("FT.DROP", "FT._DROPIFX") or b"DD" in (word.upper() for word in words[2:])
        return [(prefix, "RW" if deletes else "R") for prefix in index.prefixes]

    def set_alias(self, alias: bytes, index: Index | None) -> None:
        """Has an alias stand for an index, or for nothing (None)."""
        before = self.aliases.pop(alias, None)
        if before is not None:
            before.aliases.discard(alias)
        if index is not None:
            self.aliases[alias] = index
            index.aliases.add(alias)

    def create(self, name: bytes, options) -> Index:
        """Makes an index and starts to scan the keys that exist. Raises CommandError."""
        if name in self.indexes:
            raise CommandError(errors.INDEX_EXISTS)
        if options.on == "HASH":
            self.originals.prepare(options.fields)
        index = Index(name, options, self.server.config)
        self.listen()
        self.indexes[name] = index
        for field in index.vector_fields if self.is_held else ():
            field.engine.hold_linking()
        self.originals.refresh()
        for prefix in dict.fromkeys(index.prefixes):
            self._by_prefix.setdefault(prefix, []).append(index)
        self._note_lengths()
        self.server.log.info("Successfully created index %s", name.decode("utf-8", "replace"))
        if not options.skip_initial_scan:
            self.scan(index)
        return index

    def listen(self) -> None:
        """Has the keyspace tell of changes: while there is an index or a dictionary, for events cost every write."""
        keyspace = self.server.keyspace
        if self not in keyspace.listeners:
            keyspace.listeners = [self, *keyspace.listeners]

    def drop(self, index: Index, takes_documents: bool = False, is_urgent: bool = False) -> SlicedTask | None:
        """Removes an index; its documents stay, or go with it. Many go bit by bit in the background, unless that `is_urgent`:
        then returns what does it."""
        if self.indexes.pop(index.name, None) is None:
            return None
        if not self.indexes and not self.dictionaries:
            keyspace = self.server.keyspace
            # a new list: this may be for one of its events
            keyspace.listeners = [one for one in keyspace.listeners if one is not self]
        for alias in index.aliases:
            del self.aliases[alias]
        for prefix in dict.fromkeys(index.prefixes):
            holders = self._by_prefix[prefix]
            holders.remove(index)
            if not holders:
                del self._by_prefix[prefix]
        self._note_lengths()
        self.originals.refresh()
        for kind in CLASSES:
            self.n_puts[kind] = self.n_puts.get(kind, 0) + index.n_operations(kind)
        index.close()
        self.turns.lanes.give_up(index)
        self.server.log.info("Successfully dropped index %s", index.name.decode("utf-8", "replace"))
        run = self.server.run_sliced if self.server.background is not None else None
        if takes_documents:
            work = self._delete(index.docs.keys)
            deadline = time.perf_counter() + (math.inf if is_urgent or run is None else 0.005)
            for _ in work:
                if time.perf_counter() > deadline:
                    task = run(work, "delete documents")
                    task.on_done(lambda task: task.cancelled or run(index.release(), "free index"))
                    return task
        if run is not None:
            run(index.release(), "free index")
        return None

    def _delete(self, keys: list[bytes | None]) -> Generator:
        """Deletes keys of database 0; yields after each few."""
        db = self.server.keyspace.databases[0]
        for first in range(0, len(keys), 16):
            some = [key for key in keys[first:first + 16] if key is not None]
            if some and self.server.journal is not None:
                self.server.journal.add(db, [[b"DEL", *some]])
            for key in some:
                db.delete(key)
            yield

    def _note_lengths(self) -> None:
        self._prefix_lengths = sorted({len(prefix) for prefix in self._by_prefix})

    def matching(self, key: bytes) -> list[Index]:
        """The indexes with a prefix of this key, each once."""
        found: list[Index] = []
        by_prefix = self._by_prefix
        for length in self._prefix_lengths:
            holders = by_prefix.get(key[:length])
            if holders is not None:
                if not found:
                    found = holders
                else:
                    found = found + [index for index in holders if index not in found]
        return found

    # Listener

    def key_changed(self, change) -> None:
        if change.db or not self.indexes or self.images.pending is not None:
            return
        _, key, event, old, new, fields = change
        if self._renamed is not None:
            renamed, self._renamed = self._renamed, None
            if self._finish_rename(renamed, event, key, new):
                return
        if event == "rename_from":
            self._renamed = (key, old)
            return
        indexes = self.matching(key)
        if not indexes:
            return
        kind = type(new)
        if kind is Hash or kind is Json:
            if fields is not None and not fields:       # an expiry time came or went
                return
            before = old if type(old) is kind and old is not new else None
            for index in indexes:
                if index.source.kind is kind:
                    index.put(key, new, before, fields)
                else:
                    index.remove(key)
        else:
            for index in indexes:
                index.remove(key)

    def minds(self, db, keys: list[bytes]) -> bool:
        """Whether one of these keys belongs into an index."""
        prefixes = self._by_prefix.keys()
        return not db.index and any(not prefixes.isdisjoint([key[:length] for key in keys]) for length in self._prefix_lengths)

    def _finish_rename(self, renamed: tuple, event: str, key: bytes, new) -> bool:
        """Second half of a RENAME. Returns whether the event was dealt with."""
        from_key, value = renamed
        kind = type(value)
        is_pair = event == "rename_to" and new is value and (kind is Hash or kind is Json)
        targets = self.matching(key) if is_pair else []
        done = []
        for index in self.matching(from_key):
            if index in targets and index.rule is None and index.rename(from_key, key):
                done.append(index)
            else:
                index.remove(from_key)
        for index in targets:
            if index not in done and index.source.kind is kind:
                index.put(key, new)
        return is_pair

    def flushed(self, db: int) -> None:
        """FLUSHALL and FLUSHDB take the indexes with them, as in Redis."""
        if db == 0:
            self.dictionaries.clear()
            for index in list(self.indexes.values()):
                self.drop(index)

    def swapped(self, first: int, second: int) -> None:
        """The contents of database 0 are others now: every index is filled anew."""
        if 0 in (first, second) and first != second:
            for index in self.indexes.values():
                for key in list(index.docs.row_of):
                    index.remove(key)
                self.scan(index)

    # The engine's threads

    def start(self) -> None:
        """To be called when the loop runs."""
        self.turns.start()
        self.originals.start()

    def stop(self) -> None:
        """Ends the engine's threads and closes every index."""
        self.jobs.stop()
        self.turns.stop()
        for index in self.indexes.values():
            index.close()
        self.indexes.clear()                    # periodic jobs may come once more
        self.originals.close()

    def n_waiting_vectors(self) -> int:
        """Vectors of all indexes that are not yet linked into their graph."""
        return sum(field.engine.stats()["n_tail"] for index in self.indexes.values() for field in index.vector_fields)

    def n_linkings(self) -> int:
        """How often a vector of those indexes has been linked since the start."""
        return sum(field.engine.stats()["n_linkings"] for index in self.indexes.values() for field in index.vector_fields)

    def n_done(self) -> int:
        """Queries that ended well and vectors that were linked."""
        n_queries = sum(stats.calls - stats.failed for name in _QUERIES if (stats := COMMANDS[name].stats) is not None)
        return n_queries + self.n_linkings()

    def hold(self, is_held: bool) -> None:
        """Has the vectors of all indexes wait for their graphs, and queries for workers if there are any; or no longer."""
        self.is_held = is_held
        for index in self.indexes.values():
            for field in index.vector_fields:
                field.engine.hold_linking(is_held)
        self.server.hold_back(self._holds_back if is_held else None)
        if not is_held:
            self._held_since.clear()

    def _holds_back(self, client, command) -> bool:
        if not self.turns.n_threads or command.name not in _HELD:
            return False
        self._held_since.setdefault(client.id, time.monotonic())
        return True

    def held_ms(self, client) -> float:
        """How long the query of a client, which runs now, was held back before."""
        since = self._held_since.get(client.id)
        return 0.0 if since is None else 1000 * (time.monotonic() - since)

    def drain(self, client):
        """A reply that comes when no search is in the pool and no vector waits for its graph.
        Inside EXEC it waits for the vectors."""
        if client.in_exec:
            for index in self.indexes.values():
                for field in index.vector_fields:
                    field.engine.wait()
            return OK
        return self.when(lambda: not self.turns.n_pending and not self.n_waiting_vectors(), lambda: OK)

    def when(self, is_so: Callable[[], bool], reply: Callable, patience: float = math.inf) -> Deferred:
        """What `reply()` returns, or raises as a CommandError, when `is_so()`, or after as many seconds as there is patience."""
        deferred = Deferred()
        until = time.monotonic() + patience

        def look() -> None:
            if deferred.done:
                return
            try:
                if is_so() or time.monotonic() > until:
                    deferred.set_result(reply())
                else:
                    self.server.loop.call_later(0.01, look)
            except CommandError as error:
                deferred.set_result(error)

        look()
        return deferred

    # Background scan

    def scan(self, index: Index, only=None) -> None:
        """Indexes the existing keys, in the background when there are many. `only`: paths of new fields, after FT.ALTER."""
        if self.images.pending is not None:         # it gets its documents when all that an image has is read
            return
        if index.scan is not None:
            index.scan.cancel()
        index.unscanned.update(only or ())
        work = self._scan(index, only is not None)
        deadline = time.perf_counter() + _SCAN_AT_ONCE
        for _ in work:
            if time.perf_counter() > deadline and not self.server.dispatcher.loading:
                index.scan = self.server.run_sliced(work, "scan for index " + index.name.decode("utf-8", "replace"))
                return
        index.scan = None

    def _scan(self, index: Index, is_alter: bool) -> Generator:
        db = self.server.keyspace.databases[0]
        keys = list(db.data)
        index.n_to_scan, index.n_scanned = len(keys), 0
        prefixes = index.prefixes
        changed = dict.fromkeys(index.unscanned) if is_alter else None
        started = last_line = time.monotonic()
        for i in range(0, len(keys), _SCAN_PIECE):
            for key in keys[i:i + _SCAN_PIECE]:
                if not key.startswith(prefixes) or (changed is None and key in index.docs):
                    continue
                value = db.data.get(key)            # what has expired is not dropped by this
                if type(value) is index.source.kind and not db.is_overdue(key):
                    index.put(key, value, None, changed)
            index.n_scanned = min(i + _SCAN_PIECE, len(keys))
            now = time.monotonic()
            if now - last_line >= 5:
                last_line = now
                rate = index.n_scanned / (now - started)
                self.server.log.info("Index %s: %d of %d keys scanned (%.0f %%), %.0f keys/s, %.0f s to go",
                                     index.name.decode("utf-8", "replace"), index.n_scanned, len(keys),
                                     100 * index.n_scanned / len(keys), rate, (len(keys) - index.n_scanned) / rate)
            yield
        index.unscanned.clear()
        if len(keys) and time.monotonic() - started > 1:
            self.server.log.info("Index %s: scan finished, %d documents", index.name.decode("utf-8", "replace"),
                                 len(index.docs))

    # Periodic work

    def forget_plans(self) -> None:
        """Has every search prepared anew: a setting that they depend on has changed."""
        for index in self.indexes.values():
            index.plans.clear()

    def log_progress(self) -> None:
        """A line for each graph that is being built: how far, how fast, how long still."""
        for index in self.indexes.values():
            for field in index.vector_fields:
                field.log_progress(self.server.log, index.name.decode("utf-8", "replace"))

    def measure_rescoring(self) -> None:
        """Starts measuring how many candidates a field's searches should rescore, where that is due; one field at a time."""
        if self._measuring is not None and not self._measuring.done:
            return
        for index in self.indexes.values():
            for field in index.vector_fields:
                if field.rescorer.is_due():
                    self._measuring = self.server.run_sliced(field.rescorer.measure(), "measure rescoring")
                    return

    def note_uses(self) -> float:
        """Brings `last_used` of all indexes up to date; returns the time by the same clock."""
        self.turns.lanes.settle()
        now = time.monotonic()
        for index in self.indexes.values():
            if index.n_uses != index.n_uses_seen:
                index.n_uses_seen = index.n_uses
                index.last_used = now
        return now

    def drop_idle(self) -> None:
        """Drops TEMPORARY indexes, and their documents, that nobody used for their time."""
        now = self.note_uses()
        for index in list(self.indexes.values()):
            span = index.options.temporary
            if span is not None and now - index.last_used >= span and not index.is_idle_kept:
                if self.server.journal is not None:
                    self.server.journal.add(self.server.keyspace.databases[0], [[b"FT.DROPINDEX", index.name]])
                self.drop(index, True)

    def collect(self, threshold: int) -> None:
        """Lets the statistics of indexes with at least `threshold` stale documents forget these."""
        for index in self.indexes.values():
            if index.n_stale >= threshold and index.is_collected:
                self.collect_of(index)

    def collect_of(self, index: Index) -> None:
        """Does so for one index, unless memory is short: postings are written anew."""
        if not self.server.dispatcher.out_of_memory:
            index.collect()
