"""What a client can say: one module per command group. Importing a group declares its commands in the registry."""
import pkgutil
from importlib import import_module

for _module in pkgutil.iter_modules(__path__):
    if not _module.ispkg:
        import_module(f"{__name__}.{_module.name}")


def load(state) -> None:
    """Adds what the modules bring besides commands (directives, INFO sections, listeners) to a server that is not yet running."""
    from .ft import load as load_search
    from .json import load as load_json
    load_search(state)
    load_json(state)
