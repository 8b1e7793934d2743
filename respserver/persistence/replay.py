"""An append-only file back into commands."""
import mmap
import os
from collections.abc import Iterator

import hiredis

_CHUNK = 1 << 20


class AofError(Exception):
    """A file that cannot be read: `offset` in bytes of what is wrong, `text`."""

    def __init__(self, offset: int, text: str):
        super().__init__(f"{text} (offset {offset})")
        self.offset = offset
        self.text = text


class Truncated(AofError):
    """A file that ends within a command or a transaction; `offset` is where that begins: all before it is whole."""


def _encoded_length(words: list) -> int:
    total = 3 + len(str(len(words)))
    for word in words:
        n = bytes.__len__(word)
        total += n + 5 + len(str(n))
    return total


def commands(path: str, start: int = 0) -> Iterator[tuple[list[bytes], int]]:
    """Yields each command from the byte `start` on, with the offset behind it. Raises Truncated when the last one is not whole,
    AofError for what is no command, OSError."""
    with open(path, "rb") as file:
        file.seek(start)
        reader = hiredis.Reader()
        at = fed = start
        first = b""                                 # of the bytes at `at`: those that are looked at
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                break
            data = first + chunk                    # from `at` on
            base = at
            reader.feed(chunk)
            fed += len(chunk)
            while at < fed:
                head = data[at - base]
                if head == 35:                      # "#TS:...", a remark
                    end = data.find(b"\n", at - base)
                    if end < 0:
                        break
                    reader = hiredis.Reader()
                    at = base + end + 1
                    reader.feed(data[at - base:])
                    continue
                if head != 42:
                    raise AofError(at, "Bad file format reading the append only file: no command begins here")
                try:
                    words = reader.gets()
                    if words is False:
                        break
                    end = at + _encoded_length(words)
                except (hiredis.HiredisError, TypeError):
                    raise AofError(at, "Bad file format reading the append only file: this is no command") from None
                if not words or data[end - base - 2:end - base] != b"\r\n":
                    raise AofError(at, "Bad file format reading the append only file: a command is not spelt as it should be")
                at = end
                yield words, at
            first = data[at - base:]
        if at < fed:
            _check_tail(first, at)
            raise Truncated(at, "Unexpected end of file reading the append only file")


def _check_tail(tail: bytes, at: int) -> None:
    """Raises AofError unless the bytes are how a command may begin."""
    if tail[:1] == b"#":
        return
    position, missing, wants_word = 0, 0, False
    while position < len(tail):
        end = tail.find(b"\r\n", position)
        line = tail[position:] if end < 0 else tail[position:end]
        mark = b"$" if wants_word else b"*"
        digits = line[1:].removesuffix(b"\r")
        if line[:1] != mark or not (digits.isdigit() or (end < 0 and not digits)) or len(digits) > 19:
            raise AofError(at, "Bad file format reading the append only file: this is no command")
        if end < 0:
            return
        position = end + 2
        if not wants_word:
            missing, wants_word = int(digits), True
            continue
        n = int(digits)
        if position + n + 2 > len(tail):
            rest = tail[position + n:]
            if rest and rest != b"\r":
                raise AofError(at, "Bad file format reading the append only file: a word is longer than it says")
            return
        if tail[position + n:position + n + 2] != b"\r\n":
            raise AofError(at, "Bad file format reading the append only file: a word is longer than it says")
        position += n + 2
        missing -= 1


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
