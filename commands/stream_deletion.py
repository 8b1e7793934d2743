"""XDELEX and XACKDEL: removal of entries with regard to the groups that have not done with them."""
from respserver.protocol.errors import IDS_MISMATCH, IDS_POSITIVE, CommandError
from respserver.registry import command, logged_as
from respserver.values.numbers import parse_int
from respserver.values.stream import Stream

from .arguments import syntax_error
from .stream_ids import to_id

_KEY = (1, 1, 1)
#: What is answered for an entry.
_UNKNOWN, _DELETED, _STILL_WANTED = -1, 1, 2


def _asked(words) -> tuple[bytes, list]:
    """[KEEPREF|DELREF|ACKED] IDS n id ...: the word and the ids."""
    policy, at = b"KEEPREF", 0
    if words[0].upper() in (b"KEEPREF", b"DELREF", b"ACKED"):
        policy, at = words[0].upper(), 1
    if at + 1 >= len(words) or words[at].upper() != b"IDS":
        raise syntax_error()
    n, ids = parse_int(words[at + 1]), words[at + 2:]
    if n is None or n < 1:
        raise CommandError(IDS_POSITIVE)
    if n != len(ids):
        raise CommandError(IDS_MISMATCH)
    return policy, [to_id(word) for word in ids]


def _remove(stream: Stream, entry, policy: bytes) -> int:
    """Removes one entry: with DELREF from what is pending, too; with ACKED only if every group has read and acknowledged it."""
    groups = stream.groups.values()
    if (policy == b"ACKED" and stream.get(entry) is not None
            and any(entry in group.pending or group.last_id < entry for group in groups)):
        return _STILL_WANTED
    if policy == b"DELREF":
        for group in groups:
            group.acknowledge(entry)
    return _DELETED if stream.remove(entry) else _UNKNOWN


def _n_pending(stream: Stream) -> int:
    return sum(len(group.pending) for group in stream.groups.values())


@command("XDELEX", arity=-5, flags="write fast", keys=_KEY, group="stream", since="8.2.0", complexity="O(1) for each entry",
         summary="Removes entries of a stream, with regard to groups that have not acknowledged them.")
def xdelex(client, key, *words):
    policy, ids = _asked(words)
    stream = client.db.get_as(key, Stream)
    if stream is None:
        return [_UNKNOWN] * len(ids)
    n_pending = _n_pending(stream)
    found = [_remove(stream, entry, policy) for entry in ids]
    if _DELETED in found or _n_pending(stream) != n_pending:        # entries that are gone may have been pending still
        client.db.changed(key, "xdel", stream, stream)
    return found


@command("XACKDEL", arity=-6, flags="write fast", keys=_KEY, group="stream", since="8.2.0", complexity="O(1) for each entry",
         summary="Acknowledges entries and removes them, with regard to other groups that have not acknowledged them.")
def xackdel(client, key, name, *words):
    policy, ids = _asked(words)
    stream = client.db.get_as(key, Stream)
    group = None if stream is None else stream.groups.get(name)
    if group is None:
        return [_UNKNOWN] * len(ids)
    found = []
    for entry in ids:
        if group.acknowledge(entry):
            found.append(_STILL_WANTED if _remove(stream, entry, policy) == _STILL_WANTED else _DELETED)
        else:
            found.append(_UNKNOWN)
    if any(result != _UNKNOWN for result in found):
        client.db.changed(key, "xdel", stream, stream)
    return found


@logged_as("XDELEX", "XACKDEL")
def _as_older_commands(client, words, reply):
    """XACK and XDEL, which older servers know, too."""
    key = words[1]
    stream = client.db.data.get(key)
    if type(stream) is not Stream:
        return []
    is_ack = words[0].upper() == b"XACKDEL"
    policy, _ = _asked(words[3 if is_ack else 2:])
    ids = words[len(words) - len(reply):]
    gone = [entry for entry, result in zip(ids, reply) if result == _DELETED]
    acknowledged = [entry for entry, result in zip(ids, reply) if result != _UNKNOWN]
    found = []
    if is_ack and acknowledged:
        found.append([b"XACK", key, words[2], *acknowledged])
    if policy == b"DELREF":
        # XDELEX lets go of entries that are gone already, too
        let_go = gone if is_ack else ids
        found += [[b"XACK", key, name, *let_go] for name in stream.groups if let_go]
    return [*found, [b"XDEL", key, *gone]] if gone else found
