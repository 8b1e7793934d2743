"""Paths: the grammar, the order of what they find, and random ones against an evaluator that takes the definitions literally."""
import random

import pytest

from commands.json.path import MAX_NESTING, Path
from commands.json.steps import at, deepest_first, outermost
from respserver.protocol.errors import CommandError
from respserver.values.json import copy, pack

SHOP = {"store": {"book": [{"title": "A", "price": 8.95, "tags": ["x", "y"]}, {"title": "B", "price": 12.99, "isbn": "1"},
                           {"title": "C", "price": 8.99, "isbn": "2", "tags": []}],
                  "bicycle": {"color": "red", "price": 19.95}},
        "limit": 10, "pattern": "^[AC]$", "deep": {"a": {"a": 2, "b": 3}, "b": ["a", "b"]}}


def found(path: str, root=SHOP) -> list:
    return Path.of(path.encode()).values(root)


@pytest.mark.parametrize("path,expected", [
    ("$", [SHOP]), (".", [SHOP]), ("$.limit", [10]), ("limit", [10]), (".limit", [10]), ('$["limit"]', [10]), ("$['limit']",
        [10]),
    ("$.nothing", []), ("$.limit.more", []), ("$.store.book[0].title", ["A"]), ("$.store.book[-1].title", ["C"]),
    ("$.store.book[-9].title", ["A"]), ("$.store.book[3]", []), ("$.store.book[2,0].title", ["C", "A"]),
    ("$.store.book[1:].title", ["B", "C"]), ("$.store.book[:-1].title", ["A", "B"]), ("$.store.book[::2].title", ["A", "C"]),
    ("$.store.book[0:99:5].title", ["A"]), ("$.store.book[2:1]", []), ("$.store.book.*.title", ["A", "B", "C"]),
    ("$.store.book[*].title", ["A", "B", "C"]), ("$..price", [8.95, 12.99, 8.99, 19.95]), ("$..book[0]..*",
        ["A", 8.95, ["x", "y"], "x", "y"]),
    ("$.store['bicycle','book']..color", ["red"]), ("$..a", [{"a": 2, "b": 3}, 2]), ("$..[1]",
        [SHOP["store"]["book"][1], "y", "b"]),
    ("$.store.book[?(@.price < $.limit)].title", ["A", "C"]), ("$.store.book[?@.isbn].title", ["B", "C"]),
    ("$.store.book[?!@.isbn].title", ["A"]), ("$.store.book[?(@.isbn && @.price<10)].title", ["C"]),
    ("$.store.book[?(@.price>100 || @.title=='B')].title", ["B"]), ("$.store.book[?(@.title =~ $.pattern)].title", ["A", "C"]),
    ("$.store.book[?(@.title =~ '(?i)^b')].title", ["B"]), ("$.store.book[?(@.title =~ '(')].title", []),
    ("$.store.book[?(@.tags == ['x','y'])].title", ["A"]), ("$.store.book[?(@.price != 8.95)].title", ["B", "C"]),
    ("$.store.book[?(@.tags[*] == 'y')].title", ["A"]), ("$.store.book[?('y' in @.tags)].title", ["A"]),
    ("$.store.book[?@.title in ['A','C']].title", ["A", "C"]), ("$.store.book[?@.tags empty true].title", ["C"]),
    ("$.store.book[?length(@.tags) == 2].title", ["A"]), ("$.store.book[?@.price * 2 > 25].title", ["B"]),
    ("$.store[?(@.color=='red')].price", [19.95]), ("$.limit[?(@>1)]", []), ("$.deep.b[?(@ >= 'b')]", ["b"]),
    ("$.limit + 1", [11]), ("$.limit / 4", [2.5]), ("$.limit / 0", []), ("-$.limit", [-10]), ("$.limit % 3", [1]),
    ("($.limit + 2) * 2", [24]), ("$.limit + $.limit * 2", [30]), ("$.store.book.length()", [3]), ("$.deep.a~", ["a", "b"]),
    ("$.deep.a.keys().count()", [2]), ("$..price.sum()", [8.95 + 12.99 + 8.99 + 19.95]), ("$.store.book[*].title.append('Z')",
        ["A", "B", "C", "Z"]),
    ("concat($.store.bicycle.color, '!')", ["red!"]), ("$.store.book[0].tags.first().length()", [1]), ("unknown($.limit)", []),
    ("$.limit.length(1)", []), ("length ( $.store.book )", [3]),
])
def test_what_a_path_finds(path, expected):
    assert found(path) == expected


