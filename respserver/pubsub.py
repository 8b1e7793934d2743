"""Who listens to which channel; deliveries; keyspace notifications."""
from collections.abc import Iterable

from .client import Client
from .glob import matcher
from .keyspace import Change, type_name
from .protocol.reply import Push, encode

#: The letter of notify-keyspace-events that an event needs, where the value's type does not decide.
_GENERIC = frozenset({"del", "expire", "persist", "rename_from", "rename_to", "move_from", "move_to", "copy_to", "restore"})
_LETTERS = {"string": "$", "list": "l", "set": "s", "hash": "h", "zset": "z", "stream": "t"}


class PubSub:
    """Channels, patterns and shard channels of one server, each with its subscribers in the order of subscription."""

    def __init__(self):
        self.channels: dict[bytes, dict[Client, None]] = {}
        self.patterns: dict[bytes, dict[Client, None]] = {}
        self.shard_channels: dict[bytes, dict[Client, None]] = {}

    @staticmethod
    def subscribe(table: dict, own: dict, client: Client, name: bytes) -> None:
        """Adds a subscription; nothing happens if it is there."""
        if name not in own:
            own[name] = None
            table.setdefault(name, {})[client] = None

    @staticmethod
    def unsubscribe(table: dict, own: dict, client: Client, name: bytes) -> None:
        """Takes a subscription away, if it is there."""
        if name in own:
            del own[name]
            listeners = table[name]
            del listeners[client]
            if not listeners:
                del table[name]

    def forget(self, client: Client) -> None:
        """Takes all subscriptions of a client away without telling it."""
        for table, own in ((self.channels, client.channels), (self.patterns, client.patterns),
                           (self.shard_channels, client.shard_channels)):
            for name in list(own):
                self.unsubscribe(table, own, client, name)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Delivers to subscribers of the channel and of matching patterns; returns how many deliveries there were."""
        n = _deliver(self.channels.get(channel, ()), [b"message", channel, message])
        for pattern, listeners in list(self.patterns.items()):
            if matcher(pattern)(channel):
                n += _deliver(listeners, [b"pmessage", pattern, channel, message])
        return n

    def publish_shard(self, channel: bytes, message: bytes) -> int:
        """Delivers to subscribers of a shard channel; returns how many there were."""
        return _deliver(self.shard_channels.get(channel, ()), [b"smessage", channel, message])


def _deliver(listeners: Iterable[Client], message: list) -> int:
    encoded = {}
    n = 0
    for client in list(listeners):
        data = encoded.get(client.proto)
        if data is None:
            data = encoded[client.proto] = encode(Push(message), client.proto)
        client.write(data)
        n += 1
    return n


class Notifier:
    """The keyspace listener that publishes __keyspace@db__ and __keyevent@db__ messages, as notify-keyspace-events wants."""

    def __init__(self, pubsub: PubSub, letters: frozenset):
        self.pubsub = pubsub
        self.letters = letters

    def key_changed(self, change: Change) -> None:
        """Publishes a change if its class is wanted."""
        letters = self.letters
        if change.old is None and change.new is not None and "n" in letters:
            self._publish(change.db, change.key, b"new")
        for event in change.notifications:
            if _letter(event, change) in letters:
                self._publish(change.db, change.key, event.encode())

    def _publish(self, db: int, key: bytes, event: bytes) -> None:
        if "K" in self.letters:
            self.pubsub.publish(b"__keyspace@%d__:%b" % (db, key), event)
        if "E" in self.letters:
            self.pubsub.publish(b"__keyevent@%d__:%b" % (db, event), key)

    def minds(self, db, keys: list[bytes]) -> bool:
        """It publishes any change."""
        return True

    def flushed(self, db: int) -> None:
        """Redis does not notify of a flush."""

    def swapped(self, first: int, second: int) -> None:
        """Redis does not notify of a swap."""


def _letter(event: str, change: Change) -> str:
    """The class of an event."""
    if event in _GENERIC:
        return "g"
    if event == "expired":
        return "x"
    if event == "evicted":
        return "e"
    return _LETTERS.get(type_name(change.new if change.new is not None else change.old), "d")
