"""Errors and warnings of queries, counted for INFO."""
from . import errors

_KINDS = {"SEARCH_SYNTAX": "syntax", "SEARCH_PARSE_ARGS": "arguments", "SEARCH_ARG_UNRECOGNIZED": "arguments",
          "SEARCH_TIMEOUT": "timeout", "SEARCH_OOM": "oom"}


class Complaints:
    """Counts by kind. A server by itself is its own coordinator: what clients got is counted there, as in Redis."""

    __slots__ = ("n_errors", "n_warnings")

    def __init__(self):
        self.n_errors = dict.fromkeys(("syntax", "arguments", "timeout", "oom"), 0)
        self.n_warnings = dict.fromkeys(("timeout", "oom", "max_prefix_expansions"), 0)

    def note_error(self, text: str) -> None:
        """Counts an error reply by its code word."""
        kind = _KINDS.get(text.partition(" ")[0])
        if kind is not None:
            self.n_errors[kind] += 1

    def note_warnings(self, warnings) -> None:
        """Counts the warnings of a reply, which may be none."""
        for warning in warnings:
            text = warning if isinstance(warning, bytes) else str(warning).encode()
            if text == errors.EXPANSIONS_WARNING:
                self.n_warnings["max_prefix_expansions"] += 1
            elif text == errors.TIMEOUT_WARNING:
                self.n_warnings["timeout"] += 1
            elif text == errors.OOM_WARNING:
                self.n_warnings["oom"] += 1

    def fields(self, place: str, counts: bool):
        """(name, count) pairs for INFO. `place`: shard or coord; `counts`: whether it is where they are counted."""
        for kind, n in self.n_errors.items():
            yield f"search_{place}_total_query_errors_{kind}", n if counts else 0
        for kind, n in self.n_warnings.items():
            yield f"search_{place}_total_query_warnings_{kind}", n if counts else 0
