"""Consumer groups of streams: XGROUP, XREADGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM."""
from respserver.protocol import errors
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import NULL_ARRAY, OK
from respserver.registry import command
from respserver.values.numbers import parse_int
from respserver.values.stream import LAST, MOST, ZERO, Group, Pending, Stream

from .arguments import syntax_error, to_int
from .blocking import wait_for_key
from .help import declare_help
from .stream_ids import after, rows, shown, to_id, to_limit
from .streams import Request, stream_keys, streams_reply

_KEY = (1, 1, 1)
_SUB_KEY = (2, 2, 1)


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def group_of(client, key, name, text: str = errors.NO_KEY_OR_GROUP) -> tuple[Stream, Group]:
    """A stream and one of its groups. Raises NOGROUP."""
    stream = client.db.get_as(key, Stream)
    group = None if stream is None else stream.groups.get(name)
    if group is None:
        raise CommandError(text.format(_text(key), _text(name)))
    return stream, group


# XGROUP

def _group_stream(client, key) -> Stream:
    stream = client.db.get_as(key, Stream)
    if stream is None:
        raise CommandError(errors.GROUP_NEEDS_KEY)
    return stream


def _named_group(client, key, name) -> tuple[Stream, Group]:
    stream = _group_stream(client, key)
    group = stream.groups.get(name)
    if group is None:
        raise CommandError(errors.NO_GROUP.format(_text(name), _text(key)))
    return stream, group


def _start(stream: Stream | None, word: bytes):
    if word in (b"-", b"+"):
        return ZERO if word == b"-" else LAST
    return (ZERO if stream is None else stream.last_id) if word == b"$" else to_id(word)


def _entries_read(words) -> int | None:
    """[ENTRIESREAD n], where -1 stands for None."""
    if not words:
        return None
    if len(words) != 2 or words[0].upper() != b"ENTRIESREAD":
        raise syntax_error()
    n = to_int(words[1])
    if n < -1:
        raise CommandError(errors.ENTRIES_READ)
    return None if n == -1 else n


@command("XGROUP CREATE", arity=-5, flags="write denyoom", keys=_SUB_KEY, group="stream", since="5.0.0", complexity="O(1)",
         summary="Creates a consumer group.")
def xgroup_create(client, key, name, entry, *words):
    makes = bool(words) and words[0].upper() == b"MKSTREAM"
    words = words[makes:]
    if words and words[-1].upper() == b"MKSTREAM":
        makes, words = True, words[:-1]
    n_read = _entries_read(words)
    stream = client.db.get_as(key, Stream)
    if stream is None and not makes:
        raise CommandError(errors.GROUP_NEEDS_KEY)
    last_id = _start(stream, entry)
    if stream is None:
        stream = Stream()
        stream.groups[name] = Group(last_id, n_read)
        client.db.set(key, stream, "xgroup-create")
        return OK
    if name in stream.groups:
        raise CommandError(errors.GROUP_EXISTS)
    stream.groups[name] = Group(last_id, n_read)
    client.db.changed(key, "xgroup-create", stream, stream)
    return OK


@command("XGROUP SETID", arity=-5, flags="write", keys=_SUB_KEY, group="stream", since="5.0.0", complexity="O(1)",
         summary="Sets the last id that a consumer group has got.")
def xgroup_setid(client, key, name, entry, *words):
    n_read = _entries_read(words)
    stream, group = _named_group(client, key, name)
    group.last_id, group.n_read = _start(stream, entry), n_read
    client.db.changed(key, "xgroup-setid", stream, stream)
    return OK


@command("XGROUP DESTROY", arity=4, flags="write", keys=_SUB_KEY, group="stream", since="5.0.0",
         complexity="O(N) for N pending entries",
         summary="Removes a consumer group.")
def xgroup_destroy(client, key, name):
    stream = _group_stream(client, key)
    if stream.groups.pop(name, None) is None:
        return 0
    client.db.changed(key, "xgroup-destroy", stream, stream)
    return 1


@command("XGROUP CREATECONSUMER", arity=5, access="W", flags="write denyoom", keys=_SUB_KEY, group="stream", since="6.2.0",
         complexity="O(1)", summary="Creates a consumer in a consumer group.")
def xgroup_createconsumer(client, key, name, consumer):
    stream, group = _named_group(client, key, name)
    if consumer in group.consumers:
        return 0
    group.consumer(consumer, client.server.keyspace.now_ms())
    client.db.changed(key, "xgroup-createconsumer", stream, stream)
    return 1


@command("XGROUP DELCONSUMER", arity=5, flags="write", keys=_SUB_KEY, group="stream", since="5.0.0", complexity="O(1)",
         summary="Removes a consumer; answers how many entries were pending for it.")
