"""What queries answer while maxmemory is exceeded: search-on-oom.

"fail" refuses them, "return" gives an empty reply with a warning, "ignore" lets them be. The words of a query are not looked at
any further than the form of an empty reply needs."""
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Pairs, Raw, Simple, encode

from . import errors
from .reply import RESP3_HEAD

_WARNING = Simple(errors.OOM_WARNING.decode())


def answer(client, kind: str, words: tuple):
    """The reply of a query while memory is short, or None: it goes on. kind: SEARCH, AGGREGATE or HYBRID. words: those behind the
    index's name. Raises CommandError."""
    if not _is_empty(client):
        return None
    return _empty(client.proto, kind, words)


def profile(client, kind: str, words: tuple):
    """Likewise for FT.PROFILE."""
    if not _is_empty(client):
        return None
    results = _empty(client.proto, kind, [word for word in words if word.upper() != b"WITHCURSOR"])
    whole = Pairs([(Simple("Shards"), [Pairs([(Simple("Warning"), [_WARNING])])]), (Simple("Coordinator"), Pairs())])
    if client.proto == 3:
        return Pairs([(Simple("Results"), results), (Simple("Profile"), whole)])
    return [results, Raw(encode(whole, 2))]


def _is_empty(client) -> bool:
    """Whether the reply is to be empty. Raises CommandError if it is to be an error."""
    policy, complaints = client.server.config["search-on-oom"], client.server.search.complaints
    if policy == "fail":
        complaints.note_error(errors.OOM)
        raise CommandError(errors.OOM)
    if policy == "return":
        complaints.note_warnings([errors.OOM_WARNING])
    return policy == "return"


def _empty(proto: int, kind: str, given):
    words = [word.upper() for word in given]
    if kind == "HYBRID":
        return Pairs([(Simple("total_results"), 0), (Simple("results"), []), (Simple("warnings"), [_WARNING]),
                      (Simple("execution_time"), 0.0)])
    head = RESP3_HEAD
    if b"FORMAT" in words:
        at = words.index(b"FORMAT") + 1
        if at == len(words):
            raise CommandError(errors.FORMAT_ARGUMENT)
        if words[at] not in (b"STRING", b"EXPAND"):
            raise errors.fail(errors.FORMAT_VALUE, given[at])
        head = head.replace(b"STRING", words[at])
    if proto == 2:
        reply = Raw(b"*1\r\n:0\r\n")
    else:
        reply = Raw(head % 0 + b"+total_results\r\n:0\r\n+warning\r\n" + encode([_WARNING], 3))
    return [reply, 0] if b"WITHCURSOR" in words and kind == "AGGREGATE" else reply
