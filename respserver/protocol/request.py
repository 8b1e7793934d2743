"""Bytes to commands, under the limits and with the error texts of Redis.

hiredis parses whatever has arrived complete, which is nearly everything; it also takes what Redis refuses and waits for absurd
lengths. So its result counts only if it takes exactly the bytes that it should in its usual encoding. Everything else (a
command cut off by the end of a read, an inline command, input that is not RESP) goes through the strict scanner below, which
keeps its place between reads, so that no byte of a long value is looked at twice.
"""
import re

import hiredis

from .errors import ProtocolError

INLINE_MAX = 64 * 1024              # bytes of an inline command, and of a header line
MULTIBULK_MAX = 2**31 - 1           # words of a command
UNAUTHENTICATED_MULTIBULK_MAX = 10
UNAUTHENTICATED_BULK_MAX = 16384

TOO_BIG_INLINE = "too big inline request"
UNBALANCED_QUOTES = "unbalanced quotes in request"
TOO_BIG_COUNT_LINE = "too big mbulk count string"
TOO_BIG_LENGTH_LINE = "too big bulk count string"
INVALID_MULTIBULK = "invalid multibulk length"
INVALID_BULK = "invalid bulk length"
UNAUTHENTICATED_MULTIBULK = "unauthenticated multibulk length"
UNAUTHENTICATED_BULK = "unauthenticated bulk length"
NOT_A_BULK = "expected '$', got '{}'"

#: After a cut-off command was completed, at least this many bytes must follow to hand the rest to hiredis again.
_WORTH_HIREDIS = 256


#: Where the line end of a command's header must be found for hiredis to get it: it would make room for all words that are
#: announced.
_SHORT_HEADER = 8
#: The same for what hiredis takes inside a command and no client sends: an array or the like of very many elements, for which it
#: makes room before they are there. Such text in a value only means that this command is cut by hand. One expression for each
#: sort: those that begin with a certain byte are several times quicker. hiredis does not look at the line end before it.
_MANY_ANNOUNCED = [re.compile(re.escape(kind) + rb"[0-9]{5}").search for kind in (b"*", b"~", b">", b"|", b"%")]
#: A read of at most this many bytes is first taken for one command, which is quicker cut by hand than by hiredis.
_SHORT_READ = 512
#: What a word of an unfinished command counts beside its bytes.
_PER_WORD = 8
#: After a longer one that was not like the one before, so many are cut without trying; after mixed pipelines up to so many.
_PATTERN_PAUSE = 64
#: A command's header -> how many parts its line ends cut it into, with an empty one at the end.
_PARTS = {b"*%d" % n: 2 * n + 2 for n in range(1, 64)}
_BULK_HEADERS = [b"$%d" % n for n in range(_SHORT_READ)]
_SHORT_HEADERS = dict(enumerate(_BULK_HEADERS))
_LENGTHS = {header: n for n, header in enumerate(_BULK_HEADERS)}
#: Where the line end of a word's header is looked for.
_LENGTH_HEADER = 12
#: Words of at least so many bytes in the mean are sooner cut by hand than by hiredis.
_LONG_WORD = 192
#: A cut-off command of at most this many bytes is read anew with what follows, so that a long pipeline is not slowed down by its
#: cuts.
_SHORT_REST = 16 * 1024


def _short_command(data: bytes) -> list[bytes] | None:
    """The words of the one command that the bytes are, if they are one in its usual spelling and no word contains a line end."""
    parts = data.split(b"\r\n")
    if _PARTS.get(parts[0]) != len(parts) or parts[-1]:
        return None
    words = parts[2::2]
    i = 1
    for word in words:
        if _BULK_HEADERS[len(word)] != parts[i]:
            return None
        i += 2
    return words


class Columns:
    """Commands of as many words each, by the place of a word: `columns[0]` has their names, `columns[1]` what stands behind
    each name, and so on. `data`: the bytes that they came in. Iterating gives the commands one by one, each a list of words."""

    __slots__ = ("columns", "data", "_rows")

    def __init__(self, columns: list[list[bytes]], data: bytes):
        self.columns = columns
        self.data = data
        self._rows: list[list[bytes]] | None = None

    def __len__(self) -> int:
        return len(self.columns[0])

    def __iter__(self):
        if self._rows is None:
            self._rows = list(map(list, zip(*self.columns)))
        return iter(self._rows)