@pytest.mark.parametrize("path", ["", " ", "$.", "$..", "$[", "$[]", "$[a]", "$.a[", "$['a'", "$[1:2:0]", "$[1:2:-1]",
                                  "$.....a", "$[?]",
                                  "$[?()]", "$[?(@.a=)]", "$[?(@.a==1]", "$[?@.a &&]", "$[?@.a & 1]", "$.a +", "$.a * * 2",
                                  "($.a",
                                  "$.a.length(", "$.a~b", "$.a.keys()~", "\n", ".\0", '."',
                                  "$.a b", "$['\\x']", "$[01]", "$[?@ == tru]",
                                  "$.a.first().b"])
def test_what_is_no_path(path):
    with pytest.raises(CommandError) as caught:
        Path.of(path.encode())
    assert caught.value.text.startswith("Error occurred on position")


def test_not_utf8():
    with pytest.raises(CommandError, match="UTF-8"):
        Path.of(b"$.\xff")


def test_nesting_is_limited():
    deep = MAX_NESTING // 2 - 1
    assert found("$.limit[?" + "(" * deep + "@" + ")" * deep + "]") == []
    for n in (MAX_NESTING + 1, 100_000):
        with pytest.raises(CommandError, match="too deep"):
            Path.of(b"(" * n + b"$.a" + b")" * n)
    assert found("$.deep.b[?" + "!" * 100_001 + "@]") == [] and len(found("$.deep.b[?" + "!" * 100_000 + "@]")) == 2


def test_kinds_of_paths():
    for text, is_legacy in (("$", False), ("$.a", False), ("$[0]", False), ("$a", True), (".", True), ("a.b", True),
                            ("..a", True),
                            ("-$x", True), ("-$.x", False), ("($.a)", False), ("length($)", False), ("$~", False)):
        assert Path.of(text.encode()).is_legacy == is_legacy, text
    assert Path.of(b"$.a + 1").is_projection and not Path.of(b"($..a)").is_projection
    assert Path.of(b"$").is_root and Path.of(b".").is_root and not Path.of(b"$.a").is_root
    assert Path.of(b"$.a[1]['b']").keys == ("a", 1, "b") and Path.of(b"$.a[1,2]").keys is None and Path.of(b"$..a").keys is None
    with pytest.raises(CommandError, match="projection"):
        Path.of(b"$.a + 1").locations({})


def test_numbers_are_compared_by_value_with_literals_only():
    root = [{"a": 1, "b": 1.0}, {"a": 2, "b": 2}]
    assert found("$[?@.a == 1.0]", root) == root[:1]
    assert found("$[?@.a == @.b]", root) == root[1:]
    assert found("$[?@ == true]", [1, True]) == [True] and found("$[?@ == 1]", [1, True]) == [1]


def test_places():
    locations = [("a",), ("a", 0), ("b", 1), ("b", 1, "c"), ("b",), ("d", 2), ("d", 2)]
    assert outermost(locations) == [("a",), ("b",), ("d", 2)]
    assert [len(one) for one in deepest_first(locations)] == [3, 2, 2, 2, 2, 1, 1]


# ------------------------------------------------------------------------------------------------- random ones

def _naive(steps, value, root):
    """The values that steps (as tuples) find, one value at a time."""
    if not steps:
        return [value]
    (kind, arg), rest = steps[0], steps[1:]
    is_list, is_dict = isinstance(value, list), isinstance(value, dict)
    children = list(value.values()) if is_dict else value if is_list else []
    if kind == "descend":
        here = _naive(rest, value, root)
        return here + [one for child in children for one in _naive(steps, child, root)]
    if kind == "name":
        chosen = [value[arg]] if is_dict and arg in value else []
    elif kind == "all":
        chosen = children
    elif kind == "numbers":
        places = [i if i >= 0 else max(0, i + len(value)) for i in arg] if is_list else []
        chosen = [value[i] for i in places if i < len(value)]
    elif kind == "slice":
        chosen = value[slice(*arg)] if is_list else []
    else:
        name, limit = arg
        chosen = [child for child in children if isinstance(child, dict) and type(child.get(name)) in (int,
            float) and child[name] > limit]
    return [one for child in chosen for one in _naive(rest, child, root)]


