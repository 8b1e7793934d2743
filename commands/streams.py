"""The stream commands without groups."""
from respserver.protocol.errors import (
    ARROW_NEEDS_GROUP, LIMIT_NEEDS_TILDE, LIMIT_STREAM, MAXLEN_AND_MINID, MAXLEN_STREAM, NO_GROUP_IN_XREAD, NO_SUCH_KEY,
    STREAM_EXHAUSTED, STREAM_ID_SMALLER, STREAM_ID_ZERO, TIMEOUT_NEGATIVE, TIMEOUT_NOT_INTEGER, UNBALANCED_STREAMS, XSETID_ADDED,
    XSETID_MAX_DELETED, XSETID_NEGATIVE, XSETID_SMALLER, CommandError,
)
from respserver.protocol.reply import NULL_ARRAY, OK, Pairs
from respserver.registry import command
from respserver.values.stream import MOST, ZERO, Stream

from .arguments import syntax_error, to_int, wrong_arity
from .blocking import wait_for_key
from .stream_ids import after, rows, shown, to_id, to_limit

_KEY = (1, 1, 1)


class Trim:
    """MAXLEN or MINID [=|~] threshold [LIMIT n], as XADD and XTRIM have it."""

    def __init__(self):
        self.by = b""
        self.is_about = False
        self.threshold = 0
        self.limit: int | None = None

    def read(self, words, i: int) -> int:
        """Reads the option that begins at words[i], MAXLEN or MINID; returns where it ends."""
        word = words[i].upper()
        if self.by and self.by != word:
            raise CommandError(MAXLEN_AND_MINID)
        self.by = word
        i += 1
        if i + 1 < len(words) and words[i] in (b"~", b"="):
            self.is_about = words[i] == b"~"
            i += 1
        if i >= len(words):
            raise syntax_error()
        if word == b"MAXLEN":
            self.threshold = to_int(words[i])
            if self.threshold < 0:
                raise CommandError(MAXLEN_STREAM)
        else:
            self.threshold = to_id(words[i])
        return i + 1

    def read_limit(self, words, i: int) -> int:
        """Reads LIMIT n at words[i]."""
        if i + 1 >= len(words):
            raise syntax_error()
        self.limit = to_int(words[i + 1])
        if self.limit < 0:
            raise CommandError(LIMIT_STREAM)
        return i + 2

    def check(self) -> None:
        """Raises if the parts do not go together."""
        if self.limit is not None and not self.by:
            raise syntax_error()
        if self.limit is not None and not self.is_about:
            raise CommandError(LIMIT_NEEDS_TILDE)

    def run(self, stream: Stream, node: int) -> int:
        """Removes entries at the front; returns how many. About: only whole nodes of `node` entries, as Redis does."""
        if not self.by:
            return 0
        n = len(stream) - self.threshold if self.by == b"MAXLEN" else stream.n_before(self.threshold)
        n = max(0, n)
        if self.is_about:
            limit = 100 * node if self.limit is None else self.limit
            n = stream.n_in_whole_nodes(min(n, limit) if limit else n, node)
        stream.drop_first(n)
        return n


def _node(client) -> int:
    return client.server.config["stream-node-max-entries"] or 100


def _next_id(stream: Stream, word: bytes, now_ms: int):
    """The id of a new entry by the word that XADD has for it."""
    if word == b"*":
        last = stream.last_id
        entry = (now_ms, 0) if now_ms > last[0] else after(last) if last != (MOST, MOST) else None
        if entry is None:
            raise CommandError(STREAM_EXHAUSTED)
        return entry
    if word.endswith(b"-*"):
        ms = to_id(word[:-2] + b"-0")[0]
        if ms < stream.last_id[0] or (ms == stream.last_id[0] and stream.last_id[1] == MOST):
            raise CommandError(STREAM_ID_SMALLER if stream.last_id != (MOST, MOST) else STREAM_EXHAUSTED)
        entry = after(stream.last_id) if ms == stream.last_id[0] else (ms, 0)
    else:
        entry = to_id(word)
        if entry == ZERO:
            raise CommandError(STREAM_ID_ZERO)
    if stream.last_id == (MOST, MOST):
        raise CommandError(STREAM_EXHAUSTED)
    if entry <= stream.last_id:
        raise CommandError(STREAM_ID_SMALLER)
    return entry


@command("XADD", arity=-5, flags="write denyoom fast", keys=_KEY, group="stream", since="5.0.0",
         complexity="O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
         summary="Appends an entry to a stream, and trims it if wanted.")