def _short_pipeline(data: bytes) -> Columns | None:
    """The commands at the front of `data` up to one that is cut off, if they are several in their usual spelling, all of as many
    words, and no word is long or contains a line end. All at once, which is several times quicker than one by one."""
    parts = data.split(b"\r\n")
    start = parts[0]
    stride = _PARTS.get(start, 0) - 1
    n = (len(parts) - 1) // stride if stride > 0 else 0
    if n < 2 or parts[:n * stride:stride].count(start) != n:
        return None
    rest = parts[n * stride:]
    if len(rest) > 1 or rest[0]:
        del parts[n * stride:]
        data = data[:-sum(map(len, rest)) - 2 * (len(rest) - 1)]
    else:
        parts.pop()
    columns = []
    for i in range(1, stride, 2):
        words, heads = parts[i + 1::stride], parts[i::stride]
        sizes = list(map(len, words))
        head = heads[0]
        if heads.count(head) == n:                          # names, and much else, are of one length
            if sizes.count(sizes[0]) != n or _SHORT_HEADERS.get(sizes[0]) != head:
                return None
        elif list(map(_SHORT_HEADERS.get, sizes)) != heads:
            return None
        columns.append(words)
    return Columns(columns, data)


def _cut_by_hand(data: bytes) -> tuple[list[list[bytes]], int, bool]:
    """The complete commands at the front of `data`, as far as they are in their usual spelling and their words are long in the
    mean; how many bytes they take; and whether hiredis may find more. Looks at few bytes of a word, where what precedes hiredis
    looks at all of them several times."""
    commands = []
    position = 0
    find = data.find
    while True:
        end = find(b"\r\n", position, position + _SHORT_HEADER)
        parts = _PARTS.get(data[position:end]) if end > 0 else None
        if parts is None:
            return commands, position, True
        n = parts // 2 - 1
        if not commands and (len(data) < _LONG_WORD * n or find(b"\r\n*", end, _LONG_WORD * n) > 0):
            return commands, position, True                 # the next command seems to begin sooner
        at = end + 2
        words = []
        for _ in range(n):
            end = find(b"\r\n", at, at + _LENGTH_HEADER)
            if end < 0:
                return commands, position, False
            head = data[at:end]
            size = _LENGTHS.get(head)
            if size is None:
                if not head[1:].isdigit():
                    return commands, position, False
                size = int(head[1:])
                if b"$%d" % size != head:
                    return commands, position, False
            at = end + 2 + size
            if data[at:at + 2] != b"\r\n":
                return commands, position, False
            words.append(data[end + 2:at])
            at += 2
        commands.append(words)
        is_short = at - position < _LONG_WORD * n
        position = at
        if is_short:
            return commands, position, True


