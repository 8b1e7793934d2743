"""An append-only file back into commands."""
import mmap
import os
from collections.abc import Iterator

import hiredis

from ..protocol.request import encoded_length, where_many_are_announced

_CHUNK = 1 << 20
#: Bytes before a chunk that are looked at with it: an announcement may lie on both sides.
_SEAM = 16
#: Bytes of a line that says how many words follow, or how long one is, at most.
_HEADER = 22
_BAD_FORMAT = "Bad file format reading the append only file"
_UNEXPECTED_END = "Unexpected end of file reading the append only file"


class AofError(Exception):
    """A file that cannot be read: `offset` in bytes of what is wrong, `text`."""

    def __init__(self, offset: int, text: str):
        super().__init__(f"{text} (offset {offset})")
        self.offset = offset
        self.text = text


class Truncated(AofError):
    """A file that ends within a command or a transaction; `offset` is where that begins: all before it is whole."""


def commands(path: str, start: int = 0) -> Iterator[tuple[list[bytes], int]]:
    """Yields each command from the byte `start` on, with the offset behind it. Raises Truncated when the last one is not whole,
    AofError for what is no command, OSError."""
    data = mapped(path)
    size = len(data)
    reader = hiredis.Reader()
    at = fed = start                                # what the reader has taken ends at `fed`
    by_hand_until = start
    while at < size:
        head = data[at]
        if head == 35:                              # "#TS:...", a remark
            end = data.find(b"\n", at)
            if end < 0:
                raise Truncated(at, _UNEXPECTED_END)
            at = fed = end + 1
            reader = hiredis.Reader()
            continue
        if head != 42:
            raise AofError(at, f"{_BAD_FORMAT}: no command begins here")
        if at < by_hand_until:
            words, at = _cut(data, at)
            fed = at
            reader = hiredis.Reader()
            yield words, at
            continue
        try:
            words = reader.gets()
            if words is False:
                chunk = data[fed:fed + _CHUNK]
                with_seam = data[max(at, fed - _SEAM):fed] + chunk
                if not chunk or where_many_are_announced(with_seam) < len(with_seam):
                    by_hand_until = fed + len(chunk)
                else:
                    reader.feed(chunk)
                    fed += len(chunk)
                continue
            end = at + encoded_length(words)
        except (hiredis.HiredisError, TypeError):
            raise AofError(at, f"{_BAD_FORMAT}: this is no command") from None
        if not words or data[end - 2:end] != b"\r\n":
            raise AofError(at, f"{_BAD_FORMAT}: a command is not spelt as it should be")
        at = end
        yield words, at


def _cut(data, at: int) -> tuple[list[bytes], int]:
    """The words of the command at `at`, and the offset behind them. Raises Truncated when it is not whole, AofError."""
    n, position = _header(data, at, at, b"*")
    if not n:
        raise AofError(at, f"{_BAD_FORMAT}: a command is not spelt as it should be")
    words = []
    while len(words) < n:
        length, position = _header(data, at, position, b"$")
        end = position + length
        if not b"\r\n".startswith(data[end:end + 2]):
            raise AofError(at, f"{_BAD_FORMAT}: a word is longer than it says")
        if end + 2 > len(data):
            raise Truncated(at, _UNEXPECTED_END)
        words.append(data[position:end])
        position = end + 2
    return words, position


def _header(data, at: int, position: int, mark: bytes) -> tuple[int, int]:
    """The number that the line at `position`, of the command at `at`, says behind its mark, and where the next line begins."""
    end = data.find(b"\r\n", position, position + _HEADER)
    line = data[position:end] if end >= 0 else data[position:position + _HEADER].removesuffix(b"\r")
    is_cut = end < 0 and len(data) < position + _HEADER
    if not mark.startswith(line[:1]) or not (line[1:].isdigit() or (is_cut and len(line) < 2)) or (end < 0 and not is_cut):
        raise AofError(at, f"{_BAD_FORMAT}: this is no command")
    if is_cut:
        raise Truncated(at, _UNEXPECTED_END)
    return int(line[1:]), end + 2


def begins_with_rdb(path: str) -> bool:
    """Whether a file begins with an RDB part."""
    with open(path, "rb") as file:
        return file.read(5) == b"REDIS"


def mapped(path: str):
    """A file's bytes, mapped; empty bytes for an empty one."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not os.fstat(fd).st_size:
            return b""
        return mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    finally:
        os.close(fd)
