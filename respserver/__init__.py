"""The host: sockets, RESP, dispatch, keyspace and configuration. It knows nothing of vectors or of FT commands."""

__version__ = "0.1.0"
#: The Redis release whose replies and error texts are followed.
REDIS_VERSION = "8.10.0"
