"""The host: sockets, RESP, dispatch, keyspace and configuration. It knows nothing of vectors or of FT commands.

Where to begin: `connection` takes bytes from a socket, `dispatch` runs the command that they are, `keyspace` holds what it
changes.

| job | modules |
|---|---|
| a server's life | __main__, cli, server, state (its parts), config, directive, supervision, crash, background |
| from the socket to the reply | connection, protocol/, dispatch, registry (what commands there are), deferred, outbox, tls |
| data | keyspace, values/, glob, eviction, memory |
| clients | client, acl, permissions, pubsub, tracking |
| what outlives the process | persistence/, hugepages (short forks) |
| watching it | info, stats, modules |
| scripts | lua, lua_pack |
"""

__version__ = "0.1.0"
#: The Redis release whose replies and error texts are followed.
REDIS_VERSION = "8.10.0"
