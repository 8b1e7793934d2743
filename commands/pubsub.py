"""Channels, patterns and shard channels."""
from respserver.glob import matcher
from respserver.protocol.errors import UNKNOWN_SUBCOMMAND_OR_ARITY, CommandError
from respserver.protocol.reply import Push, Raw, encode
from respserver.registry import command

from .help import declare_help

_SUBSCRIBE = "pubsub noscript loading stale"
_SUB = "pubsub loading stale"


def _change(client, kind: str, names, table, own, change) -> Raw:
    """Subscribes or unsubscribes each name; one message per name, with the subscriptions of its sort that are left."""
    out = []
    for name in names:
        change(table, own, client, name)
        count = len(client.shard_channels) if own is client.shard_channels else len(client.channels) + len(client.patterns)
        out.append(encode(Push([kind.encode(), name, count]), client.proto))
    client.refresh()
    return Raw(b"".join(out))


def _leave(client, kind: str, names, table, own) -> Raw:
    if not names:
        names = list(own)
    if not names:
        count = 0 if own is client.shard_channels else len(client.channels) + len(client.patterns)
        return Raw(encode(Push([kind.encode(), None, count]), client.proto))
    return _change(client, kind, names, table, own, client.server.pubsub.unsubscribe)


@command("SUBSCRIBE", arity=-2, channels=slice(1, None), group="pubsub", since="2.0.0", flags=_SUBSCRIBE,
         complexity="O(N) where N is the number of channels to subscribe to.",
         summary="Listens for messages published to channels.")
def subscribe(client, *channels):
    """Confirms each channel with a message."""
    pubsub = client.server.pubsub
    return _change(client, "subscribe", channels, pubsub.channels, client.channels, pubsub.subscribe)


@command("UNSUBSCRIBE", arity=-1, group="pubsub", since="2.0.0", flags=_SUBSCRIBE,
         complexity="O(N) where N is the number of channels to unsubscribe.",
         summary="Stops listening to messages posted to channels.")
def unsubscribe(client, *channels):
    """Leaves the channels named, or all."""
    return _leave(client, "unsubscribe", channels, client.server.pubsub.channels, client.channels)


@command("PSUBSCRIBE", arity=-2, channels=slice(1, None), are_patterns=True, group="pubsub", since="2.0.0", flags=_SUBSCRIBE,
         complexity="O(N) where N is the number of patterns to subscribe to.",
         summary="Listens for messages published to channels that match one or more patterns.")
def psubscribe(client, *patterns):
    """Confirms each pattern with a message."""
    pubsub = client.server.pubsub
    return _change(client, "psubscribe", patterns, pubsub.patterns, client.patterns, pubsub.subscribe)


@command("PUNSUBSCRIBE", arity=-1, group="pubsub", since="2.0.0", flags=_SUBSCRIBE,
         complexity="O(N) where N is the number of patterns to unsubscribe.",
         summary="Stops listening to messages published to channels that match one or more patterns.")
def punsubscribe(client, *patterns):
    """Leaves the patterns named, or all."""
    return _leave(client, "punsubscribe", patterns, client.server.pubsub.patterns, client.patterns)


@command("SSUBSCRIBE", arity=-2, channels=slice(1, None), group="pubsub", since="7.0.0", flags=_SUBSCRIBE, keys=(1, -1, 1),
         complexity="O(N) where N is the number of shard channels to subscribe to.",
         summary="Listens for messages published to shard channels.")
def ssubscribe(client, *channels):
    """Confirms each shard channel with a message."""
    pubsub = client.server.pubsub
    return _change(client, "ssubscribe", channels, pubsub.shard_channels, client.shard_channels, pubsub.subscribe)


@command("SUNSUBSCRIBE", arity=-1, channels=slice(0), group="pubsub", since="7.0.0", flags=_SUBSCRIBE, keys=(1, -1, 1),
         complexity="O(N) where N is the number of shard channels to unsubscribe.",
         summary="Stops listening to messages posted to shard channels.")
