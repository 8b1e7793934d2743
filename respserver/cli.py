"""The command line: vamana-server [file.conf] [--directive value ...]."""
import os

from . import REDIS_VERSION, __version__
from .config import Config, ConfigError

USAGE = """\
Usage: vamana-server [/path/to/redis.conf] [options] [-]
       vamana-server - (read config from stdin)
       vamana-server -v or --version
       vamana-server -h or --help

Every directive of redis.conf that the server has can be an option:
       vamana-server --port 7777 --dir /var/lib/vamana
       vamana-server /etc/vamana.conf --loglevel verbose --maxclients 100
"""


class Exit(Exception):
    """The command line asks for text and no server. `text` to print, `status` to exit with."""

    def __init__(self, text: str, status: int = 0):
        super().__init__(text)
        self.text = text
        self.status = status


def split_arguments(arguments: list[str]) -> tuple[str, list[tuple[str, list[str]]]]:
    """The configuration file ("" if none) and the options as (directive, words). Raises Exit and ConfigError."""
    if arguments and arguments[0] in ("-v", "--version"):
        raise Exit(f"vamana-server v={__version__} compatible={REDIS_VERSION}")
    if arguments and arguments[0] in ("-h", "--help"):
        raise Exit(USAGE.rstrip())
    path = ""
    if arguments and not arguments[0].startswith("--"):
        path, *arguments = arguments
    options: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            options.append((name, [value] if equals else []))
        elif options:
            options[-1][1].append(argument)
        else:
            raise ConfigError(argument, "options begin with --")
    return path, options


def apply(config: Config, path: str, options: list[tuple[str, list[str]]]) -> None:
    """Loads the file, then the options over it. Raises ConfigError."""
    if path:
        config.file = os.path.abspath(path)
        try:
            config.load_file("/dev/stdin" if path == "-" else config.file)
        except OSError as error:
            raise ConfigError(path, f"can't open config file: {error.strerror}") from None
        if path == "-":
            config.file = ""
    for name, words in options:
        config.load(name, words)
