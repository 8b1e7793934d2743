"""One configuration directive: how its text is read, checked and shown."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BAD_BOOL = "argument must be 'yes' or 'no'"
BAD_INT = "argument couldn't be parsed into an integer"
BAD_MEMORY = "argument must be a memory value"
OUT_OF_RANGE = "argument must be between {} and {} inclusive"
BAD_ENUM = "argument(s) must be one of the following: {}"
BAD_OCTAL = "argument couldn't be parsed as an octal number"
BAD_SAVE = "Invalid save parameters"
BAD_EVENTS = "Invalid event class character. Use 'Ag$lshzxeKEtmdnocrSTIV'."
BAD_BUFFER_COUNT = "Wrong number of arguments in buffer limit configuration."
BAD_BUFFER_CLASS = "Invalid client class specified in buffer limit configuration."
BAD_BUFFER_VALUE = "Error in hard, soft or soft_seconds setting in buffer limit configuration."
BAD_PERCENTILES = "The latency tracking percentiles should be between 0.0 and 100.0"
WRONG_COUNT = "wrong number of arguments"

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1

_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}

#: Classes of keyspace notifications in the order in which Redis shows them, and those that A stands for.
EVENT_CLASSES = "Ag$lshzxetdKEmn"
EVENTS_OF_A = "g$lshzxetd"


def parse_memory(text: str) -> int | None:
    """Bytes of "100", "64kb", "1gb" and the like; None if it is not one."""
    digits = text.rstrip("bBkKmMgG")
    unit = _UNITS.get(text[len(digits):].lower())
    if unit is None or not digits.isascii() or not digits.isdigit():
        return None
    return int(digits) * unit


@dataclass(slots=True)
class Directive:
    """A row of the table. The value kinds and what `server.config[name]` gives for them:

    bool bool; int, memory (bytes), octal int; string, enum str; words list of str; save list of (seconds, changes);
    buffer-limits dict of class -> (hard, soft, seconds); events frozenset of letters; percentiles list of float."""

    name: str
    kind: str
    default: Any
    least: int = 0
    most: int = LONG_MAX
    choices: tuple[str, ...] = ()
    immutable: bool = False         # by CONFIG SET; files and the command line may set everything
    protected: bool = False         # by CONFIG SET unless enable-protected-configs allows it
    many: bool = False              # a file or command line may give several words
    check: Callable[[Any], Any] | None = None       # of the value; raises ValueError with what is wrong with it

    def parse(self, words: list[str], old: Any = None) -> Any:
        """The value that `words` stand for. Raises ValueError with Redis's text.
        `old` is the present value, which some kinds add to."""
        if self.kind in _MANY:
            return _MANY[self.kind](self, words, old)
        if len(words) != 1:
            raise ValueError(WRONG_COUNT)
        return _PARSE[self.kind](self, words[0])

    def show(self, value: Any) -> str:
        """The value as CONFIG GET shows it."""
        return _SHOW.get(self.kind, str)(value)

    def in_range(self, value: int) -> int:
        """The value if it is in range; raises ValueError otherwise."""
        if not self.least <= value <= self.most:
            raise ValueError(OUT_OF_RANGE.format(self.least, self.most))
        return value


def _parse_bool(directive: Directive, text: str) -> bool:
    lower = text.lower()
    if lower not in ("yes", "no"):
        raise ValueError(BAD_BOOL)
    return lower == "yes"


def _parse_int(directive: Directive, text: str) -> int:
    digits = text[1:] if text.startswith("-") else text
    if not digits.isascii() or not digits.isdigit():
        raise ValueError(BAD_INT)
    return directive.in_range(int(text))


def _parse_memory(directive: Directive, text: str) -> int:
    value = parse_memory(text)
    if value is None:
        raise ValueError(BAD_MEMORY)
    return directive.in_range(value)


def _parse_octal(directive: Directive, text: str) -> int:
    try:
        value = int(text, 8)
    except ValueError:
        raise ValueError(BAD_OCTAL) from None
    return directive.in_range(value)


def _parse_string(directive: Directive, text: str) -> str:
    return text


def _parse_enum(directive: Directive, text: str) -> str:
    lower = text.lower()
    if lower not in directive.choices:
        raise ValueError(BAD_ENUM.format(", ".join(directive.choices)))
    return lower


def _parse_events(directive: Directive, text: str) -> frozenset:
    letters = set()
    for letter in text:
        if letter == "A":
            letters.update(EVENTS_OF_A)
        elif letter in EVENT_CLASSES:
            letters.add(letter)
        else:
            raise ValueError(BAD_EVENTS)
    return frozenset(letters)


def _parse_words(directive: Directive, words: list[str], old) -> list[str]:
    return [word for text in words for word in text.split()]


def _parse_save(directive: Directive, words: list[str], old) -> list:
    words = [word for text in words for word in text.split()]
    if len(words) % 2:
        raise ValueError(BAD_SAVE)
    points = []
    for seconds, changes in zip(words[::2], words[1::2]):
        if not seconds.isdigit() or not changes.isdigit() or int(seconds) < 1:
            raise ValueError(BAD_SAVE)
        points.append((int(seconds), int(changes)))
    return points


def _parse_buffer_limits(directive: Directive, words: list[str], old) -> dict:
    words = [word for text in words for word in text.split()]
    if not words or len(words) % 4:
        raise ValueError(BAD_BUFFER_COUNT)
    limits = dict(directive.default if old is None else old)
    for name, hard, soft, seconds in zip(words[::4], words[1::4], words[2::4], words[3::4]):
        name = "replica" if name.lower() == "slave" else name.lower()
        if name not in limits:
            raise ValueError(BAD_BUFFER_CLASS)
        values = parse_memory(hard), parse_memory(soft), int(seconds) if seconds.isdigit() else None
        if None in values:
            raise ValueError(BAD_BUFFER_VALUE)
        limits[name] = values
    return limits


def _parse_percentiles(directive: Directive, words: list[str], old) -> list[float]:
    found = []
    for word in [word for text in words for word in text.split()]:
        try:
            value = float(word)
        except ValueError:
            raise ValueError(BAD_PERCENTILES) from None
        if not 0 <= value <= 100:
            raise ValueError(BAD_PERCENTILES)
        found.append(value)
    return found


def _show_events(letters: frozenset) -> str:
    if not letters:
        return ""
    rest = letters
    text = ""
    if letters >= set(EVENTS_OF_A):
        text, rest = "A", letters - set(EVENTS_OF_A)
    return text + "".join(letter for letter in EVENT_CLASSES if letter in rest)


_PARSE = {"bool": _parse_bool, "int": _parse_int, "memory": _parse_memory, "octal": _parse_octal, "string": _parse_string,
          "enum": _parse_enum, "events": _parse_events}
_MANY = {"words": _parse_words, "save": _parse_save, "buffer-limits": _parse_buffer_limits, "percentiles": _parse_percentiles}
_SHOW = {
    "bool": lambda value: "yes" if value else "no",
    "octal": lambda value: format(value, "o"),
    "words": " ".join,
    "save": lambda points: " ".join(f"{seconds} {changes}" for seconds, changes in points),
    "buffer-limits": lambda limits: " ".join(f"{'slave' if name == 'replica' else name} {hard} {soft} {seconds}"
                                             for name, (hard, soft, seconds) in limits.items()),
    "events": _show_events,
    "percentiles": lambda values: " ".join(f"{value:g}" for value in values),
}
