"""What of the search module outlives the process beside keys: definitions of indexes,
aliases, synonyms, dictionaries, suggestions."""
from collections.abc import Iterator

from respserver.persistence.module_types import ModuleType, register
from respserver.registry import logged_as

from .suggest import Suggestions


def definitions(server) -> Iterator[list[bytes]]:
    """The commands that make all indexes, without their documents, and what belongs to them."""
    manager = server.search
    for index in manager.indexes.values():
        yield from index.definition
        if index.text is not None:
            groups: dict[bytes, list[bytes]] = {}
            for term, names in index.text.groups.items():
                for name in names:
                    groups.setdefault(name, []).append(term)
            for name, terms in groups.items():
                yield [b"FT.SYNUPDATE", index.name, name, *terms]
    for alias, index in manager.aliases.items():
        yield [b"FT.ALIASADD", alias, index.name]
    for name, terms in manager.dictionaries.items():
        yield [b"FT.DICTADD", name, *sorted(terms)]


@logged_as("FT.DROPINDEX", "FT.DROP", "FT._DROPINDEXIFX", "FT._DROPIFX")
def _drop(client, words, reply):
    # Documents that go with an index are deleted bit by bit, and logged then.
    return [[b"FT._DROPINDEXIFX", words[1]]]


def _save_suggestions(value: Suggestions) -> Iterator:
    yield len(value)
    for string, (score, payload) in value.entries.items():
        yield string + b"\0"
        yield score
        yield (payload or b"") + b"\0"


def _load_suggestions(version: int, parts: list) -> Suggestions:
    if version > 2:
        raise ValueError(f"version {version}")
    width = 2 + version
    value = Suggestions()
    n = parts[0]
    if len(parts) != 1 + n * width:
        raise ValueError("its length is wrong")
    for i in range(1, len(parts), width):
        payload = parts[i + 2][:-1] if version else b""
        value.add(parts[i][:-1], float(parts[i + 1]), payload or None, False)
    return value


def _suggestion_commands(key: bytes, value: Suggestions) -> Iterator[list[bytes]]:
    for string, (score, payload) in value.entries.items():
        yield [b"FT.SUGADD", key, string, repr(score).encode(), *([b"PAYLOAD", payload] if payload is not None else [])]


register(ModuleType(Suggestions, Suggestions.type_name, 1, _save_suggestions, _load_suggestions, _suggestion_commands))
