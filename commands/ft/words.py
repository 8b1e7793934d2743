"""Commands about words: dictionaries (FT.DICT*), synonyms (FT.SYN*) and spelling (FT.SPELLCHECK)."""
from respserver.protocol.errors import WRONG_ARITY, CommandError
from respserver.protocol.reply import OK, Pairs, SetOf, Simple
from respserver.registry import command

from . import errors, tree
from .binding import bind
from .fields.base import fold
from .options import Words, to_integer
from .query import parse_query
from .score import number_of
from .search_options import READERS, SearchOptions


# ------------------------------------------------------------------------------------------------------------ dictionaries

@command("FT.DICTADD", arity=-2, group="search", since="1.4.0", flags="write denyoom", summary="Adds terms to a dictionary",
         complexity="O(1)")
def ft_dictadd(client, name, *terms):
    if not terms:
        raise CommandError(WRONG_ARITY.format("FT.DICTADD"))
    client.server.search.listen()           # FLUSHALL takes dictionaries, too
    words = client.server.search.dictionaries.setdefault(name, set())
    before = len(words)
    words.update(term for term in terms if term)
    if not words:
        del client.server.search.dictionaries[name]
    return len(words) - before


@command("FT.DICTDEL", arity=-2, group="search", since="1.4.0", flags="write", summary="Deletes terms from a dictionary",
         complexity="O(1)")
def ft_dictdel(client, name, *terms):
    if not terms:
        raise CommandError(WRONG_ARITY.format("FT.DICTDEL"))
    dictionaries = client.server.search.dictionaries
    words = dictionaries.get(name)
    if words is None:
        return 0
    before = len(words)
    words.difference_update(terms)
    if not words:
        del dictionaries[name]
    return before - len(words)


@command("FT.DICTDUMP", arity=-1, group="search", since="1.4.0", flags="readonly",
         summary="Dumps all terms in the given dictionary", complexity="O(N) for N terms")
def ft_dictdump(client, *names):
    if len(names) != 1:
        raise CommandError(WRONG_ARITY.format("FT.DICTDUMP"))
    return SetOf(sorted(client.server.search.dictionaries.get(names[0], ())))


# ------------------------------------------------------------------------------------------------------------ synonyms

#: The most synonym groups of a word.
_MAX_GROUPS = 4096
#: The most words of an index that have any.
_MAX_TERMS = 1_000_000


@command("FT.SYNUPDATE", arity=-2, group="search", since="1.2.0", flags="write denyoom",
         summary="Creates or updates a synonym group with additional terms",
         complexity="O(1); O(N) for the documents that are indexed again")
def ft_synupdate(client, name, *words):
    server = client.server
    index = server.search.find(name)
    if len(words) < 2:
        raise CommandError(WRONG_ARITY.format("FT.SYNUPDATE"))
    group, *terms = words
    skips_scan = terms[0].upper() == b"SKIPINITIALSCAN"
    if skips_scan:
        terms = terms[1:]
    text = index.words()
    if any(len(known) >= _MAX_GROUPS and group not in known for term in terms if (known := text.groups.get(fold(term)))):
        raise CommandError(errors.TOO_MANY_GROUPS)
    if len(text.groups) + len(terms) > _MAX_TERMS and len(text.groups.keys() | map(fold, terms)) > _MAX_TERMS:
        raise CommandError(errors.TOO_MANY_SYNONYMS)
    for term in terms:
        groups = text.groups.setdefault(fold(term), [])
        if group not in groups:
            groups.append(group)
    text.forget_words()
    index.plans.clear()
    if not skips_scan and text.fields:
        server.search.scan(index, [field.path for field in text.fields])
    return OK


@command("FT.SYNDUMP", arity=-1, group="search", since="1.2.0", flags="readonly",
         summary="Dumps the contents of a synonym group", complexity="O(N)")
def ft_syndump(client, *names):
    if len(names) != 1:
        raise CommandError(WRONG_ARITY.format("FT.SYNDUMP"))
    index = client.server.search.find(names[0])
    return Pairs([(word, list(groups)) for word, groups in index.words().groups.items()])


@command("FT.SYNADD", arity=-1, group="search", since="1.2.0", flags="write", summary="Not supported any more", complexity="O(1)")
def ft_synadd(client, *words):
    raise CommandError(errors.SYNADD)


# ------------------------------------------------------------------------------------------------------------ spelling

_MOST_NEAR = 1000


