"""What a client can say: one module per command group. Importing a group declares its commands in the registry."""
from . import connection, generic, hashes, pubsub, server, strings, transactions  # noqa: F401


def load(state) -> None:
    """Adds what the modules bring besides commands (directives, INFO sections, listeners) to a server that is not yet running."""
