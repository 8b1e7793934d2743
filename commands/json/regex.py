"""Regular expressions of filters: whether one fits somewhere in a text, in time proportional to both lengths.

Python's engine can take exponential time for a pattern such as (a+)+b, and the pattern comes from a client. A pattern with
at most one choice is given to it all the same, for a short text; others are run as a set of states that are all followed at
once (Thompson's construction), with the successors of a set remembered. What such a machine cannot do (back references,
looking around) is no pattern, as in RedisJSON."""
import re
from collections.abc import Callable
from functools import lru_cache
from re import _constants as op, _parser

#: A pattern with more states than this is refused; bounded repetitions count by their bounds.
_MAX_STATES = 10_000
#: Sets of states remembered for one pattern.
_MAX_SETS = 1000
#: Longer texts always take the machine: even one repetition can cost the square of the length.
_SHORT = 2000
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)
_PLAIN = frozenset((op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN))


@lru_cache(maxsize=256)
def compile_regex(pattern: str, is_whole: bool) -> Callable[[str], object] | None:
    """A function that tells whether a text holds a match (`is_whole`: is one). None if the pattern is not one."""
    try:
        tree = _parser.parse(pattern)
        machine = _Machine(tree, is_whole)
        if _choices(tree) > 1:
            return machine.fits
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError, _Refused):
        return None
    quick = compiled.fullmatch if is_whole else compiled.search
    return lambda text: quick(text) if len(text) <= _SHORT else machine.fits(text)


class _Refused(Exception):
    """A pattern that is too large or not a regular one."""


def _choices(tree) -> int:
    """How many repetitions and alternatives a pattern has. Raises _Refused for what is not regular."""
    n = 0
    for kind, arg in tree:
        if kind in _REPEATS:
            n += 1 + _choices(arg[2])
        elif kind is op.BRANCH:
            n += 1 + sum(map(_choices, arg[1]))
        elif kind is op.SUBPATTERN:
            n += _choices(arg[3])
        elif kind not in _PLAIN and kind is not op.AT:
            raise _Refused
    return n


class _Machine:
    """States are numbers. `arcs[s]` leads on without a character, `steps[s]` is (test, next state) or None."""

    def __init__(self, tree, is_whole: bool):
        self.arcs: list[list[tuple]] = []       # (state, None or a test of the place: function(text, i))
        self.steps: list[tuple | None] = []
        self.is_whole = is_whole
        self.end = self._state()
        self.start = self._sequence(tree, tree.state.flags, self.end)
        self.has_places = any(test is not None for arcs in self.arcs for _, test in arcs)
        self._known: dict[tuple, frozenset] = {}

    def _state(self) -> int:
        if len(self.steps) >= _MAX_STATES:
            raise _Refused
        self.steps.append(None)
        self.arcs.append([])
        return len(self.steps) - 1

    def _sequence(self, items, flags: int, target: int) -> int:
        for kind, arg in reversed(list(items)):
            target = self._item(kind, arg, flags, target)
        return target

    def _item(self, kind, arg, flags: int, target: int) -> int:
        if kind in _PLAIN:
            state = self._state()
            self.steps[state] = (_one_char(kind, arg, flags), target)
            return state
        if kind is op.AT:
            state = self._state()
            self.arcs[state].append((target, _place(arg, flags)))
            return state
        if kind is op.SUBPATTERN:
            _, added, removed, child = arg
            return self._sequence(child, (flags | added) & ~removed, target)
        if kind is op.BRANCH:
            state = self._state()
            self.arcs[state] += [(self._sequence(child, flags, target), None) for child in arg[1]]
            return state
        if kind not in _REPEATS:
            raise _Refused
        low, high, child = arg
        if high is op.MAXREPEAT:
            state = self._state()
            self.arcs[state] += [(self._sequence(child, flags, state), None), (target, None)]
        else:
            state = target
            for _ in range(high - low):
                before = self._state()
                self.arcs[before] += [(self._sequence(child, flags, state), None), (target, None)]
                state = before
        for _ in range(low):
            state = self._sequence(child, flags, state)
        return state

    def _closure(self, states, text: str, i: int) -> frozenset:
        seen, waiting = set(states), list(states)
        while waiting:
            for state, test in self.arcs[waiting.pop()]:
                if state not in seen and (test is None or test(text, i)):
                    seen.add(state)
                    waiting.append(state)
        return frozenset(seen)

    def fits(self, text: str) -> bool:
        """Whether there is a match."""
        known, has_places, is_whole, end = self._known, self.has_places, self.is_whole, self.end
        first = frozenset((self.start,))
        current = self._closure(first, text, 0)
        for i, char in enumerate(text):
            if not is_whole and end in current:
                return True
            following = None if has_places else known.get((current, char))
            if following is None:
                moved = {step[1] for state in current if (step := self.steps[state]) is not None and step[0](char)}
                if not is_whole:
                    moved.add(self.start)
                following = self._closure(moved, text, i + 1)
                if not has_places:
                    if len(known) >= _MAX_SETS:
                        known.clear()
                    known[current, char] = following
            current = following
            if not current:
                return False
        return end in current


def _one_char(kind, arg, flags: int) -> Callable[[str], object]:
    """The test of one character."""
    tree = _parser.SubPattern(_state_with(flags), [(kind, arg)])
    return re._compiler.compile(tree, flags & ~re.DEBUG).fullmatch


def _state_with(flags: int):
    state = _parser.State()
    state.flags = flags
    state.str = ""
    return state


def _place(at, flags: int) -> Callable[[str, int], bool]:
    """The test of a place between characters."""
    if at is op.AT_BEGINNING_STRING or at is op.AT_BEGINNING and not flags & re.MULTILINE:
        return lambda text, i: i == 0
    if at is op.AT_BEGINNING:
        return lambda text, i: i == 0 or text[i - 1] == "\n"
    if at is op.AT_END and flags & re.MULTILINE:
        return lambda text, i: i == len(text) or text[i] == "\n"
    if at in (op.AT_END, op.AT_END_STRING):
        return lambda text, i: i == len(text)
    wanted = at is op.AT_BOUNDARY
    if not wanted and at is not op.AT_NON_BOUNDARY:
        raise _Refused

    def at_boundary(text: str, i: int) -> bool:
        before = i > 0 and (text[i - 1].isalnum() or text[i - 1] == "_")
        after = i < len(text) and (text[i].isalnum() or text[i] == "_")
        return (before != after) == wanted
    return at_boundary
