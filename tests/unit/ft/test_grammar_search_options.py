"""The words of FT.SEARCH after the query."""
import pytest

from commands.ft.errors import CommandError
from commands.ft.options import to_float, to_integer
from commands.ft.search_options import GeoFilter, Highlight, NumericFilter, Summarize, parse_search


def search(text: str, **options):
    return parse_search([word.encode() for word in text.split()], **options)


def refusal(text: str, **options) -> str:
    with pytest.raises(CommandError) as caught:
        search(text, **options)
    return caught.value.text


def test_defaults():
    options = search("", default_dialect=2)
    assert ((options.offset, options.count, options.dialect, options.params, options.returns, options.sort_by)
            == (0, 10, 2, {}, None, None))


def test_every_option():
    options = search("nocontent VERBATIM NOSTOPWORDS WITHSCORES EXPLAINSCORE WITHPAYLOADS WITHSORTKEYS INORDER SLOP -1 FILTER "
                     "n (1 +inf GEOFILTER l 1 2 3 KM INKEYS 2 a b INFIELDS 1 t RETURN 5 a $.b AS c d SUMMARIZE FIELDS 1 t "
                     "FRAGS 2 LEN 5 SEPARATOR ; HIGHLIGHT TAGS < > LANGUAGE French EXPANDER SBSTEM SCORER TFIDF PAYLOAD p "
                     "SORTBY n DESC WITHCOUNT LIMIT 5 20 TIMEOUT 0 PARAMS 4 x 1 y 2 FORMAT string BM25STD_TANH_FACTOR 7 "
                     "DIALECT 3")
    assert options.no_content and options.verbatim and options.no_stopwords and options.with_scores and options.explain_score
    assert options.with_payloads and options.with_sort_keys and options.in_order and options.slop == -1 and options.with_count
    assert options.filters == [NumericFilter(b"n", 1.0, float("inf"), False, True)]
    assert options.geo_filters == [GeoFilter(b"l", 1.0, 2.0, 3.0, "km")]
    assert (options.in_keys, options.in_fields) == ([b"a", b"b"], [b"t"])
    assert options.returns == [(b"a", b"a"), (b"$.b", b"c"), (b"d", b"d")]
    assert options.summarize == Summarize((b"t",), 2, 5, b";") and options.highlight == Highlight((), b"<", b">")
    assert (options.language, options.expander, options.scorer, options.payload) == ("french", b"SBSTEM", "TFIDF", b"p")
    assert (options.sort_by, options.ascending, options.offset, options.count, options.timeout) == (b"n", False, 5, 20, 0)
    assert (options.params, options.format, options.tanh_factor, options.dialect) == ({b"x": b"1", b"y": b"2"}, "STRING", 7, 3)
    assert search("RETURN 0").returns == [] and search("WITHOUTCOUNT").with_count is False


