"""A string that is being edited in place."""
import sys


class Buffer(bytearray):
    """A string as APPEND, SETRANGE and the bit commands leave it, so that the next one need not copy it. OBJECT ENCODING: raw.

    `Database.get_as(key, bytes)` turns it back into `bytes`; `Database.get_text` hands it out as it is."""

    type_name = "string"

    def copy(self) -> bytes:
        """The string as a value of its own."""
        return bytes(self)

    def memory(self) -> int:
        """Bytes held, about."""
        return sys.getsizeof(self)