def xadd(client, key, *words):
    trim, makes = Trim(), True
    i = 0
    while i < len(words):
        word = words[i].upper()
        if word == b"NOMKSTREAM":
            makes = False
            i += 1
        elif word in (b"MAXLEN", b"MINID"):
            i = trim.read(words, i)
        elif word == b"LIMIT":
            i = trim.read_limit(words, i)
        else:
            break
    trim.check()
    if i >= len(words):
        raise wrong_arity("xadd")
    fields = words[i + 1:]
    if words[i] != b"*" and not words[i].endswith(b"-*"):
        to_id(words[i])
        if to_id(words[i]) == ZERO:
            raise CommandError(STREAM_ID_ZERO)
    if not fields or len(fields) % 2:
        raise wrong_arity("xadd")
    db = client.db
    stream = db.get_as(key, Stream)
    if stream is None and not makes:
        return None
    is_new = stream is None
    stream = Stream() if is_new else stream
    entry = _next_id(stream, words[i], client.server.keyspace.now_ms())
    stream.add(entry, tuple(fields))
    n = trim.run(stream, _node(client))
    if is_new:
        db.set(key, stream, "xadd")
    else:
        db.changed(key, "xadd", stream, stream)
    if n:
        db.changed(key, "xtrim", stream, stream)
    return shown(entry)


@command("XLEN", arity=2, access="-", flags="readonly fast", keys=_KEY, group="stream", since="5.0.0", complexity="O(1)",
         summary="Returns the number of entries of a stream.")
def xlen(client, key):
    stream = client.db.get_as(key, Stream)
    return 0 if stream is None else len(stream)


def _range(client, key, start, end, words, reverse: bool):
    low, high = to_limit(start, False), to_limit(end, True)
    count = None
    if words:
        if len(words) != 2 or words[0].upper() != b"COUNT":
            raise syntax_error()
        count = max(0, to_int(words[1]))
    stream = client.db.get_as(key, Stream)
    if count == 0:
        return NULL_ARRAY
    return [] if stream is None else rows(stream.range(low, high, count, reverse))


@command("XRANGE", arity=-4, flags="readonly", keys=_KEY, group="stream", since="5.0.0",
         complexity="O(N) with N being the number of elements being returned.", summary="Returns the entries in a range of ids.")
def xrange(client, key, start, end, *words):
    return _range(client, key, start, end, words, False)


@command("XREVRANGE", arity=-4, flags="readonly", keys=_KEY, group="stream", since="5.0.0",
         complexity="O(N) with N being the number of elements returned.",
         summary="Returns the entries in a range of ids, the newest first.")
def xrevrange(client, key, end, start, *words):
    return _range(client, key, start, end, words, True)


@command("XDEL", arity=-3, flags="write fast", keys=_KEY, group="stream", since="5.0.0", complexity="O(1) for each entry",
         summary="Removes entries of a stream.")
def xdel(client, key, *ids):
    wanted = [to_id(word) for word in ids]
    stream = client.db.get_as(key, Stream)
    n = 0 if stream is None else sum(map(stream.remove, wanted))
    if n:
        client.db.changed(key, "xdel", stream, stream)
    return n


@command("XTRIM", arity=-4, flags="write", keys=_KEY, group="stream", since="5.0.0",
         complexity="O(N), with N being the number of evicted entries.", summary="Removes the oldest entries of a stream.")
def xtrim(client, key, *words):
    trim = Trim()
    i = 0
    while i < len(words):
        word = words[i].upper()
        if word in (b"MAXLEN", b"MINID"):
            i = trim.read(words, i)
        elif word == b"LIMIT":
            i = trim.read_limit(words, i)
        else:
            raise syntax_error()
    if not trim.by:
        raise syntax_error()
    trim.check()
    stream = client.db.get_as(key, Stream)
    n = 0 if stream is None else trim.run(stream, _node(client))
    if n:
        client.db.changed(key, "xtrim", stream, stream)
    return n


@command("XSETID", arity=-3, flags="write denyoom fast", keys=_KEY, group="stream", since="5.0.0", complexity="O(1)",
         summary="Sets the last id of a stream.")