def _spelling_options(manager, words: tuple, default_dialect: int):
    """-> (distance, words that are suggested too, words that are right, dialect, parameters, whether scores are numbers of
    documents). Raises CommandError."""
    cursor, distance, dialect, is_full = Words(words), 1, default_dialect, False
    params: dict[bytes, bytes] = {}
    include: set[bytes] = set()
    exclude: set[bytes] = set()
    while cursor:
        word = cursor.match(b"DISTANCE", b"TERMS", b"DIALECT", b"PARAMS", b"FULLSCOREINFO")
        if word == b"DISTANCE":
            if not cursor:
                raise errors.fail(errors.SPELL_DISTANCE_MISSING)
            distance = to_integer(cursor.next())
            if distance is None or not 1 <= distance <= 4:
                raise errors.fail(errors.SPELL_DISTANCE)
        elif word == b"TERMS":
            if not cursor:
                raise errors.fail(errors.SPELL_TERMS_MISSING)
            operation = cursor.match(b"INCLUDE", b"EXCLUDE")
            if not operation:
                raise errors.fail(errors.SPELL_OPERATION)
            if not cursor:
                raise errors.fail(errors.SPELL_TERMS_MISSING)
            name = cursor.next()
            terms = manager.dictionaries.get(name)
            if terms is None:
                raise errors.fail(errors.SPELL_DICTIONARY, name)
            (include if operation == b"INCLUDE" else exclude).update(terms)
        elif word == b"DIALECT":
            if not cursor:
                raise errors.fail(errors.DIALECT_ARGUMENT)
            number = to_integer(cursor.next())
            if number is None or not 1 <= number <= 4:
                raise errors.fail(errors.DIALECT_VALUE)
            dialect = number
        elif word == b"PARAMS":
            options = SearchOptions()
            READERS[b"PARAMS"](cursor, options)
            params = options.params
        elif word == b"FULLSCOREINFO":
            is_full = True
        else:
            cursor.next()
    return distance, include, exclude, dialect, params, is_full


def _terms(node, found: list) -> None:
    """The words of a query and the fields (None: all) in which they are looked for."""
    if type(node) is tree.Term or type(node) is tree.Fuzzy:
        found.append((node.text, node.fields))
    elif type(node) is tree.Phrase:
        found += [(word, node.fields) for word in node.words]
    for child in getattr(node, "children", ()):
        _terms(child, found)
    if getattr(node, "child", None) is not None:
        _terms(node.child, found)


@command("FT.SPELLCHECK", arity=-3, group="search", since="1.4.0", flags="readonly",
         summary="Performs spelling correction on a query, returning suggestions for misspelled terms",
         complexity="O(N) for N terms of the index")
def ft_spellcheck(client, name, query, *words):
    server = client.server
    index = server.search.find(name)
    default_dialect = server.config["search-default-dialect"]
    distance, include, exclude, dialect, params, is_full = _spelling_options(server.search, words, default_dialect)
    index.dialect_uses[dialect - 1] += 1
    found: list = []
    _terms(bind(parse_query(query, dialect, index.schema, ()), params), found)
    text, n_docs = index.words(), len(index.docs)
    near: dict[bytes, list[bytes]] = {}             # without case -> as they are in the dictionaries
    for word in sorted(include):
        near.setdefault(fold(word), []).append(word)
    entries = []
    asked: dict[bytes, object] = {}
    for word, fields in found:
        asked.setdefault(word, fields)
    for word, fields in asked.items():
        if word in exclude or text.frequency(word):
            continue
        suggestions = {}
        for other in text.terms.near(word, distance, _MOST_NEAR):
            if text.read(other, None if fields is None else text.bits(fields)) is not None:
                suggestions[other] = len(text.read(other, None).rows) / (1 if is_full else n_docs)
        for other in sorted(one for folded in text.terms.near_among(list(near), word, distance) for one in near[folded]):
            suggestions.setdefault(other, 0.0)
        entries.append((word, sorted(suggestions.items(), key=lambda pair: -pair[1])))
    if client.proto == 3:
        return Pairs([(Simple("results"), Pairs([(word, [Pairs([(other, score)]) for other, score in suggestions])
                                                 for word, suggestions in entries]))])
    shown = [[Simple("TERM"), word, [[number_of(2, score), other] for other, score in suggestions]]
             for word, suggestions in entries]
    return [n_docs, *shown] if is_full else shown
