"""The arguments of the search module in a loadmodule line: `loadmodule redisearch.so WORKERS 4 DEFAULT_DIALECT 2`.

They are the older names of the directives. What a configuration file or the command line says of a directive counts more.
"""
from respserver.protocol.errors import CommandError

from . import errors
from .config import SETTINGS, Setting, value_text

#: Settings whose name alone switches them on.
_FLAGS = {"NOGC": "NOGC", "NO_MEM_POOLS": "NO_MEM_POOLS",
          "FORK_GC_CLEAN_NUMERIC_EMPTY_NODES": "_FORK_GC_CLEAN_NUMERIC_EMPTY_NODES"}
#: The old names for the two numbers of threads; the mode decides which of the two WORKER_THREADS is.
_THREADS, _MODE = "WORKER_THREADS", "MT_MODE"
_MODES = {"MT_MODE_OFF": "", "MT_MODE_FULL": "WORKERS", "MT_MODE_ONLY_ON_OPERATIONS": "MIN_OPERATION_WORKERS"}


def configure(server, words: list[str]) -> None:
    """Takes the arguments of one line: all or none. Raises ValueError."""
    values = _read(words)
    config = server.config
    if _MODE in values or _THREADS in values:
        _translate(server, values)
    if "EXTLOAD" in values:
        config.remarks.append(
            f"EXTLOAD {values['EXTLOAD']}: there are no extensions here, only the scorers and expanders built in")
    rows = [(SETTINGS[name], text) for name, text in values.items()]
    given = {row.directive for row, _ in rows if config.is_given(row.directive)}
    for row, text in rows:
        if row.directive and row.directive not in given:
            config.load(row.directive, [text])


def _read(words: list[str]) -> dict[str, str]:
    """Name -> the value as the directive has it, in the order of their last mention; what is wrong raises ValueError."""
    values: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name = word.upper()
        values.pop(name, None)
        if name in _FLAGS:
            values[_FLAGS[name]] = "yes"
            row = SETTINGS[_FLAGS[name]]
        else:
            row = SETTINGS.get(name)
            if row is None or name == "UPGRADE_INDEX":
                raise ValueError(errors.NO_SUCH_CONFIG.format(word))
            value = next(rest, None)
            if value is None:
                raise ValueError(f"{name}: {errors.TAIL_MISSING}")
            values[name] = _checked(row, value)
    return values


def _checked(row: Setting, value: str) -> str:
    if row.name == _MODE:
        if value.upper() not in _MODES:
            raise ValueError(errors.BAD_CHOICE.format(row.name))
        return value.upper()
    if row.name == _THREADS:
        row = SETTINGS["WORKERS"]
    elif row.kind == "bool" and value in ("0", "1"):
        value = "yes" if value == "1" else "no"
    try:
        return value_text(row, value)
    except CommandError as error:
        raise ValueError(f"{row.name}: {error}") from None


def _translate(server, values: dict[str, str]) -> None:
    """Puts what the old names say for them into `values`, where the new ones are not given later; where the old contradict
    each other they count for nothing."""
    names = list(values)
    earlier = names[:min(names.index(name) for name in (_MODE, _THREADS) if name in values)]
    mode, n_threads = values.pop(_MODE, "MT_MODE_OFF"), values.pop(_THREADS, "0")
    if (mode == "MT_MODE_OFF") != (n_threads == "0"):
        server.config.remarks.append(f"{_MODE} {mode} and {_THREADS} {n_threads} contradict each other: both are ignored")
        return
    server.search.threads_mode = mode
    for name in (_MODES[mode],) if _MODES[mode] else ("WORKERS", "MIN_OPERATION_WORKERS"):
        if name in earlier or name not in values:
            values[name] = n_threads
