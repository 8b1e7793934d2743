"""Reading a time from text by a template, as C's strptime does in the C locale: what follows the part that fits is ignored."""
from __future__ import annotations

import calendar
import re
from functools import lru_cache

__all__ = ["parse_time"]

_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_MONTH_NAMES = (b"January|February|March|April|May|June|July|August|September|October|November|December|"
                b"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Oct|Nov|Dec")
_DAY_NAMES = b"Sunday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sun|Mon|Tue|Wed|Thu|Fri|Sat"
_SHORT = {b"F": b"%Y-%m-%d", b"T": b"%H:%M:%S", b"R": b"%H:%M", b"D": b"%m/%d/%y", b"r": b"%I:%M:%S %p",
          b"c": b"%a %b %e %H:%M:%S %Y",
          b"x": b"%m/%d/%y", b"X": b"%H:%M:%S"}
_PARTS = {
    b"Y": rb"\s*(?P<Y>[0-9]{1,4})", b"y": rb"\s*(?P<y>[0-9]{1,2})", b"C": rb"\s*(?P<C>[0-9]{1,2})",
    b"m": rb"\s*(?P<m>1[0-2]|0?[1-9])", b"d": rb"\s*(?P<d>3[01]|[12][0-9]|0?[1-9])",
    b"e": rb"\s*(?P<d>3[01]|[12][0-9]|0?[1-9])",
    b"H": rb"\s*(?P<H>2[0-3]|[01]?[0-9])", b"k": rb"\s*(?P<H>2[0-3]|[01]?[0-9])",
    b"I": rb"\s*(?P<I>1[0-2]|0?[1-9])", b"l": rb"\s*(?P<I>1[0-2]|0?[1-9])",
    b"M": rb"\s*(?P<M>[0-5]?[0-9])", b"S": rb"\s*(?P<S>6[01]|[0-5]?[0-9])",
    b"j": rb"\s*(?P<j>36[0-6]|3[0-5][0-9]|[0-2]?[0-9]{1,2})",
    b"s": rb"\s*(?P<s>-?[0-9]+)", b"p": rb"\s*(?P<p>[AaPp][Mm])", b"Z": b"",
    b"z": rb"\s*(?P<z>Z|[+-][0-9]{2}:?(?:[0-9]{2})?)",
    b"b": rb"\s*(?P<b>" + _MONTH_NAMES + rb")", b"B": rb"\s*(?P<b>" + _MONTH_NAMES + rb")",
    b"h": rb"\s*(?P<b>" + _MONTH_NAMES + rb")",
    b"a": rb"\s*(?:" + _DAY_NAMES + rb")", b"A": rb"\s*(?:" + _DAY_NAMES + rb")", b"n": rb"\s*", b"t": rb"\s*",
    b"%": b"%",
    b"u": rb"\s*[1-7]", b"w": rb"\s*[0-6]", b"U": rb"\s*[0-9]{1,2}", b"W": rb"\s*[0-9]{1,2}", b"V": rb"\s*[0-9]{1,2}",
}


@lru_cache(256)
def _pattern(template: bytes) -> re.Pattern | None:
    """The regular expression of a template, or None for one that no text fits."""
    out, seen, at = [], set(), 0
    pending = template
    for _ in range(4):          # short forms stand for others
        expanded = re.sub(rb"%[EO]?([FTRDrcxX%])", lambda match: match[0] if match[1] == b"%" else _SHORT[match[1]], pending)
        if expanded == pending:
            break
        pending = expanded
    while at < len(pending):
        char = pending[at:at + 1]
        at += 1
        if char.isspace():
            out.append(rb"\s*")
        elif char != b"%":
            out.append(re.escape(char))
        else:
            kind = pending[at:at + 1]
            at += 1
            if kind in (b"E", b"O"):
                kind = pending[at:at + 1]
                at += 1
            part = _PARTS.get(kind)
            if part is None:
                return None
            # The same part twice: the later one counts, and a group can be named only once.
            name = re.search(rb"\?P<(\w)>", part)
            if name is not None:
                if name[1] in seen:
                    part = part.replace(name[0], b"?:")
                seen.add(name[1])
            out.append(part)
    return re.compile(b"".join(out), re.IGNORECASE)


def parse_time(text: bytes, template: bytes) -> int | None:
    """Seconds since 1970, UTC; None if the text does not fit or there is no such date. Parts that the template leaves
    open are 0."""
    pattern = _pattern(template)
    match = pattern.match(text) if pattern is not None else None
    if match is None:
        return None
    part = match.groupdict()

    def number(name: str, default: int) -> int:
        value = part.get(name)
        return default if value is None else int(value)

    if part.get("s") is not None:
        return number("s", 0)
    year = number("Y", 1900)
    if part.get("y") is not None:
        short = number("y", 0)
        year = 100 * number("C", 20 if short < 69 else 19) + short
    elif part.get("C") is not None:
        year = 100 * number("C", 0)
    month, day = number("m", 1), number("d", 0)
    if part.get("b") is not None:
        month = _MONTHS.index(part["b"][:3].lower()) + 1
    if part.get("j") is not None and part.get("d") is None:
        month, day = 1, number("j", 1)
    hour = number("H", 0)
    if part.get("I") is not None:
        hour = number("I", 0) % 12 + (12 if (part.get("p") or b"").lower() == b"pm" else 0)
    if not year:
        return None
    return calendar.timegm((year, month, day, hour, number("M", 0), number("S", 0)))
