"""INFO, CONFIG, COMMAND, SHUTDOWN and what else concerns the server as a whole."""
import time

from respserver.protocol.reply import Verbatim
from respserver.registry import command


@command("INFO", arity=-1, group="server", flags="loading stale", categories="dangerous", complexity="O(1)",
         summary="Returns information and statistics about the server.")
def info(client, *sections):
    """The sections asked for, or the usual ones."""
    return Verbatim(client.server.info.text(client.server, [section.decode("utf-8", "replace") for section in sections]))


@command("TIME", arity=1, group="server", since="2.6.0", flags="loading stale fast", complexity="O(1)", summary="Returns the server time.")
def time_(client):
    """Unix seconds and the microseconds within."""
    now = time.time_ns() // 1000
    return [b"%d" % (now // 1_000_000), b"%d" % (now % 1_000_000)]
