"""What MODULE LIST, HELLO and INFO show of a module, and the lines of loadmodule."""
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .config import quote
from .directive import WRONG_COUNT

UNKNOWN = "Can't load module from {}: only the modules that are built in can be named here"


@dataclass(slots=True)
class Module:
    """A part of the server that announces itself as a Redis module does."""

    name: str
    ver: int                    # 81000 stands for 8.10.0
    path: str = ""
    args: list = field(default_factory=list)
    #: Takes the arguments of a loadmodule line; raises ValueError. None: there are none to take.
    configure: Callable[[list[str]], None] | None = None


class Loads:
    """The lines of loadmodule: the path of a module's file, and arguments. A file whose name has that of a module that is built
    in stands for it, so that configuration files of Redis can be used: nothing is loaded, but the arguments count."""

    def __init__(self, modules: list[Module]):
        self.modules = modules

    def load_line(self, words: Iterable[str]) -> None:
        """One line. Raises ValueError."""
        if not words:
            raise ValueError(WRONG_COUNT)
        path, *args = [word for text in words for word in text.split()]
        module = self._named(path)
        if args and module.configure is None:
            raise ValueError(f"Module {module.name} takes no arguments")
        if args:
            module.configure(args)
        module.path, module.args = path, args

    def _named(self, path: str) -> Module:
        file = path.rpartition("/")[2].lower()
        for module in self.modules:
            if module.name.lower().removeprefix("re") in file:
                return module
        raise ValueError(UNKNOWN.format(path))

    def config_lines(self) -> list[str]:
        """What CONFIG REWRITE writes."""
        return [" ".join(["loadmodule", *map(quote, (module.path, *module.args))]) for module in self.modules if module.path]