def xgroup_delconsumer(client, key, name, consumer):
    stream, group = _named_group(client, key, name)
    n = group.drop_consumer(consumer)
    if n is None:
        return 0
    client.db.changed(key, "xgroup-delconsumer", stream, stream)
    return n


declare_help("XGROUP", "stream", "5.0.0", (
    "CREATE <key> <groupname> <id|$> [MKSTREAM] [ENTRIESREAD <n>]", "    Create a consumer group.",
    "CREATECONSUMER <key> <groupname> <consumer>", "    Create a consumer in a group.",
    "DELCONSUMER <key> <groupname> <consumer>", "    Remove a consumer.",
    "DESTROY <key> <groupname>", "    Remove a group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD <n>]", "    Set the last id that a group has got."))


# Reading

@command("XREADGROUP", arity=-7, access="RW", flags="write blocking movablekeys", group="stream", since="5.0.0",
         get_keys=stream_keys,
         complexity="O(M) with M being the number of elements returned.",
         summary="Returns new or pending entries for a consumer of a group; waits for some if need be.")
def xreadgroup(client, *words):
    asked = Request("xreadgroup", words)
    if asked.group is None:
        raise CommandError(errors.MISSING_GROUP)
    starts = []
    for key, word in zip(asked.keys, asked.ids):
        if word in (b"$", b"+"):
            raise CommandError(errors.DOLLAR_IN_GROUP)
        starts.append(None if word == b">" else to_id(word))
    for key in asked.keys:
        group_of(client, key, asked.group, errors.NO_GROUP_TO_READ)
    db = client.db

    def attempt(again: bool):
        now = client.server.keyspace.now_ms()
        found = []
        for key, start in zip(asked.keys, starts):
            stream = db.get(key)
            if stream is None and again:
                raise CommandError(errors.GROUP_GONE)
            if type(stream) is not Stream:
                raise CommandError(errors.WRONG_TYPE)
            group = stream.groups.get(asked.group)
            if group is None:
                raise CommandError(errors.GROUP_GONE)
            is_new = asked.consumer not in group.consumers
            consumer = group.consumer(asked.consumer, now)
            consumer.seen_ms = now
            if start is None:
                entries = stream.range(after(group.last_id), LAST, asked.count) if group.last_id < stream.last_id else []
                for entry, _ in entries:
                    stream.note_read(group, entry)
                    if not asked.no_ack:
                        group.deliver(entry, consumer, now)
                if entries:
                    consumer.active_ms = now
                    found.append((key, rows(entries)))
            else:
                ids = sorted(entry for entry in consumer.pending if entry > start)[:asked.count]
                entries = ()
                found.append((key, rows((entry, stream.get(entry)) for entry in ids)))
            if entries or is_new:
                db.changed(key, "xreadgroup", stream, stream)
        return streams_reply(client, found)
    if asked.seconds is None or any(start is not None for start in starts):
        found = attempt(False)
        return NULL_ARRAY if found is None else found
    return wait_for_key(client, asked.keys, attempt, asked.seconds, NULL_ARRAY, is_bound=True)


@command("XACK", arity=-4, flags="write fast", keys=_KEY, group="stream", since="5.0.0", complexity="O(1) for each entry",
         summary="Acknowledges entries; answers how many were pending.")
def xack(client, key, name, *ids):
    stream = client.db.get_as(key, Stream)
    group = None if stream is None else stream.groups.get(name)
    if group is None:
        return 0
    n = sum(map(group.acknowledge, [to_id(word) for word in ids]))
    if n:
        client.db.changed(key, "xack", stream, stream)
    return n


# What is pending

@command("XPENDING", arity=-3, flags="readonly", keys=_KEY, group="stream", since="5.0.0",
         complexity="O(N) with N being the number of pending entries.", summary="Tells what is pending in a consumer group.")
def xpending(client, key, name, *words):
    stream, group = group_of(client, key, name)
    if not words:
        if not group.pending:
            return [0, None, None, None]
        counts = [[consumer.name, b"%d" % len(consumer.pending)]
                  for consumer in sorted(group.consumers.values(), key=lambda c: c.name) if consumer.pending]
        return [len(group.pending), shown(min(group.pending)), shown(max(group.pending)), counts]
    least_idle = 0
    if words[0].upper() == b"IDLE":
        if len(words) < 2:
            raise syntax_error()
        least_idle, words = to_int(words[1]), words[2:]
    if not 3 <= len(words) <= 4:
        raise syntax_error()
    count = to_int(words[2])
    low, high = to_limit(words[0], False), to_limit(words[1], True)
    pending = group.pending
    if len(words) == 4:
        consumer = group.consumers.get(words[3])
        pending = {} if consumer is None else consumer.pending
    now = client.server.keyspace.now_ms()
    found = []
    for entry in sorted(pending):
        if low <= entry <= high and len(found) < max(0, count):
            note = pending[entry]
            idle = max(0, now - note.when_ms)
            if idle >= least_idle:
                found.append([shown(entry), note.consumer.name, idle, note.count])
    return found