class RequestParser:
    """Cuts a byte stream into commands, each a list of words (bytes, the command's name first).

    `error` is set, to a ProtocolError, once the stream is broken: the commands before it are still returned, and nothing after
    it.
    While `restricted` is set (nobody has authenticated) commands are small and come one per call of `feed` or `more`."""

    __slots__ = ("max_bulk", "restricted", "error", "_direct", "_reader", "_buffer", "_position", "_words", "_missing", "_bulk",
                 "_wanted", "_words_size", "_pattern", "_last_size", "_skip",
                 "_skip_pipelines", "_pause", "_rest", "exact")

    def __init__(self, max_bulk: int = 512 * 1024 * 1024, restricted: bool = False):
        self.max_bulk = max_bulk            # bytes of one word (proto-max-bulk-len)
        self.restricted = restricted
        self.error: ProtocolError | None = None
        self._direct = not restricted       # nothing is buffered, nothing is wrong: hiredis may have the next bytes
        self._reader = hiredis.Reader()
        self._buffer = bytearray()          # what has arrived and is not yet part of a returned command
        self._position = 0                  # where the scanner stands in it
        self._words: list = []              # words so far of the command under way
        self._words_size = 0                # their bytes, and what a list of them takes
        self._missing = 0                   # words it still lacks; 0: no command is under way
        self._bulk = -1                     # length of the word under way; -1: its header is not read yet
        self._wanted = 0                    # buffer length below which scanning again is of no use
        # the latest long command: bytes around its longest word, its words, which of them that is
        self._pattern: tuple | None = None
        self._last_size = 0                 # bytes of the latest long command
        self._skip_pipelines = 0            # reads with several commands to be cut one by one
        self._pause = 0                     # how many that were when the latest began
        self._rest = b""                    # what alone is in the buffer, and is begun with by the scanner: for reading it anew
        # the bytes of the commands that `feed` returned last, if they are in their usual spelling
        self.exact: bytes | None = None
        self._skip = 0                      # long commands to be cut without looking for a pattern

    @property
    def buffered(self) -> int:
        """Bytes that wait for the rest of their command, its words so far included; 0 only between commands."""
        return len(self._buffer) + self._words_size + (self._missing > 0)

    def feed(self, data: bytes) -> list[list[bytes]] | Columns:
        """Takes the next bytes of the stream and returns the commands that they complete."""
        self.exact = None
        rest = self._rest
        if rest:
            self._rest = b""
            if len(data) > len(rest):       # so that nothing is read anew time and again
                self._forget_rest()
                data = rest + data
        if not self._direct:
            if self.error is not None:
                return []
            self._buffer += data
        elif data[0] != 42:                                 # not "*": an inline command
            self._buffer += data
        else:
            if len(data) <= _SHORT_READ:
                words = _short_command(data)
                if words is not None:
                    return [words]
            elif self._last_size == len(data):
                pattern = self._pattern
                if pattern is not None:
                    head, tail, words, i = pattern
                    if data.startswith(head) and data.endswith(tail):
                        words = words.copy()            # who gets them uses them up
                        words[i] = data[len(head):-len(tail)]
                        return [words]
                    self._pattern = None
                    self._skip = _PATTERN_PAUSE
            commands = None
            are_short = data.find(b"\r\n*", 0, _SHORT_READ) > 0
            if are_short:
                if self._skip_pipelines:
                    self._skip_pipelines -= 1
                else:
                    commands = _short_pipeline(data)
                    self._pause = 0 if commands is not None else min(2 * self._pause + 1, _PATTERN_PAUSE)
                    self._skip_pipelines = self._pause
            if commands is None:
                commands, consumed = self._by_hiredis(data) if are_short else self._parse_complete(data)
            else:
                consumed = len(commands.data)
            if consumed == len(data):
                self.exact = data
                if len(commands) == 1 and consumed > _SHORT_READ:
                    self._note_pattern(data, commands[0])
                return commands
            return self._with_rest(commands, data, consumed)
        commands = []
        if len(self._buffer) >= self._wanted:
            self._scan(commands)
        return commands

    def _with_rest(self, commands: list | Columns, data: bytes, consumed: int) -> list | Columns:
        """Gives the scanner what follows the complete commands at the front of `data`; returns these, and what it finds."""
        rest = data[consumed:]
        self._buffer += rest
        further = []
        self._scan(further)
        if further:
            return [*commands, *further]
        self.exact = data[:consumed]
        if not self._direct and self.error is None and len(rest) <= _SHORT_REST:
            self._rest = rest
        return commands

    def _forget_rest(self) -> None:
        """Undoes what the scanner has made of `_rest`."""
        self._buffer.clear()
        self._words = []
        self._words_size = self._missing = self._wanted = 0
        self._bulk = -1
        self._direct = True

    def release(self) -> None:
        """Lifts the restriction: somebody has authenticated."""
        self.restricted = False
        self._direct = not self._buffer and self.error is None

    def more(self) -> list[list[bytes]]:
        """The commands that are left in the buffer: for use after a command that may have lifted the restriction."""
        commands = []
        if self._buffer and self.error is None and len(self._buffer) >= self._wanted:
            self._scan(commands)
        return commands

    def _note_pattern(self, data: bytes, words: list[bytes]) -> None:
        """Remembers a command as large as the one before: the next that differs only in the longest word is then recognised by
        the bytes around that. `data`: the command as it came."""
        if self._skip:
            self._skip -= 1
            return
        size, self._last_size = self._last_size, len(data)
        if size != len(data):
            return
        i = words.index(max(words, key=len))
        end = len(data) - sum([n + 5 + len(str(n)) for n in map(len, words[i + 1:])]) - 2
        self._pattern = data[:end - len(words[i])], data[end:], words.copy(), i

    def _parse_complete(self, data: bytes) -> tuple[list, int]:
        """The complete commands at the front of `data`, and how many bytes they take: up to the first that is cut off, or is not
        spelt as clients spell commands."""
        commands, consumed, may_go_on = _cut_by_hand(data)
        if not may_go_on or consumed == len(data):
            return commands, consumed
        further, n = self._by_hiredis(data[consumed:])
        return commands + further, consumed + n

    def _by_hiredis(self, data: bytes) -> tuple[list, int]:
        """As `_parse_complete`, for short words."""
        reader = self._reader
        commands = []
        n, end = len(data), where_many_are_announced(data)
        if end < n:
            data = data[:end]
        is_cut, position, n = end < n, 0, end
        try:
            reader.feed(data)
            while data.find(b"\r\n", position + 1, position + _SHORT_HEADER) > 0:
                words = reader.gets()
                if not words:
                    break
                end = position + encoded_length(words)
                if data[end - 2:end] != b"\r\n" or data[position] != 42:
                    break
                commands.append(words)
                position = end
                if end == n and not is_cut:
                    return commands, n
        except (hiredis.HiredisError, TypeError):
            pass
        self._reader = hiredis.Reader()
        return commands, position

    def _scan(self, commands: list) -> None:
        """Appends to `commands` what is complete in the buffer."""
        buffer = self._buffer
        may_hand_over = not self.restricted
        try:
            while self._position < len(buffer):
                if not self._missing and buffer[self._position] != 42:
                    words = self._inline()
                else:
                    words = self._multibulk()
                if words is None:
                    break
                if words:
                    commands.append(words)
                    if self.restricted:
                        break
                    if may_hand_over and len(buffer) - self._position >= _WORTH_HIREDIS and buffer[self._position] == 42:
                        may_hand_over = False
                        complete, consumed = self._by_hiredis(bytes(memoryview(buffer)[self._position:]))
                        commands += complete
                        self._position += consumed
        except ProtocolError as error:
            self.error = error
            self._direct = False
            buffer.clear()
            self._position = 0
            return
        if self._position:
            del buffer[:self._position]
            self._wanted = max(0, self._wanted - self._position)
            self._position = 0
        self._direct = not buffer and not self._missing and not self.restricted

    def _line(self, too_long: str) -> bytes | None:
        """The header line at the scanner's position, without its end; None: it is not complete."""
        end = self._buffer.find(b"\r", self._position)
        if end < 0:
            if len(self._buffer) - self._position > INLINE_MAX:
                raise ProtocolError(too_long)
            return None
        if end + 2 > len(self._buffer):
            return None
        line = bytes(self._buffer[self._position:end])
        return line

    def _multibulk(self) -> list | None:
        """The command at the scanner's position; [] for an empty one, None if it is not complete."""
        buffer = self._buffer
        if not self._missing:
            line = self._line(TOO_BIG_COUNT_LINE)
            if line is None:
                return None
            count = _integer(line[1:])
            if count is None or count > MULTIBULK_MAX:
                raise ProtocolError(INVALID_MULTIBULK)
            if self.restricted and count > UNAUTHENTICATED_MULTIBULK_MAX:
                raise ProtocolError(UNAUTHENTICATED_MULTIBULK)
            self._position += len(line) + 2
            if count <= 0:
                return []
            self._missing, self._words = count, []
        while self._missing:
            if self._bulk < 0:
                line = self._line(TOO_BIG_LENGTH_LINE)
                if line is None:
                    return None
                if line[:1] != b"$":
                    raise ProtocolError(NOT_A_BULK.format(chr(buffer[self._position])))
                length = _integer(line[1:])
                if length is None or length < 0 or length > self.max_bulk:
                    raise ProtocolError(INVALID_BULK)
                if self.restricted and length > UNAUTHENTICATED_BULK_MAX:
                    raise ProtocolError(UNAUTHENTICATED_BULK)
                self._position += len(line) + 2
                self._bulk = length
            end = self._position + self._bulk
            if end + 2 > len(buffer):
                self._wanted = end + 2
                return None
            self._words.append(bytes(memoryview(buffer)[self._position:end]))
            self._words_size += self._bulk + _PER_WORD
            self._position = end + 2
            self._bulk = -1
            self._wanted = 0
            self._missing -= 1
        words, self._words = self._words, []
        self._words_size = 0
        return words

    def _inline(self) -> list | None:
        """The inline command at the scanner's position; [] for an empty line, None if its end is not here."""
        end = self._buffer.find(b"\n", self._position)
        if end < 0:
            if len(self._buffer) - self._position > INLINE_MAX:
                raise ProtocolError(TOO_BIG_INLINE)
            return None
        line = bytes(self._buffer[self._position:end])
        self._position = end + 1
        words = split_words(line[:-1] if line.endswith(b"\r") else line)
        if words is None:
            raise ProtocolError(UNBALANCED_QUOTES)
        return words


