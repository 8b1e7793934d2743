"""What the append-only file holds of stream commands: ids, times and trimmings as they came about."""
from respserver.protocol.reply import NULL_ARRAY
from respserver.registry import logged_as
from respserver.values.stream import Group, Stream

from .stream_ids import shown, to_id
from .streams import Request

_TRIMS = (b"MAXLEN", b"MINID")


def _stream(client, key) -> Stream | None:
    value = client.db.data.get(key)
    return value if type(value) is Stream else None


def _length(client, key) -> list[bytes]:
    """What a trimming came to, in words."""
    stream = _stream(client, key)
    return [] if stream is None else [b"MAXLEN", b"=", b"%d" % len(stream)]


@logged_as("XADD")
def _xadd(client, words, reply):
    if not isinstance(reply, bytes):
        return []
    i, trims = 2, False
    while (word := words[i].upper()) in (*_TRIMS, b"LIMIT", b"NOMKSTREAM"):
        trims |= word in _TRIMS
        i += 1 if word == b"NOMKSTREAM" else 3 if words[i + 1] in (b"~", b"=") else 2
    trimmed = _length(client, words[1]) if trims else []
    return [[b"XADD", words[1], *trimmed, reply, *words[i + 1:]]]


@logged_as("XTRIM")
def _xtrim(client, words, reply):
    return [[b"XTRIM", words[1], *_length(client, words[1])]] if reply and _stream(client, words[1]) is not None else []


@logged_as("XGROUP CREATE", "XGROUP SETID")
def _xgroup(client, words, reply):
    stream = _stream(client, words[2])
    if stream is None or words[3] not in stream.groups:
        return []
    return [[*words[:4], shown(stream.groups[words[3]].last_id), *words[5:]]]


def _claims(key: bytes, name: bytes, group: Group, ids) -> list[list[bytes]]:
    """Commands that make entries pending as they are now."""
    found = []
    for entry in ids:
        note = group.pending.get(entry)
        if note is not None:
            found.append([b"XCLAIM", key, name, note.consumer.name, b"0", shown(entry), b"TIME", b"%d" % note.when_ms,
                          b"RETRYCOUNT", b"%d" % note.count, b"FORCE", b"JUSTID", b"LASTID", shown(group.last_id)])
    return found


@logged_as("XREADGROUP")
def _xreadgroup(client, words, reply):
    if reply is NULL_ARRAY or reply is None:
        reply = []
    asked = Request("xreadgroup", words[1:])
    found = []
    for key in asked.keys:
        stream = _stream(client, key)
        if stream is not None and asked.group in stream.groups:
            found.append([b"XGROUP", b"CREATECONSUMER", key, asked.group, asked.consumer])
    new = {key for key, word in zip(asked.keys, asked.ids) if word == b">"}
    for key, rows in reply:
        stream = _stream(client, key)
        group = None if stream is None else stream.groups.get(asked.group)
        if key in new and group is not None:
            found += _claims(key, asked.group, group, [to_id(row[0]) for row in rows])
            n_read = b"-1" if group.n_read is None else b"%d" % group.n_read
            found.append([b"XGROUP", b"SETID", key, asked.group, shown(group.last_id), b"ENTRIESREAD", n_read])
    return found


@logged_as("XCLAIM", "XAUTOCLAIM")
def _xclaim(client, words, reply):
    key, name = words[1:3]
    stream = _stream(client, key)
    group = None if stream is None else stream.groups.get(name)
    if group is None:
        return []
    if words[0].upper() == b"XCLAIM":
        rows, gone = reply, [word for word in words[5:] if word[:1].isdigit() and b"-" in word
                             and to_id(word) not in group.pending]
    else:
        rows, gone = reply[1], reply[2]
    ids = [to_id(row if isinstance(row, bytes) else row[0]) for row in rows]
    found = [[b"XGROUP", b"CREATECONSUMER", key, name, words[3]], *_claims(key, name, group, ids)]
    if gone:
        found.append([b"XACK", key, name, *gone])
    return found