class _Claim:
    """The options of XCLAIM."""

    def __init__(self, words, now: int, is_loading: bool = False):
        self.when, self.count, self.force, self.just_ids, self.last_id = now, None, False, False, None
        i = 0
        while i < len(words):
            word, left = words[i].upper(), len(words) - i - 1
            if word == b"FORCE":
                self.force = True
            elif word == b"JUSTID":
                self.just_ids = True
            elif word == b"IDLE" and left:
                self.when = now - to_int(words[i + 1])
                i += 1
            elif word == b"TIME" and left:
                self.when = to_int(words[i + 1])
                i += 1
            elif word == b"RETRYCOUNT" and left:
                self.count = to_int(words[i + 1])
                i += 1
            elif word == b"LASTID" and left:
                self.last_id = to_id(words[i + 1])
                i += 1
            else:
                raise CommandError(errors.XCLAIM_OPTION.format(_text(words[i])))
            i += 1
        if not is_loading and (self.when > now or self.when < 0):
            self.when = now


def _claim(group: Group, entry, consumer, asked: _Claim, now: int) -> None:
    old = group.pending.get(entry)
    count = 1 if old is None else old.count + (not asked.just_ids)
    if asked.count is not None:
        count = asked.count
    elif old is None:
        count = 0 if asked.just_ids else 1
    group.give(entry, consumer, Pending(consumer, asked.when, count))
    consumer.active_ms = now


@command("XCLAIM", arity=-6, access="RW", flags="write fast", keys=_KEY, group="stream", since="5.0.0",
         complexity="O(log N) for each entry", summary="Makes pending entries those of another consumer.")
def xclaim(client, key, name, consumer, idle, *words):
    stream, group = group_of(client, key, name)
    least_idle = to_int(idle, errors.MIN_IDLE.format("XCLAIM"))
    now = client.server.keyspace.now_ms()
    ids = []
    for word in words:
        if not word[:1].isdigit():
            break
        ids.append(to_id(word))
    asked = _Claim(words[len(ids):], now, client.server.dispatcher.loading)
    if asked.last_id is not None and asked.last_id > group.last_id:
        group.last_id = asked.last_id
    owner = group.consumer(consumer, now)
    owner.seen_ms = now
    found = []
    for entry in ids:
        note, fields = group.pending.get(entry), stream.get(entry)
        if fields is None:
            group.acknowledge(entry)                    # nobody can have it any more
            continue
        if note is None and not asked.force:
            continue
        if note is not None and max(0, now - note.when_ms) < least_idle:
            continue
        _claim(group, entry, owner, asked, now)
        found.append((entry, fields))
    client.db.changed(key, "xclaim", stream, stream)
    return [shown(entry) for entry, _ in found] if asked.just_ids else rows(found)


@command("XAUTOCLAIM", arity=-6, access="RW", flags="write fast", keys=_KEY, group="stream", since="6.2.0",
         complexity="O(1) if COUNT is small.",
         summary="Makes what has been pending for long that of another consumer.")
def xautoclaim(client, key, name, consumer, idle, start, *words):
    least_idle = max(0, to_int(idle, errors.MIN_IDLE.format("XAUTOCLAIM")))
    first = to_limit(start, False)
    count, just_ids = 100, False
    i = 0
    while i < len(words):
        word = words[i].upper()
        if word == b"COUNT" and i + 1 < len(words):
            number = parse_int(words[i + 1])
            if number is None or not 0 < number <= MOST // 16:
                raise CommandError(errors.XAUTOCLAIM_COUNT)
            count = number
            i += 1
        elif word == b"JUSTID":
            just_ids = True
        else:
            raise syntax_error()
        i += 1
    stream, group = group_of(client, key, name)
    now = client.server.keyspace.now_ms()
    owner = group.consumer(consumer, now)
    owner.seen_ms = now
    asked = _Claim((b"JUSTID",) if just_ids else (), now)
    found, gone = [], []
    waiting = sorted(entry for entry in group.pending if entry >= first)
    looks = count * 10                                  # as many are looked at before the rest is left for another call
    following = ZERO
    for at, entry in enumerate(waiting):
        if not looks or not count:
            following = entry
            break
        looks -= 1
        fields = stream.get(entry)
        if fields is None:
            group.acknowledge(entry)
            gone.append(shown(entry))
            count -= 1
        elif max(0, now - group.pending[entry].when_ms) >= least_idle:
            _claim(group, entry, owner, asked, now)
            found.append((entry, fields))
            count -= 1
    client.db.changed(key, "xautoclaim", stream, stream)
    return [shown(following), [shown(entry) for entry, _ in found] if just_ids else rows(found), gone]
