"""What a client can say: one module per command group. Importing a group declares its commands in the registry."""
from . import (  # noqa: F401
    acl, connection, generic, hashes, introspection, observation, pubsub, server, strings, transactions,
)


def load(state) -> None:
    """Adds what the modules bring besides commands (directives, INFO sections, listeners) to a server that is not yet running."""
