"""MULTI, EXEC, DISCARD, WATCH and UNWATCH."""
from respserver.protocol import errors
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import NULL_ARRAY, OK, Raw
from respserver.registry import command


@command("MULTI", arity=1, group="transactions", since="1.2.0", flags="noscript loading stale fast allow_busy", complexity="O(1)",
         summary="Starts a transaction.")
def multi(client):
    """Begins queueing."""
    if client.queue is not None:
        raise CommandError(errors.NESTED_MULTI)
    client.queue = []
    client.refresh()
    return OK


@command("DISCARD", arity=1, group="transactions", since="2.0.0", flags="noscript loading stale fast allow_busy",
         complexity="O(N), when N is the number of queued commands", summary="Discards a transaction.")
def discard(client):
    """Forgets the queue and the watched keys."""
    if client.queue is None:
        raise CommandError(errors.DISCARD_WITHOUT_MULTI)
    leave(client)
    return OK


def leave(client) -> None:
    """Ends a client's MULTI, if there is one, without running it."""
    client.queue = None
    client.queue_failed = False
    client.unwatch()
    client.refresh()


@command("EXEC", arity=1, group="transactions", since="1.2.0", flags="noscript loading stale skip_slowlog",
         complexity="Depends on commands in the transaction", summary="Executes all commands in a transaction.")
def exec_(client):
    """Runs the queue unless a watched key has changed or expired since."""
    queue = client.queue
    if queue is None:
        raise CommandError(errors.EXEC_WITHOUT_MULTI)
    failed = client.queue_failed
    for db, key in client.watched:
        if key in db.expires:
            db.expire_if_due(key)           # tells the watchers, this client among them
    dirty = client.is_dirty
    leave(client)
    if failed:
        raise CommandError(errors.EXEC_ABORT)
    if dirty:
        return NULL_ARRAY
    keyspace, dispatcher = client.server.keyspace, client.server.dispatcher
    now, clock = keyspace.now_ms(), keyspace.now_ms
    client.in_exec = True
    keyspace.now_ms = lambda: now           # a transaction happens at one moment
    journal = dispatcher.journal
    start = journal.begin() if journal is not None else 0
    try:
        replies = [_refused_now(client, queued, words) or dispatcher.call(client, queued, words, n_name)
                   for queued, words, n_name in queue]
    finally:
        if journal is not None and journal is dispatcher.journal:
            journal.end(start)
        client.in_exec = False
        keyspace.now_ms = clock
    return Raw(b"*%d\r\n%b" % (len(replies), b"".join(replies)))


def _refused_now(client, command_, words) -> bytes:
    """The error reply for a queued command that the client may not call any more."""
    acl, user = client.server.acl, client.user
    if user.is_unlimited or not acl.refusal(client, command_, words):
        return b""
    reason, _ = user.refusal(command_, words) or ("key", b"")
    return client.server.dispatcher.reject(client, command_, errors.ACL_CHANGED_IN_MULTI.format(errors.ACL_REASONS[reason]))


@command("WATCH", arity=-2, group="transactions", since="2.2.0", flags="noscript loading stale fast allow_busy", keys=(1, -1, 1),
         access="-", complexity="O(1) for every key.",
         summary="Monitors changes to keys to determine the execution of a transaction.")
def watch(client, *keys):
    """Has the next EXEC fail if one of the keys changes before."""
    if client.queue is not None:
        raise CommandError(errors.WATCH_IN_MULTI)
    db = client.db
    for key in keys:
        if key in db.expires:
            db.expire_if_due(key)
        db.watchers.setdefault(key, set()).add(client)
        client.watched.add((db, key))
    return OK


@command("UNWATCH", arity=1, group="transactions", since="2.2.0", flags="noscript loading stale fast allow_busy",
         complexity="O(1)",
         summary="Forgets about watched keys of a transaction.")
def unwatch(client):
    """Forgets the watched keys."""
    client.unwatch()
    return OK
