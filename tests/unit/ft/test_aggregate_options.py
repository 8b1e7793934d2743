"""The words of FT.AGGREGATE: steps, shared options, refusals."""
import pytest

from commands.ft.aggregate_options import Apply, Arrange, Filter, Group, Load, parse_aggregate
from commands.ft.errors import CommandError


def parsed(text, **arguments):
    return parse_aggregate([word.encode() for word in text.split(" ")] if text else [], **arguments)


def refusal(text, **arguments):
    with pytest.raises(CommandError) as caught:
        parsed(text, **arguments)
    return caught.value.text.partition(" ")[2]


def test_steps_in_order():
    options = parsed("load 2 @a b APPLY @a*2 AS x FILTER @x>1 GROUPBY 1 @x REDUCE count 0 as n "
                     "SORTBY 2 @n DESC LIMIT 5 7 LOAD *")
    load, apply, filter_, group, arrange, load_all = options.steps
    assert load == Load([(b"a", b"a"), (b"b", b"b")]) and load_all == Load(None)
    assert apply == Apply(b"@a*2", b"x") and filter_ == Filter(b"@x>1")
    assert group.properties == [b"x"] and [(reduce.function, reduce.alias)
                                           for reduce in group.reducers] == [("COUNT", b"n")]
    assert arrange == Arrange([(b"n", False)], 5, 7)


@pytest.mark.parametrize("text, step", [
    ("LOAD 3 @a AS b", Load([(b"a", b"b")])), ("LOAD 0", Load([])),
    ("LOAD 4 @a as b c", Load([(b"a", b"b"), (b"c", b"c")])),
    ("SORTBY 3 @a @b DESC", Arrange([(b"a", True), (b"b", False)])),
    ("SORTBY 1 @a MAX 3", Arrange([(b"a", True)], 0, 3)), ("SORTBY 1 @a MAX 0", Arrange([(b"a", True)])),
    ("LIMIT 2 3 SORTBY 1 @a", Arrange([(b"a", True)], 2, 3)), ("LIMIT 1 2 LIMIT 3 4", Arrange([], 3, 4)),
    ("SORTBY 0", Arrange()),
    ("APPLY @a", Apply(b"@a", b"@a")), ("GROUPBY 0", Group([], [])),
])
def test_one_step(text, step):
    assert parsed(text).steps == [step]


def test_reducers():
    group = parsed("GROUPBY 0 REDUCE QUANTILE 2 @a 0.5 REDUCE FIRST_VALUE 4 @a BY @b desc "
                   "REDUCE RANDOM_SAMPLE 2 a 7 AS s REDUCE SUM 2 @A @b").steps[0]
    quantile, first, sample, total = group.reducers
    assert (quantile.source, quantile.number, quantile.alias) == (b"a", 0.5, b"__generated_aliasquantilea,0.5")
    assert (first.by, first.ascending, first.alias) == (b"b", False, b"__generated_aliasfirst_valuea,by,b,desc")
    assert (sample.source, sample.number, sample.alias) == (b"a", 7, b"s")
    assert total.alias == b"__generated_aliassuma,b"


def test_shared_options():
    options = parsed("VERBATIM ADDSCORES SCORER TFIDF TIMEOUT 9 PARAMS 2 k v DIALECT 2 "
                     "WITHCURSOR MAXIDLE 5 COUNT 6 INKEYS 1 k WITHCOUNT")
    assert options.verbatim and options.add_scores and options.scorer == "TFIDF" and options.timeout == 9
    assert options.params == {b"k": b"v"}
    assert options.dialect == 2 and (options.cursor.count, options.cursor.max_idle) == (6,
            5) and options.in_keys == [b"k"] and options.with_count
    assert parsed("").params == {} and parsed("", default_dialect=3).dialect == 3
    assert parsed("LIMIT 0 0").no_rows and not parsed("LIMIT 0 1").no_rows