@pytest.mark.parametrize("text, message", [
    ("LIMIT 1", "SEARCH_PARSE_ARGS LIMIT requires two arguments"),
    ("LIMIT a b", "SEARCH_PARSE_ARGS LIMIT needs two numeric arguments"),
    ("LIMIT -1 5", "SEARCH_PARSE_ARGS LIMIT needs two numeric arguments"),
    ("LIMIT 5 0", "SEARCH_LIMIT_OVER The `offset` of the LIMIT must be 0 when `num` is 0"),
    ("LIMIT 0 1000001", "SEARCH_LIMIT_OVER LIMIT exceeds maximum of 1000000"),
    ("LIMIT 1000001 1", "SEARCH_LIMIT_OVER OFFSET exceeds maximum of 1000000"),
    ("SORTBY", "SEARCH_PARSE_ARGS Bad SORTBY arguments"),
    ("SORTBY a SORTBY b", "SEARCH_PARSE_ARGS Multiple SORTBY steps are not allowed"),
    ("SORTBY a MAX 3", "SEARCH_PARSE_ARGS SORTBY MAX is not supported by FT.SEARCH"),
    ("TIMEOUT", "SEARCH_PARSE_ARGS Need argument for TIMEOUT"),
    ("TIMEOUT x", "SEARCH_PARSE_ARGS TIMEOUT requires a non negative integer"),
    ("TIMEOUT -1", "SEARCH_PARSE_ARGS TIMEOUT requires a non negative integer"),
    ("DIALECT", "SEARCH_PARSE_ARGS Need an argument for DIALECT"),
    ("DIALECT 0", "SEARCH_PARSE_ARGS DIALECT requires a non negative integer >=1 and <= 4"),
    ("DIALECT 5", "SEARCH_PARSE_ARGS DIALECT requires a non negative integer >=1 and <= 4"),
    ("FORMAT EXPAND", "SEARCH_VALUE_BAD EXPAND format is only supported with RESP3"),
    ("FORMAT foo", "SEARCH_PARSE_ARGS FORMAT foo is not supported"),
    ("PARAMS 2 a 1 PARAMS 2 b 1", "SEARCH_ADD_ARGS Multiple PARAMS are not allowed. Parameters can be defined only once"),
    ("PARAMS 3 a 1 b", "SEARCH_ADD_ARGS Parameters must be specified in PARAM VALUE pairs"),
    ("PARAMS 0", "SEARCH_ADD_ARGS Parameters must be specified in PARAM VALUE pairs"),
    ("PARAMS 20 a 1", "SEARCH_PARSE_ARGS Bad arguments for PARAMS: Expected an argument, but none provided"),
    ("PARAMS 4 a 1 a 2", "SEARCH_ADD_ARGS Duplicate parameter `a`"),
    ("EXPLAINSCORE", "SEARCH_PARSE_ARGS EXPLAINSCORE must be accompanied with WITHSCORES"),
    ("ADDSCORES", "SEARCH_PARSE_ARGS ADDSCORES is not supported on FT.SEARCH"),
    ("RETURN 2 a AS", "SEARCH_PARSE_ARGS RETURN path AS name - must be accompanied with NAME"),
    ("RETURN 4 a AS AS x", "SEARCH_PARSE_ARGS Alias for RETURN cannot be `AS`"),
    ("RETURN x a", "SEARCH_PARSE_ARGS Bad arguments for RETURN: Could not convert argument to expected type"),
    ("NOCONTENT FOO BAR", "SEARCH_ARG_UNRECOGNIZED Unknown argument `FOO` at position 2 for <main>"),
    ("LANGUAGE klingon", "SEARCH_QUERY_BAD No such language"),
    ("SCORER tfidf", "SEARCH_QUERY_BAD No such scorer tfidf"),
    ("FILTER n 1 DIALECT", "SEARCH_PARSE_ARGS Bad upper range: DIALECT"),
    ("FILTER n x 1", "SEARCH_PARSE_ARGS Bad lower range: x"),
    ("FILTER n 4 1", "SEARCH_SYNTAX Invalid numeric range (min > max): @n:[4.000000 1.000000]"),
    ("GEOFILTER l a 1 1 km", "SEARCH_PARSE_ARGS Bad arguments for <lon>: Could not convert argument to expected type"),
    ("GEOFILTER l 1 1 -3 km", "SEARCH_SYNTAX Invalid GeoFilter radius"),
    ("SUMMARIZE LEN -1", "SEARCH_PARSE_ARGS Bad arguments for SUMMARIZE"),
    ("HIGHLIGHT TAGS a", "SEARCH_PARSE_ARGS Bad arguments for HIGHLIGHT"),
    ("GROUPBY 1 @x", "SEARCH_PARSE_ARGS option `GROUPBY` is mutually exclusive with simple (i.e. search) options"),
])
def test_refusals(text, message):
    assert refusal(text) == message


def test_values_are_binary_and_formats_follow_the_protocol():
    assert parse_search([b"PARAMS", b"2", b"v", b"\x00\xff\r\n"]).params == {b"v": b"\x00\xff\r\n"}
    assert search("FORMAT EXPAND", proto=3).format == "EXPAND"
    assert refusal("LIMIT 0 4", max_results=3) == "SEARCH_LIMIT_OVER LIMIT exceeds maximum of 3"


@pytest.mark.parametrize("word, value", [
    (b"10", 10), (b"10.0", 10), (b"1e3", 1000), (b"-3", -3), (b"+4", 4), (b"0x10", 16), (b"3.14", None), (b"", None),
    (b"1_0", None), (b"inf", None),
    (b"9" * 5000, None), (b"abc", None), (b"10 ", None), ("１".encode(), None)])
def test_integers(word, value):
    if len(word) > 1000:
        assert to_integer(word) is None                       # as a float it is infinite
    else:
        assert to_integer(word) == value


@pytest.mark.parametrize("word, value", [(b".5", 0.5), (b"3.", 3.0), (b"-inf", float("-inf")), (b"nan", None), (b"1e", None),
                                         (b"0x1p3", 8.0), (b"0x" + b"f" * 400, None)])
def test_floats(word, value):
    assert to_float(word) == value
