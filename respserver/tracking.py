"""Server-assisted client-side caching: who has read which keys, or follows which prefixes, and is told when they change.

None of this exists while nobody tracks: the table is a keyspace listener only as long as some client does, and it is only such
clients that the dispatcher takes the long way. What there is to tell leaves behind the reply of the command that caused it, if
that was one of a client that tracks, else at the end of the loop's turn: a message that comes later than it could makes a
client drop what it might keep, never keep what it should drop."""
from itertools import islice

from .client import Client
from .keyspace import Change
from .protocol.reply import NULL_ARRAY, Push, encode

#: Where messages for clients on RESP2 go.
CHANNEL = b"__redis__:invalidate"
#: Events that happen to keys without anybody's doing: NOLOOP does not keep them from a client that happens to be there.
_NOBODYS = frozenset(("expired", "evicted", "hexpired"))
#: Keys that are forgotten in one piece of work when there are too many.
_PIECE = 500


class Tracker:
    """How one client tracks."""

    __slots__ = ("redirect", "is_bcast", "opt", "noloop", "caching", "is_broken", "prefixes")

    def __init__(self):
        self.redirect = 0               # id of the client that is told in place of this one; 0: none
        self.is_bcast = False
        self.opt = b""                  # b"in", b"out": CLIENT CACHING says which reads count
        self.noloop = False             # not to be told of its own changes
        self.caching = False            # CLIENT CACHING has been called: for the next command, or transaction
        self.is_broken = False          # the client that it redirects to has left
        self.prefixes: dict[bytes, None] = {}

    @property
    def notes_reads(self) -> bool:
        """Whether the keys that the client reads now are noted."""
        return not self.is_bcast and (not self.opt or self.caching == (self.opt == b"in"))

    def flags(self) -> list[bytes]:
        """As CLIENT TRACKINGINFO shows them."""
        found = [b"on"]
        if self.is_bcast:
            found.append(b"bcast")
        if self.opt:
            found.append(b"opt" + self.opt)
            if self.caching:
                found.append(b"caching-yes" if self.opt == b"in" else b"caching-no")
        if self.noloop:
            found.append(b"noloop")
        if self.is_broken:
            found.append(b"broken_redirect")
        return found