@pytest.mark.parametrize("text, message", [
    ("FOO", "Unknown argument `FOO` at position 1 for <main>"),
    ("FILTER 1 2", "Unknown argument `2` at position 3 for <main>"),
    ("FILTER", "Bad arguments for FILTER: Expected an argument, but none provided"),
    ("LOAD", "Bad arguments for LOAD: Expected an argument, but none provided"),
    ("LOAD x", "Bad arguments for LOAD: Expected number of fields or `*`"),
    ("LOAD 5 @a", "Bad arguments for LOAD: Expected an argument, but none provided"),
    ("LOAD 2 @a AS", "LOAD path AS name - must be accompanied with NAME"),
    ("GROUPBY 2 @a @a", "Property `a` specified more than once"),
    ("GROUPBY 1 @a REDUCE COUNT 0 AS a", "Property `a` specified more than once"),
    ("GROUPBY 0 REDUCE COUNT 0 REDUCE COUNT 0", "Property `__generated_aliascount` specified more than once"),
    ("LIMIT 0", "LIMIT requires two arguments"), ("LIMIT a b", "LIMIT needs two numeric arguments"),
    ("LIMIT -1 2", "LIMIT needs two numeric arguments"),
    ("LIMIT 5 0", "The `offset` of the LIMIT must be 0 when `num` is 0"),
    ("SORTBY", "Bad arguments for SORTBY: Expected an argument, but none provided"),
    ("SORTBY x", "Bad arguments for SORTBY: Could not convert argument to expected type"),
    ("SORTBY 1 a", "MISSING ASC or DESC after sort field (a)"),
    ("SORTBY 2 @a UP", "MISSING ASC or DESC after sort field (UP)"),
    ("SORTBY 9" + " @a" * 9, "Cannot sort by more than 8 fields"),
    ("SORTBY 1 @a MAX x", "Bad arguments for MAX: Could not convert argument to expected type"),
    ("SORTBY 1 @a SORTBY 1 @b", "Multiple SORTBY steps are not allowed. Sort multiple fields in a single step"),
    ("GROUPBY 1 a", "Bad arguments for GROUPBY: Unknown property `a`. Did you mean `@a`?"),
    ("GROUPBY -1 @a", "Bad arguments for GROUPBY: Value is outside acceptable bounds"),
    ("GROUPBY 1 @a REDUCE SUM 0", "Missing arguments for SUM"),
    ("GROUPBY 1 @a REDUCE COUNT 1 @b", "Count accepts 0 values only"),
    ("GROUPBY 0 REDUCE COUNT", "Bad arguments for COUNT: Expected an argument, but none provided"),
    ("GROUPBY 0 REDUCE NOPE 1 @a", "No such reducer: NOPE"),
    ("GROUPBY 0 REDUCE QUANTILE 1 @a", "Bad arguments for QUANTILE: Could not convert argument to expected type"),
    ("GROUPBY 0 REDUCE QUANTILE 2 @a 2", "Percentage must be between 0.0 and 1.0"),
    ("GROUPBY 0 REDUCE RANDOM_SAMPLE 2 @a 5000", "Sample size too large"),
    ("GROUPBY 0 REDUCE FIRST_VALUE 2 @a BY", "Missing arguments for FIRST_VALUE"),
    ("GROUPBY 0 REDUCE FIRST_VALUE 4 @a BY @b UP", "Unknown argument `UP` at position 3 for FIRST_VALUE"),
    ("GROUPBY 0 REDUCE COUNT 0 AS", "AS needs argument"),
    ("WITHCURSOR COUNT 0", "Bad arguments for COUNT: Value is outside acceptable bounds"),
    ("WITHCURSOR MAXIDLE x", "Bad arguments for MAXIDLE: Could not convert argument to expected type"),
    ("RETURN 1 a", "RETURN is not supported on FT.AGGREGATE"),
    ("highlight", "HIGHLIGHT is not supported on FT.AGGREGATE"),
    ("SUMMARIZE", "SUMMARIZE is not supported on FT.AGGREGATE"),
    ("FORMAT EXPAND DIALECT 2", "EXPAND format requires dialect 3 or greater"),
    ("FORMAT EXPAND", "EXPAND format is only supported with RESP3"),
    ("FORMAT EXPAND DIALECT 3", "EXPAND format is only supported with RESP3"),
    ("DIALECT 9", "DIALECT requires a non negative integer >=1 and <= 4"),
    ("TIMEOUT x", "TIMEOUT requires a non negative integer"),
    ("EXPLAINSCORE", "EXPLAINSCORE must be accompanied with WITHSCORES"),
])
def test_refusals(text, message):
    assert refusal(text) == message


def test_limits():
    assert parsed("LOAD 1 @a", max_results=10).steps[-1].count == 10 and len(parsed("LOAD 1 @a").steps) == 1
    assert refusal("LIMIT 0 11", max_results=10) == "LIMIT exceeds maximum of 10"
    assert refusal("LIMIT 11 1", max_offset=10) == "OFFSET exceeds maximum of 10"
