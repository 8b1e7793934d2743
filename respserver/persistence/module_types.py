"""How values of types that Redis has from modules are written: as the module would, so that each may read the other's."""
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True)
class ModuleType:
    """`save` turns a value into its parts (int, float or bytes), `load(version, parts)` back, raising ValueError;
    `commands(key, value)` are the commands (lists of words) that make it."""

    cls: type
    name: str                           # nine letters
    version: int
    save: Callable[[object], Iterable]
    load: Callable[[int, list], object]
    commands: Callable[[bytes, object], Iterable[list[bytes]]]

    @property
    def number(self) -> int:
        """The 64 bits that stand for the type and version in a file."""
        number = 0
        for letter in self.name:
            number = number << 6 | _LETTERS.index(letter)
        return number << 10 | self.version


_by_class: dict[type, ModuleType] = {}
_by_name: dict[str, ModuleType] = {}


def register(module_type: ModuleType) -> None:
    """Makes a type known."""
    _by_class[module_type.cls] = module_type
    _by_name[module_type.name] = module_type


def of_class(cls: type) -> ModuleType | None:
    """The type of values of a class."""
    return _by_class.get(cls)


def of_number(number: int) -> tuple[ModuleType | None, str, int]:
    """(the type, if it is known; its name; the version) that 64 bits stand for."""
    rest = number >> 10
    letters = []
    for _ in range(9):
        letters.append(_LETTERS[rest & 63])
        rest >>= 6
    name = "".join(reversed(letters))
    return _by_name.get(name), name, number & 1023