def _random_value(rnd, depth):
    kind = rnd.randrange(12 if depth else 5)
    if kind >= 8:
        return [_random_value(rnd, depth - 1) for _ in range(rnd.randrange(4))]
    if kind >= 5:
        return {name: _random_value(rnd, depth - 1) for name in "abc" if rnd.random() < 0.7}
    return [None, True, rnd.randrange(5), rnd.random() * 5, rnd.choice(["a", "b"])][kind]


def _random_steps(rnd):
    steps, text = [], "$"
    for _ in range(rnd.randrange(1, 4)):
        kind = rnd.choice(["name", "name", "all", "numbers", "slice", "filter", "descend"])
        if kind == "descend":
            steps.append(("descend", None))
            text += "."
            kind = rnd.choice(["name", "all"])
        if kind == "name":
            name = rnd.choice("abc")
            steps.append(("name", name))
            text += f".{name}" if text.endswith(".") or rnd.random() < 0.7 else f"['{name}']"
        elif kind == "all":
            steps.append(("all", None))
            text += ".*"
        elif kind == "numbers":
            numbers = [rnd.randrange(-3, 3) for _ in range(rnd.randrange(1, 3))]
            steps.append(("numbers", numbers))
            text += f"[{','.join(map(str, numbers))}]"
        elif kind == "slice":
            start, end, stride = rnd.choice([None, -2, 0, 1]), rnd.choice([None, -1, 2]), rnd.choice([None, 1, 2])
            steps.append(("slice", (start, end, stride)))
            text += f"[{'' if start is None else start}:{'' if end is None else end}{'' if stride is None else f':{stride}'}]"
        else:
            name, limit = rnd.choice("abc"), rnd.randrange(4)
            steps.append(("filter", (name, limit)))
            text += f"[?(@.{name} > {limit})]"
    return steps, text


def test_random_paths_find_what_the_definition_says():
    rnd = random.Random(5)
    n_found = 0
    for _ in range(3000):
        root = _random_value(rnd, 5)
        steps, text = _random_steps(rnd)
        expected = _naive(steps, root, root)
        path = Path.of(text.encode())
        assert path.values(root) == expected, (text, root)
        nodes = path.nodes(root)
        assert [value for value, _ in nodes] == expected
        assert all(at(root, location) is value for value, location in nodes), (text, root)
        n_found += len(expected)
    assert n_found > 1000


def test_random_texts_are_paths_or_refused():
    rnd = random.Random(6)
    words = ["$", "@", ".", "..", "[", "]", "*", "?", "(", ")", "a", "'b'", '"c"', "1", "-1", ":", ",", "==", "=~", "&&", "||",
             "!", " ",
             "length", "in", "~", "+", "-", "/", "{", "}", "true", "1.5", "\\", "é", "\n"]
    n_paths = 0
    for _ in range(20_000):
        text = rnd.choice(["", "$", "$["]) + "".join(rnd.choice(words) for _ in range(rnd.randrange(1, 9)))
        try:
            path = Path.of(text.encode())
        except CommandError:
            continue
        n_paths += 1
        path.values(SHOP)
    assert n_paths > 500


def test_packed_numbers_are_arrays_too():
    root = pack({"v": [0.5] * 20, "w": [[1.1] * 9, [0.25] * 9], "few": [1.5]})
    assert type(root["v"]) is not list and root["v"].typecode == "f" and root["w"][0].typecode == "d"
    assert type(root["few"]) is list
    assert found("$.v[-1]", root) == [0.5] and found("$.w[0][:2]", root) == [1.1, 1.1]
    assert len(found("$..*", root)) == 3 + 20 + 2 + 18 + 1
    assert found("$.w[?@[0] > 1]", root) == [root["w"][0]] and found("$.v.sum()", root) == [10.0]
    assert found("$.w[?@ == [0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25,0.25]]", root) == [root["w"][1]]
    other = copy(root)
    other["v"][0] = 7.0
    assert root["v"][0] == 0.5