class Tracking:
    """The clients of one server that track. A keyspace listener while there are any."""

    def __init__(self, server):
        self.server = server
        self.clients: set[Client] = set()
        self.writer: Client | None = None                       # the client that tracks and whose command runs now
        self.n_items = 0                                        # readers of all keys
        self._readers: dict[bytes, set[int]] = {}  # key of any database -> ids of clients, some of which may have left
        self._followers: dict[bytes, set[Client]] = {}          # prefix -> clients in broadcast mode
        # what there is to tell: client and key; None: everybody, of all keys
        self._messages: list[tuple[Client, bytes] | None] = []
        self._changes: dict[bytes, dict[bytes, Client | None]] = {}     # prefix -> key -> who changed it, for the end of the turn
        self._is_due = False
        self._is_shrinking = False

    @property
    def n_keys(self) -> int:
        """Keys with readers."""
        return len(self._readers)

    @property
    def n_prefixes(self) -> int:
        """Prefixes with followers."""
        return len(self._followers)

    # Who tracks

    def start(self, client: Client, tracker: Tracker) -> None:
        """Has a client track, or track in another way."""
        before = client.tracker
        if before is not None:
            tracker.prefixes = before.prefixes | tracker.prefixes
        client.tracker = tracker
        for prefix in tracker.prefixes:
            self._followers.setdefault(prefix, set()).add(client)
        if not self.clients:
            self.server.keyspace.listeners.append(self)
        self.clients.add(client)
        client.refresh()

    def stop(self, client: Client) -> None:
        """Ends a client's tracking, if there is any. The keys that it has read are forgotten as they change."""
        tracker, client.tracker = client.tracker, None
        if tracker is None:
            return
        for prefix in tracker.prefixes:
            followers = self._followers[prefix]
            followers.discard(client)
            if not followers:
                del self._followers[prefix]
                self._changes.pop(prefix, None)
        self.clients.discard(client)
        if self.writer is client:
            self.writer = None
        if not self.clients:
            self.server.keyspace.listeners.remove(self)
            self._forget_all()
        client.refresh()

    def _forget_all(self) -> None:
        self._readers = {}
        self.n_items = 0

    # What they read

    def note(self, client: Client, keys: list[bytes]) -> None:
        """Takes down that a client has read keys."""
        table, number = self._readers, client.id
        for key in keys:
            readers = table.get(key)
            if readers is None:
                table[key] = {number}
                self.n_items += 1
            elif number not in readers:
                readers.add(number)
                self.n_items += 1
        self.limit()

    def limit(self) -> None:
        """Has keys forgotten beyond tracking-table-max-keys (0: any number), those first that were read first; their readers
        are told that they have changed."""
        most = self.server.config["tracking-table-max-keys"]
        if most and len(self._readers) > most and not self._is_shrinking:
            self._is_shrinking = True
            self.server.run_sliced(self._shrink(), "forget tracked keys")

    def _shrink(self):
        try:
            while (most := self.server.config["tracking-table-max-keys"]) and (excess := len(self._readers) - most) > 0:
                # some more than has to be: looking for the first keys of a dict takes time for all that are gone before them
                for key in list(islice(self._readers, min(_PIECE, excess + most // 1000))):
                    self._tell_readers(key, None)
                yield
        finally:
            self._is_shrinking = False

    # What changes: as a keyspace listener

    def key_changed(self, change: Change) -> None:
        """Notes whom to tell."""
        key = change.key
        writer = None if change.event in _NOBODYS else self.writer
        if key in self._readers:
            self._tell_readers(key, writer)
        for prefix in self._followers:
            if key.startswith(prefix):
                keys = self._changes.setdefault(prefix, {})
                keys[key] = writer if keys.get(key, writer) is writer else None
                self._schedule()

    def _tell_readers(self, key: bytes, writer: Client | None) -> None:
        readers = self._readers.pop(key)
        self.n_items -= len(readers)
        for number in readers:
            client = self.server.clients.get(number)
            if (client is None or client.tracker is None or client.tracker.is_bcast
                    or (client is writer and client.tracker.noloop)):
                continue
            self._messages.append((client, key))
            self._schedule()

    def minds(self, db, keys: list[bytes]) -> bool:
        """Whether anybody is to be told of changes of one of these keys."""
        return bool(self._followers) or not self._readers.keys().isdisjoint(keys)

    def flushed(self, db: int) -> None:
        """All clients are to drop everything: keys of all databases are one to them."""
        self._forget_all()
        if self._messages[-1:] != [None]:
            self._messages.append(None)
            self._schedule()

    def swapped(self, first: int, second: int) -> None:
        """Two databases have exchanged their keys."""
        self.flushed(first)

    # Telling

    def _schedule(self) -> None:
        if not self._is_due:
            self._is_due = True
            self.server.loop.call_soon(self._tell_all)

    def tell(self) -> None:
        """Tells readers what there is to tell. To be called after a command of a client that tracks: its own messages come next
        to its reply."""
        messages, self._messages = self._messages, []
        for message in messages:
            if message is not None:
                client, key = message
                self._send(client, [key])
            else:
                for client in list(self.clients):
                    self._send(client, None)

    def take(self, client: Client) -> bytes:
        """What there is to tell a client itself by now, encoded; the rest is sent."""
        if not self._messages:
            return b""
        early: list[bytes] = []
        write, client.write = client.write, early.append
        try:
            self.tell()
        finally:
            client.write = write
        return b"".join(early)

    def _tell_all(self) -> None:
        """Tells everybody what there is to tell."""
        self._is_due = False
        self.tell()
        changes, self._changes = self._changes, {}
        for prefix, writers in sorted(changes.items()):
            for client in list(self._followers.get(prefix, ())):
                keys = [key for key, writer in writers.items() if writer is not client or not client.tracker.noloop]
                if keys:
                    self._send(client, keys)

    def _send(self, client: Client, keys: list[bytes] | None) -> None:
        """Tells a client, or the one that it redirects to, to drop keys; None: all."""
        tracker = client.tracker
        if tracker is None:
            return
        target = client
        if tracker.redirect:
            target = self.server.clients.get(tracker.redirect)
            if target is None:
                tracker.is_broken = True
                if client.proto == 3:
                    client.write(encode(Push([b"tracking-redir-broken", tracker.redirect]), 3))
                return
        if target.proto == 3:
            target.write(encode(Push([b"invalidate", keys]), 3))
        elif target is not client and target.n_subscriptions:
            target.write(encode(Push([b"message", CHANNEL, NULL_ARRAY if keys is None else keys]), 2))