def sunsubscribe(client, *channels):
    """Leaves the shard channels named, or all."""
    return _leave(client, "sunsubscribe", channels, client.server.pubsub.shard_channels, client.shard_channels)


@command("PUBLISH", arity=3, channels=slice(1, 2), group="pubsub", since="2.0.0", flags="pubsub loading stale fast may_replicate",
         complexity="O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number of "
                    "subscribed patterns.",
         summary="Posts a message to a channel.")
def publish(client, channel, message):
    """Returns how many clients got it."""
    return client.server.pubsub.publish(channel, message)


@command("SPUBLISH", arity=3, channels=slice(1, 2), group="pubsub", since="7.0.0",
         flags="pubsub loading stale fast may_replicate", keys=(1, 1, 1),
         complexity="O(N) where N is the number of clients subscribed to the receiving shard channel.",
         summary="Post a message to a shard channel")
def spublish(client, channel, message):
    """Returns how many clients got it."""
    return client.server.pubsub.publish_shard(channel, message)


def _at_most_one(name: str, words: tuple) -> None:
    if len(words) > 1:
        container, _, sub = name.upper().partition("|")
        raise CommandError(UNKNOWN_SUBCOMMAND_OR_ARITY.format(sub.lower(), container))


def _names(table, pattern: tuple) -> list[bytes]:
    matches = matcher(pattern[0]) if pattern else None
    return [name for name in table if matches is None or matches(name)]


def _counts(table, names) -> list:
    return [item for name in names for item in (name, len(table.get(name, ())))]


@command("PUBSUB CHANNELS", arity=-2, group="pubsub", since="2.8.0", flags=_SUB,
         complexity="O(N) where N is the number of active channels.",
         summary="Returns the active channels.")
def pubsub_channels(client, *pattern):
    """Those that match the pattern, if one is given."""
    _at_most_one("pubsub|channels", pattern)
    return _names(client.server.pubsub.channels, pattern)


@command("PUBSUB NUMPAT", arity=2, group="pubsub", since="2.8.0", flags=_SUB, complexity="O(1)",
         summary="Returns a count of unique pattern subscriptions.")
def pubsub_numpat(client):
    """How many different patterns there are."""
    return len(client.server.pubsub.patterns)


@command("PUBSUB NUMSUB", arity=-2, group="pubsub", since="2.8.0", flags=_SUB,
         complexity="O(N) where N is the number of requested channels.",
         summary="Returns a count of subscribers to channels.")
def pubsub_numsub(client, *channels):
    """Channel and count in turn."""
    return _counts(client.server.pubsub.channels, channels)


@command("PUBSUB SHARDCHANNELS", arity=-2, group="pubsub", since="7.0.0", flags=_SUB,
         complexity="O(N) where N is the number of active shard channels.", summary="Returns the active shard channels.")
def pubsub_shardchannels(client, *pattern):
    """Those that match the pattern, if one is given."""
    _at_most_one("pubsub|shardchannels", pattern)
    return _names(client.server.pubsub.shard_channels, pattern)


@command("PUBSUB SHARDNUMSUB", arity=-2, group="pubsub", since="7.0.0", flags=_SUB,
         complexity="O(N) where N is the number of requested shard channels.",
         summary="Returns the count of subscribers of shard channels.")
def pubsub_shardnumsub(client, *channels):
    """Shard channel and count in turn."""
    return _counts(client.server.pubsub.shard_channels, channels)


declare_help("PUBSUB", "pubsub", "6.2.0", (
    "CHANNELS [<pattern>]", "    Active channels, those matching <pattern> if it is given.",
    "NUMPAT", "    Number of patterns with subscribers.",
    "NUMSUB [<channel> ...]", "    Number of subscribers of each channel, patterns not counted.",
    "SHARDCHANNELS [<pattern>]", "    Active shard channels, those matching <pattern> if it is given.",
    "SHARDNUMSUB [<shardchannel> ...]", "    Number of subscribers of each shard channel.",
))