_size = bytes.__len__       # of bytes only, where len would take a list as well
#: Length of a word -> length of its bulk string.
_BULK_LENGTHS = [n + 5 + len(str(n)) for n in range(8192)]


def where_many_are_announced(data: bytes) -> int:
    """The first place in the bytes at which hiredis might make room for very many elements; their length if there is none."""
    end = len(data)
    for search in _MANY_ANNOUNCED:
        bait = search(data, 0, end)
        if bait is not None:
            end = bait.start()
    return end


def encoded_length(words: list) -> int:
    """How many bytes a command takes in its usual spelling. Raises TypeError for what no command contains."""
    total = 3 + len(str(len(words)))
    for word in words:
        n = _size(word)
        total += _BULK_LENGTHS[n] if n < 8192 else n + 5 + len(str(n))
    return total


def _integer(text: bytes) -> int | None:
    """A 64-bit integer in Redis's strict spelling (no sign but minus, no leading zeros, no blanks), or None."""
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 19 or (digits[:1] == b"0" and text != b"0"):
        return None
    value = int(text)
    return value if -2**63 <= value < 2**63 else None


_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_BLANKS = b" \n\r\t\v\f"
_HEX = b"0123456789abcdefABCDEF"


def split_words(line: bytes) -> list[bytes] | None:
    """Splits a line as Redis does for inline commands and configuration files: words parted by blanks, "double quotes" with \\n
    \\r \\t
    \\b \\a \\xHH escapes, 'single quotes' with \\' only. None: a quote is not closed, or is not followed by a blank."""
    words = []
    i, n = 0, len(line)
    while True:
        while i < n and line[i] in _BLANKS:
            i += 1
        if i >= n or line[i] == 0:
            return words
        word = bytearray()
        while i < n and line[i] not in _BLANKS and line[i] != 0:
            c = line[i]
            if c == 34 or c == 39:
                i = _quoted(line, i, word)
                if i < 0 or (i < n and line[i] not in _BLANKS and line[i] != 0):
                    return None
                break
            word.append(c)
            i += 1
        words.append(bytes(word))


def _quoted(line: bytes, i: int, word: bytearray) -> int:
    """Appends the quoted text that opens at `i` to `word`; returns the index after the closing quote, -1 if there is none."""
    quote, n = line[i], len(line)
    i += 1
    while i < n and line[i] != 0:
        c = line[i]
        if c == quote:
            return i + 1
        if c == 92 and i + 1 < n:
            following = line[i + 1]
            if quote == 39:
                if following == 39:
                    c = 39
                    i += 1
            elif following == 120 and i + 3 < n and line[i + 2] in _HEX and line[i + 3] in _HEX:
                c = int(line[i + 2:i + 4], 16)
                i += 3
            else:
                c = _ESCAPES.get(following, following)
                i += 1
        word.append(c)
        i += 1
    return -1
