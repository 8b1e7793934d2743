"""_FT.DEBUG FT.SEARCH, FT.AGGREGATE and FT.HYBRID: a search that runs out of time where it is told to, so that programs can be
tested against that.

After the words of FT.SEARCH or FT.AGGREGATE come TIMEOUT_AFTER_N and the number of documents, in the index's order, after which
it stops (INTERNAL_ONLY after it is about clusters and changes nothing); after those of FT.HYBRID TIMEOUT_AFTER_N_SEARCH,
TIMEOUT_AFTER_N_VSIM or TIMEOUT_AFTER_N_TAIL, each with the number of results after which that part stops (0: it does not). Then
follow DEBUG_PARAMS_COUNT and how many words these are."""
from respserver.protocol.errors import WRONG_ARITY, CommandError

from . import aggregate, errors, hybrid, search

_SEARCH, _VSIM, _TAIL = b"TIMEOUT_AFTER_N_SEARCH", b"TIMEOUT_AFTER_N_VSIM", b"TIMEOUT_AFTER_N_TAIL"
_AFTER, _INTERNAL = b"TIMEOUT_AFTER_N", b"INTERNAL_ONLY"
_COUNT = b"DEBUG_PARAMS_COUNT"


def ft_search(client, words: tuple):
    """The reply of a search that stops. Raises CommandError."""
    index, words, most = _read(client, words, "FT.SEARCH")
    return search.perform(client, index, words[0], words[1:], most)


def ft_aggregate(client, words: tuple):
    """The reply of an aggregation that stops. Raises CommandError."""
    index, words, most = _read(client, words, "FT.AGGREGATE")
    return aggregate.perform(client, index, words[0], words[1:], most)


def _read(client, words: tuple, command: str) -> tuple:
    """The index, the words after it, and the number of documents. Raises CommandError."""
    if len(words) < 6:
        raise CommandError(WRONG_ARITY.format(f"_FT.DEBUG|{command}"))
    index = client.server.search.find(words[0])
    words, limits = _split(words[1:], (_AFTER,), (_INTERNAL,))
    if _AFTER not in limits:
        raise CommandError(errors.DEBUG_INTERNAL)
    return index, words, limits[_AFTER]


def ft_hybrid(client, words: tuple):
    """The reply of a search that stops. Raises CommandError."""
    if len(words) < 6:
        raise CommandError(WRONG_ARITY.format("_FT.DEBUG|FT.HYBRID"))
    index = client.server.search.find(words[0])
    words, limits = _split(words[1:], (_SEARCH, _VSIM, _TAIL))
    stops = client.server.config["search-on-timeout"] == "fail"

    def stop(warnings: list, where: bytes) -> None:
        if stops:
            raise CommandError(errors.TIMEOUT)
        warnings.append(errors.TIMEOUT_WARNING + b" (" + where + b")")

    def cut(by_words, by_vector) -> None:
        for ranked, name, where in ((by_words, _SEARCH, b"SEARCH"), (by_vector, _VSIM, b"VSIM")):
            most = limits.get(name, 0)
            if most and len(ranked.rows) >= most:
                ranked.rows = ranked.rows[:most]
                ranked.scores = {row: ranked.scores[row] for row in ranked.rows}
                stop(ranked.warnings, where)

    def cut_last(fusion) -> None:
        most = limits.get(_TAIL, 0)
        if most and len(fusion.rows) >= most:
            del fusion.rows[most:]
            stop(fusion.warnings, b"POST PROCESSING")
    return hybrid.perform(client, index, words, cut, cut_last)


def _split(words: tuple, names: tuple[bytes, ...], flags: tuple[bytes, ...] = ()) -> tuple[tuple, dict[bytes, int]]:
    """The words of the search, and the limits of these names behind them. Raises CommandError."""
    if len(words) < 2 or words[-2].upper() != _COUNT:
        raise CommandError(errors.DEBUG_COUNT_MISSING if not flags else errors.DEBUG_COUNT_ABSENT)
    if not words[-1].isdigit() or not int(words[-1]):
        raise CommandError(errors.DEBUG_COUNT)
    n = int(words[-1])
    if n > len(words) - 2:
        raise CommandError(errors.DEBUG_COUNT_HIGH)
    rest = iter(words[-2 - n:-2])
    limits = {}
    for word in rest:
        name = word.upper()
        if name in flags:
            continue
        if name not in names:
            raise errors.fail(errors.DEBUG_WORD, word)
        value = next(rest, None)
        if value is None:
            raise errors.fail(errors.DEBUG_NO_VALUE, name)
        if not value.isdigit():
            raise errors.fail(errors.DEBUG_VALUE, name)
        limits[name] = int(value)
    return words[:-2 - n], limits
