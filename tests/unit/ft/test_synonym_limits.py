"""How many words of an index may have synonyms."""
from types import SimpleNamespace

import pytest

from commands.ft import words
from respserver.protocol.errors import CommandError


def test_a_batch_that_goes_beyond_the_limit_changes_nothing(monkeypatch):
    monkeypatch.setattr(words, "_MAX_TERMS", 2)
    text = SimpleNamespace(groups={b"a": [b"g"]}, fields=[], forget_words=lambda: None)
    index = SimpleNamespace(words=lambda: text, plans={})
    client = SimpleNamespace(server=SimpleNamespace(search=SimpleNamespace(find=lambda name: index)))
    with pytest.raises(CommandError, match="Maximum synonym terms limit reached"):
        words.ft_synupdate(client, b"idx", b"h", b"b", b"c")
    assert text.groups == {b"a": [b"g"]}
    words.ft_synupdate(client, b"idx", b"h", b"A", b"b", b"B")
    assert text.groups == {b"a": [b"g", b"h"], b"b": [b"h"]}
