"""XINFO: what is known of a stream, its groups and their consumers."""
from respserver.protocol.errors import NO_GROUP, NO_SUCH_KEY, CommandError
from respserver.protocol.reply import Pairs
from respserver.registry import command
from respserver.values.stream import LAST, ZERO, Stream

from .arguments import syntax_error, to_int
from .help import declare_help
from .stream_ids import rows, shown

_KEY = (2, 2, 1)


def _stream(client, key) -> Stream:
    stream = client.db.get_as(key, Stream)
    if stream is None:
        raise CommandError(NO_SUCH_KEY)
    return stream


@command("XINFO STREAM", arity=-3, flags="readonly", keys=_KEY, group="stream", since="5.0.0", complexity="O(1)",
         summary="Returns information about a stream.")
def xinfo_stream(client, key, *words):
    count = None
    if words:
        if words[0].upper() != b"FULL" or len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != b"COUNT"):
            raise syntax_error()
        count = to_int(words[2]) if len(words) == 3 else 10
        count = 10 if count < 0 else count
    stream = _stream(client, key)
    n = len(stream)
    nodes = -(-n // (client.server.config["stream-node-max-entries"] or 100))
    head = [(b"length", n), (b"radix-tree-keys", nodes), (b"radix-tree-nodes", nodes + 1),
            (b"last-generated-id", shown(stream.last_id)), (b"max-deleted-entry-id", shown(stream.max_deleted)),
            (b"entries-added", stream.n_added), (b"recorded-first-entry-id", shown(stream.first_id))]
    if not words:
        first, last = stream.range(ZERO, LAST, 1), stream.range(ZERO, LAST, 1, reverse=True)
        return Pairs([*head, (b"groups", len(stream.groups)), (b"first-entry", rows(first)[0] if first else None),
                      (b"last-entry", rows(last)[0] if last else None)])
    most = count or None
    return Pairs([*head, (b"entries", rows(stream.range(ZERO, LAST, most))),
                  (b"groups", [_full_group(stream, name, most) for name in sorted(stream.groups)])])


def _full_group(stream: Stream, name: bytes, most: int | None) -> Pairs:
    group = stream.groups[name]
    pending = [[shown(entry), group.pending[entry].consumer.name, group.pending[entry].when_ms, group.pending[entry].count]
               for entry in sorted(group.pending)[:most]]
    consumers = [Pairs([
        (b"name", consumer.name), (b"seen-time", consumer.seen_ms), (b"active-time", consumer.active_ms),
        (b"pel-count", len(consumer.pending)),
        (b"pending", [[shown(entry), consumer.pending[entry].when_ms, consumer.pending[entry].count]
                      for entry in sorted(consumer.pending)[:most]]),
    ]) for consumer in sorted(group.consumers.values(), key=lambda consumer: consumer.name)]
    return Pairs([(b"name", name), (b"last-delivered-id", shown(group.last_id)), (b"entries-read", group.n_read),
                  (b"lag", stream.lag(group)), (b"pel-count", len(group.pending)), (b"pending", pending),
                  (b"consumers", consumers)])


@command("XINFO GROUPS", arity=3, flags="readonly", keys=_KEY, group="stream", since="5.0.0", complexity="O(1)",
         summary="Returns a list of the consumer groups of a stream.")
def xinfo_groups(client, key):
    stream = _stream(client, key)
    return [Pairs([(b"name", name), (b"consumers", len(group.consumers)), (b"pending", len(group.pending)),
                   (b"last-delivered-id", shown(group.last_id)), (b"entries-read", group.n_read), (b"lag", stream.lag(group))])
            for name, group in sorted(stream.groups.items())]


@command("XINFO CONSUMERS", arity=4, flags="readonly", keys=_KEY, group="stream", since="5.0.0", complexity="O(1)",
         summary="Returns a list of the consumers in a consumer group.")
def xinfo_consumers(client, key, name):
    group = _stream(client, key).groups.get(name)
    if group is None:
        raise CommandError(NO_GROUP.format(*(word.decode("utf-8", "surrogateescape") for word in (name, key))))
    now = client.server.keyspace.now_ms()
    return [Pairs([(b"name", consumer.name), (b"pending", len(consumer.pending)), (b"idle", max(0, now - consumer.seen_ms)),
                   (b"inactive", -1 if consumer.active_ms < 0 else max(0, now - consumer.active_ms))])
            for consumer in sorted(group.consumers.values(), key=lambda consumer: consumer.name)]


declare_help("XINFO", "stream", "5.0.0", (
    "CONSUMERS <key> <groupname>", "    The consumers of a group.",
    "GROUPS <key>", "    The groups of a stream.",
    "STREAM <key> [FULL [COUNT <count>]]", "    A stream, with its groups and entries if FULL is given."))
