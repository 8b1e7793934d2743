"""CLIENT TRACKING and what belongs to it: clients that keep what they have read and want to hear of changes."""
from respserver.protocol import errors
from respserver.protocol.errors import SYNTAX, CommandError
from respserver.protocol.reply import OK, Pairs, SetOf
from respserver.registry import command
from respserver.tracking import Tracker

from .arguments import to_int

_CLIENT = "noscript loading stale"


def _tracker(client, words) -> tuple[Tracker, list[bytes]]:
    """What the options of CLIENT TRACKING ask for, and the prefixes among them."""
    asked, prefixes = Tracker(), []
    opts = set()
    i = 0
    while i < len(words):
        option, has_more = words[i].upper(), i + 1 < len(words)
        if option == b"REDIRECT" and has_more:
            i += 1
            if asked.redirect:
                raise CommandError(errors.REDIRECT_TWICE)
            asked.redirect = to_int(words[i])
            if asked.redirect not in client.server.clients:
                raise CommandError(errors.NO_REDIRECT)
        elif option == b"BCAST":
            asked.is_bcast = True
        elif option in (b"OPTIN", b"OPTOUT"):
            opts.add(option[3:].lower())
        elif option == b"NOLOOP":
            asked.noloop = True
        elif option == b"PREFIX" and has_more:
            i += 1
            prefixes.append(words[i])
        else:
            raise CommandError(SYNTAX)
        i += 1
    if len(opts) == 2:
        asked.opt = b"both"
    elif opts:
        asked.opt = opts.pop()
    return asked, prefixes


def _check_prefixes(client, prefixes) -> None:
    """Prefixes of one client must not contain one another."""
    for i, prefix in enumerate(prefixes):
        for which, others in (("an existing", client.tracker.prefixes if client.tracker is not None else ()),
                              ("another provided", prefixes[i + 1:])):
            for other in others:
                if prefix.startswith(other) or other.startswith(prefix):
                    raise CommandError(errors.PREFIX_OVERLAP.format(_text(prefix), which, _text(other)))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


@command("CLIENT TRACKING", arity=-3, group="connection", since="6.0.0", flags=_CLIENT, complexity="O(1)",
         summary="Controls server-assisted client-side caching for the connection.")
def client_tracking(client, mode, *words):
    """CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]."""
    asked, prefixes = _tracker(client, words)
    tracking, present = client.server.tracking, client.tracker
    if mode.upper() == b"OFF":
        tracking.stop(client)
        return OK
    if mode.upper() != b"ON":
        raise CommandError(SYNTAX)
    if prefixes and not asked.is_bcast:
        raise CommandError(errors.PREFIX_NEEDS_BCAST)
    if present is not None and present.is_bcast != asked.is_bcast:
        raise CommandError(errors.BCAST_SWITCHED)
    if asked.is_bcast and asked.opt:
        raise CommandError(errors.OPT_WITH_BCAST)
    if asked.opt == b"both":
        raise CommandError(errors.OPT_BOTH)
    if present is not None and asked.opt and present.opt and present.opt != asked.opt:
        raise CommandError(errors.OPT_SWITCHED)
    if asked.is_bcast:
        _check_prefixes(client, prefixes)
        asked.prefixes = dict.fromkeys(prefixes or (b"",))
    tracking.start(client, asked)
    return OK


@command("CLIENT CACHING", arity=3, group="connection", since="6.0.0", flags=_CLIENT, complexity="O(1)",
         summary="Instructs the server whether to track the keys in the next request.")
def client_caching(client, mode):
    """YES with OPTIN, NO with OPTOUT."""
    tracker = client.tracker
    if tracker is None:
        raise CommandError(errors.CACHING_NEEDS_OPT)
    option = mode.upper()
    if option not in (b"YES", b"NO"):
        raise CommandError(SYNTAX)
    if option == b"YES" and tracker.opt != b"in":
        raise CommandError(errors.CACHING_YES)
    if option == b"NO" and tracker.opt != b"out":
        raise CommandError(errors.CACHING_NO)
    tracker.caching = True
    return OK


@command("CLIENT GETREDIR", arity=2, group="connection", since="6.0.0", flags=_CLIENT, complexity="O(1)",
         summary="Returns the client ID to which the connection's tracking notifications are redirected.")
def client_getredir(client):
    """0: none; -1: tracking is off."""
    return client.redirect


@command("CLIENT TRACKINGINFO", arity=2, group="connection", since="6.2.0", flags=_CLIENT, complexity="O(1)",
         summary="Returns information about server-assisted client-side caching for the connection.")
def client_trackinginfo(client):
    """Flags, the client that messages go to, prefixes."""
    tracker = client.tracker
    if tracker is None:
        return Pairs([(b"flags", SetOf([b"off"])), (b"redirect", -1), (b"prefixes", [])])
    return Pairs([(b"flags", SetOf(tracker.flags())), (b"redirect", tracker.redirect), (b"prefixes", sorted(tracker.prefixes))])
