"""Words to what stands for them in an index: their stem in a language, and how they sound."""
from functools import lru_cache

import Stemmer
from metaphone import doublemetaphone

#: Derived terms are told from words by their first byte, which no word can have.
STEM, SOUND, SYNONYM = b"+", b"<", b"~"

#: Written without blanks between words (words.characters), and without a stemmer.
CHINESE = "chinese"
#: Languages without a stemmer of their own that another's does for, as in Redis.
_STEMMED_AS = {"malay": "indonesian"}


@lru_cache(maxsize=None)
def _stemmer(language: str):
    # Its own cache would hold every word a second time: whoever asks keeps the answers.
    return Stemmer.Stemmer(_STEMMED_AS.get(language, language), 0)


def stem(word: bytes, language: str) -> bytes:
    """The stem of a folded word; the word itself where the language has no stemmer or the word is not UTF-8."""
    if language == CHINESE:
        return word
    try:
        return _stemmer(language).stemWord(word.decode()).encode()
    except UnicodeDecodeError:
        return word


def sounds(word: bytes) -> list[bytes]:
    """Both codes of `sound`, the second being the first again for a word that sounds in one way only."""
    first, second = doublemetaphone(word.decode("utf-8", "replace"))
    return [first.encode(), (second or first).encode()]


@lru_cache(maxsize=4096)
def sound(word: bytes) -> bytes:
    """How a word sounds (Double Metaphone's first code; L. Philips, The Double Metaphone Search Algorithm, 2000),
    b"" if it does not."""
    return doublemetaphone(word.decode("utf-8", "replace"))[0].encode()
