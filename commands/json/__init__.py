"""The JSON module: JSON.* commands and the documents that they work on."""
#: 8.10.0, as MODULE LIST shows it.
VERSION = 81000


def load(server) -> None:
    """Adds the JSON module to a server that is not yet running."""
    from respserver.modules import Module

    from . import arrays, documents, persist, scalars  # noqa: F401
    server.modules.append(Module("ReJSON", VERSION))
