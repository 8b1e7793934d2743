"""The manifest of an append-only file: which files it consists of, in Redis 7's format."""
import os
from dataclasses import dataclass, field

from ..config import quote
from ..protocol.request import split_words
from .files import replace_file

BASE, HISTORY, INCREMENT = "b", "h", "i"


class ManifestError(Exception):
    """A manifest that cannot be read."""


@dataclass
class Part:
    """One file: its name in the directory, its number, and whether it is the base, an increment, or not needed any more."""

    name: str
    number: int
    kind: str


@dataclass
class Manifest:
    """The parts of one append-only file, in the directory `directory`; `stem` is appendfilename."""

    directory: str
    stem: str
    base: Part | None = None
    increments: list[Part] = field(default_factory=list)
    history: list[Part] = field(default_factory=list)
    base_number: int = 0                # the latest ones that were given away
    increment_number: int = 0

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.stem + ".manifest")

    def path_of(self, part: Part) -> str:
        """Where a part is."""
        return os.path.join(self.directory, part.name)

    def parts(self) -> list[Part]:
        """What is to be loaded, in order."""
        return ([self.base] if self.base is not None else []) + self.increments

    def next_increment(self) -> Part:
        """A part to write to from now on; the manifest has it."""
        self.increment_number += 1
        part = Part(f"{self.stem}.{self.increment_number}.incr.aof", self.increment_number, INCREMENT)
        self.increments.append(part)
        return part

    def next_base(self, is_rdb: bool) -> Part:
        """The base that a rewrite makes; the manifest does not have it yet."""
        number = self.base_number + 1
        return Part(f"{self.stem}.{number}.base.{'rdb' if is_rdb else 'aof'}", number, BASE)

    def rebase(self, base: Part, n_kept: int) -> None:
        """Has a new base stand for the one before and for all increments but the last `n_kept`, which become history."""
        cut = len(self.increments) - n_kept
        gone = ([self.base] if self.base is not None else []) + self.increments[:cut]
        self.history += [Part(part.name, part.number, HISTORY) for part in gone]
        self.increments = self.increments[cut:]
        self.base = base
        self.base_number = base.number

    def copy(self) -> "Manifest":
        """Another one of the same parts."""
        return Manifest(self.directory, self.stem, self.base, list(self.increments), list(self.history), self.base_number,
                        self.increment_number)

    def save(self) -> None:
        """Writes the manifest in place of the one there was. Raises OSError."""
        lines = [f"file {quote(part.name)} seq {part.number} type {part.kind}\n"
                 for part in [*([self.base] if self.base is not None else []), *self.history, *self.increments]]
        replace_file(self.path, [line.encode("utf-8", "surrogateescape") for line in lines])


def load(directory: str, stem: str) -> Manifest | None:
    """The manifest of a directory, None if there is none. Raises ManifestError, OSError."""
    manifest = Manifest(directory, stem)
    try:
        with open(manifest.path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        _take_line(manifest, line, number)
    if not lines:
        raise ManifestError("Found an empty AOF manifest")
    return manifest


def _take_line(manifest: Manifest, line: str, number: int) -> None:
    words = [word.decode("utf-8", "surrogateescape") for word in split_words(line.encode("utf-8", "surrogateescape")) or []]
    fields = dict(zip([word.lower() for word in words[::2]], words[1::2]))
    name, kind, text = fields.get("file", ""), fields.get("type", ""), fields.get("seq", "")
    if (len(words) < 6 or len(words) % 2 or not name or "/" in name or not text.isdigit() or int(text) < 1
            or kind not in (BASE, HISTORY, INCREMENT)):
        raise ManifestError(f"Invalid AOF manifest file format, line {number}: {line}")
    part = Part(name, int(text), kind)
    if kind == BASE:
        if manifest.base is not None:
            raise ManifestError(f"Found duplicate base file information, line {number}")
        manifest.base = part
        manifest.base_number = part.number
    elif kind == INCREMENT:
        if manifest.increments and part.number <= manifest.increments[-1].number:
            raise ManifestError(f"Found a non-monotonic sequence number, line {number}")
        manifest.increments.append(part)
        manifest.increment_number = part.number
    else:
        manifest.history.append(part)
