"""Every error text of the core commands and of the protocol that a client can see. The search module's are in commands/ft/errors.py."""


class CommandError(Exception):
    """An error reply. `text` is what follows the minus sign, code word first: "ERR syntax error"."""

    def __init__(self, text: str):
        super().__init__(text)
        self.text = text


class ProtocolError(Exception):
    """Input that is not RESP: the text is sent as "-ERR Protocol error: <text>" and the connection is closed."""


SYNTAX = "ERR syntax error"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NOT_A_FLOAT = "ERR value is not a valid float"
NO_SUCH_KEY = "ERR no such key"
WRONG_ARITY = "ERR wrong number of arguments for '{}' command"