def xsetid(client, key, last_id, *words):
    entry = to_id(last_id)
    n_added = max_deleted = None
    i = 0
    while i < len(words):
        word = words[i].upper()
        if i + 1 >= len(words):
            raise syntax_error()
        if word == b"ENTRIESADDED":
            n_added = to_int(words[i + 1])
            if n_added < 0:
                raise CommandError(XSETID_NEGATIVE)
        elif word == b"MAXDELETEDID":
            max_deleted = to_id(words[i + 1])
            if max_deleted > entry:
                raise CommandError(XSETID_MAX_DELETED)
        else:
            raise syntax_error()
        i += 2
    stream = client.db.get_as(key, Stream)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    if entry < stream.newest_id or entry < stream.max_deleted:
        raise CommandError(XSETID_SMALLER)
    if n_added is not None and n_added < len(stream):
        raise CommandError(XSETID_ADDED)
    stream.last_id = entry
    stream.n_added = stream.n_added if n_added is None else n_added
    stream.max_deleted = stream.max_deleted if max_deleted in (None, ZERO) else max_deleted
    client.db.changed(key, "xsetid", stream, stream)
    return OK


# Reading of several streams

class Request:
    """The words of XREAD, and of XREADGROUP:
    [GROUP group consumer] [COUNT n] [BLOCK ms] [NOACK] [CLAIM..] STREAMS key ... id ..."""

    def __init__(self, name: str, words):
        self.count: int | None = None
        self.seconds: float | None = None           # how long to wait; 0: for ever; None: not at all
        self.group = self.consumer = None
        self.no_ack = False
        self.keys: tuple = ()
        i = 0
        while i < len(words):
            word, left = words[i].upper(), len(words) - i - 1
            if word == b"BLOCK" and left:
                ms = to_int(words[i + 1], TIMEOUT_NOT_INTEGER)
                if ms < 0:
                    raise CommandError(TIMEOUT_NEGATIVE)
                self.seconds = ms / 1000
                i += 2
            elif word == b"COUNT" and left:
                count = to_int(words[i + 1])
                self.count = count if count > 0 else None
                i += 2
            elif word == b"GROUP" and left >= 2:
                if name != "xreadgroup":
                    raise CommandError(NO_GROUP_IN_XREAD)
                self.group, self.consumer = words[i + 1:i + 3]
                i += 3
            elif word == b"NOACK" and name == "xreadgroup":
                self.no_ack = True
                i += 1
            elif word == b"STREAMS" and left:
                rest = words[i + 1:]
                if len(rest) % 2:
                    raise CommandError(UNBALANCED_STREAMS.format(name, "'>'" if name == "xreadgroup" else "'$'"))
                self.keys, self.ids = rest[:len(rest) // 2], rest[len(rest) // 2:]
                break
            else:
                raise syntax_error()
        if not self.keys:
            raise syntax_error()


def stream_keys(words) -> list:
    """The keys of XREAD and XREADGROUP."""
    for i, word in enumerate(words):
        if word.upper() == b"STREAMS":
            rest = words[i + 1:]
            return list(rest[:len(rest) // 2])
    return []


def streams_reply(client, found: list):
    """Entries by key: a map on RESP3, pairs on RESP2; null if there are none."""
    if not found:
        return None
    return Pairs(found) if client.proto == 3 else [[key, entries] for key, entries in found]


@command("XREAD", arity=-4, flags="readonly blocking movablekeys", group="stream", since="5.0.0", get_keys=stream_keys,
         complexity="O(M) with M being the number of elements being returned.",
         summary="Returns the entries of several streams behind given ids; waits for some if need be.")
def xread(client, *words):
    asked = Request("xread", words)
    db = client.db
    starts = []
    for key, word in zip(asked.keys, asked.ids):
        if word == b">":
            raise CommandError(ARROW_NEEDS_GROUP)
        stream = db.get_as(key, Stream)
        if word == b"$":
            starts.append(ZERO if stream is None else stream.last_id)
        elif word == b"+":
            starts.append(None if stream is not None and len(stream) else ZERO if stream is None else stream.last_id)
        else:
            starts.append(to_id(word))

    def attempt(again: bool):
        found = []
        for key, start in zip(asked.keys, starts):
            stream = db.get(key)
            if type(stream) is not Stream:
                continue
            if start is None:
                entries = [] if again else stream.range(stream.newest_id, stream.newest_id)
            else:
                entries = stream.range(after(start), (MOST, MOST), asked.count) if start < stream.last_id else []
            if entries:
                found.append((key, rows(entries)))
        return streams_reply(client, found)
    if asked.seconds is None:
        found = attempt(False)
        return NULL_ARRAY if found is None else found
    return wait_for_key(client, asked.keys, attempt, asked.seconds, NULL_ARRAY)
