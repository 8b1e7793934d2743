"""Query text to tree: shapes, dialects, parameters, and the recorded texts of tests/corpus."""
import json
from pathlib import Path

import pytest

from commands.ft.binding import bind, check_yields, yields
from commands.ft.create_options import parse_create
from commands.ft.errors import CommandError
from commands.ft.explain import explain, explain_lines
from commands.ft.query import MAX_DEPTH, parse_query
from commands.ft.tree import (Affix, And, Attributes, Empty, Fuzzy, Geo, GeoShape, Knn, Missing, Not, Numeric, Optional, Or,
                              Param, Pattern, Phrase, Tag, TagValue, Term, VectorAttribute, VectorRange, Wildcard)

CORPUS = Path(__file__).parents[2] / "corpus"
INF = float("inf")


def schema(text: str):
    return {spec.name: spec for spec in parse_create(("SCHEMA " + text).encode().split()).fields}


SCHEMAS = {
    "documents": schema("title TEXT body TEXT cat TAG price NUMERIC rank NUMERIC year NUMERIC loc GEO"),
    "vectors": schema("v VECTOR FLAT 6 TYPE FLOAT32 DIM 8 DISTANCE_METRIC L2 tag TAG num NUMERIC SORTABLE txt TEXT loc GEO"),
}
FIELDS = schema("t TEXT u TEXT PHONETIC dm:en g TAG c TAG CASESENSITIVE INDEXEMPTY n NUMERIC INDEXMISSING l GEO s GEOSHAPE "
                "v VECTOR SVS-VAMANA 6 TYPE FLOAT32 DIM 2 DISTANCE_METRIC L2")


def parse(text, dialect=2, fields=FIELDS):
    return parse_query(text.encode() if isinstance(text, str) else text, dialect, fields).root


def refusal(text, dialect=2, **params) -> str:
    with pytest.raises(CommandError) as caught:
        query = parse_query(text.encode(), dialect, FIELDS)
        check_yields(bind(query, {name.encode(): value for name, value in params.items()}), FIELDS)
    return caught.value.text


# ---------------------------------------------------------------------------------------------------- shapes

@pytest.mark.parametrize("text, tree", [
    ("*", Wildcard()),
    ('@t:("*")', Term(b"", (b"t",), True)),
    (" (*) ", Wildcard()),
    ("", Empty()),
    ("the", Empty()),
    ("Apple", Term(b"apple")),
    ("the apple", Term(b"apple")),
    ("3.14", Term(b"3.14", None, True)),
    ('@g:{"" b1|x}', Tag(b"g", [TagValue("exact", b" b1", (b"", b"b1")), TagValue("exact", b"x")])),
    (r"hello\-world", Term(b"hello-world")),
    ("ÉCOLE", Term("école".encode())),
    ("a1 b1 c1", And([Term(b"a1"), Term(b"b1"), Term(b"c1")])),
    ("a1 b1|c1", Or([And([Term(b"a1"), Term(b"b1")]), Term(b"c1")])),
    ("a1 (b1|c1)", And([Term(b"a1"), Or([Term(b"b1"), Term(b"c1")])])),
    ("-a1 ~b1", And([Not(Term(b"a1")), Optional(Term(b"b1"))])),
    ("-(a1 b1)", Not(And([Term(b"a1"), Term(b"b1")]))),
    ('"the Quick fox"', Phrase([b"the", b"quick", b"fox"])),
    ('"quick"', Term(b"quick", None, True, True)),
    ("ap* *ple *ppl*", And([Affix("prefix", b"ap"), Affix("suffix", b"ple"), Affix("infix", b"ppl")])),
    ("%a1% %%b1%% %%%c1%%%", And([Fuzzy(b"a1", 1), Fuzzy(b"b1", 2), Fuzzy(b"c1", 3)])),
    ("w'a?p*'", Pattern(b"a?p*")),
    ("@t:x1 y1", And([Term(b"x1", (b"t",)), Term(b"y1")])),
    ("@u|t:x1", Term(b"x1", (b"t", b"u"))),
    ("@t:(x1 y1)", And([Term(b"x1", (b"t",)), Term(b"y1", (b"t",))], (b"t",))),
    ("@t:(x1|y1)=>{$weight: 2}", Or([Term(b"x1", (b"t",)), Term(b"y1", (b"t",))], (b"t",), attributes=Attributes(weight=2.0))),
    ("@g:{Red | b1 c1|pre*|*suf|*mid*|w'x?'|\"q|Q\"}", Tag(
        b"g", [TagValue("exact", b"red"), TagValue("exact", b"b1 c1", (b"b1", b"c1")), TagValue("prefix", b"pre"),
               TagValue("suffix", b"suf"), TagValue("infix", b"mid"), TagValue("wildcard", b"x?"), TagValue("exact", b"q|q")])),
    (r"@c:{Self\-Help|\ x}", Tag(b"c", [TagValue("exact", b"Self-Help"), TagValue("exact", b" x")])),
    ('@g:{"a-"*|*"-b"|*"c"*}', Tag(b"g", [TagValue("prefix", b"a-"), TagValue("suffix", b"-b"), TagValue("infix", b"c")])),
    ("@n:[1 (2.5]", Numeric(b"n", 1.0, 2.5, True, False)),
    ("@n:[(-inf +inf]", Numeric(b"n", -INF, INF, False, True)),
    ("@n:[.5 3.]", Numeric(b"n", 0.5, 3.0)),
    ("@n:[5]", Numeric(b"n", 5.0, 5.0)),
    ("@n==5", Numeric(b"n", 5.0, 5.0)),
    ("@n != -5", Not(Numeric(b"n", -5.0, -5.0))),
    ("@n>1 @n>=2 @n<3 @n<=4e0", And([Numeric(b"n", 1.0, INF, False, True), Numeric(b"n", 2.0, INF),
                                     Numeric(b"n", -INF, 3.0, True, False), Numeric(b"n", -INF, 4.0)])),
    ("@l:[1.5, -2, 10 KM]", Geo(b"l", 1.5, -2.0, 10.0, b"km")),
    ("@s:[within $w]", GeoShape(b"s", "WITHIN", Param(b"w", "exact"))),
    ("ISMISSING(@n)", Missing(b"n")),
    ("@v:[VECTOR_RANGE 0.5 $b]=>{$YIELD_DISTANCE_AS: d; $epsilon: 0.1; $weight:3}",
     VectorRange(b"v", 0.5, Param(b"b", "blob"), b"b", (VectorAttribute(b"epsilon", b"0.1", True),), b"d",
                 attributes=Attributes(weight=3.0))),
    ("*=>[KNN 10 @v $b]", Knn(None, b"v", 10, Param(b"b", "blob"), b"b", (), b"__v_score")),
    ("(*)=>[knn $k @v $b as D]", Knn(None, b"v", Param(b"k", "size"), Param(b"b", "blob"), b"b", (), b"D")),
    ("@g:{x}=>[KNN 2 @v $b HYBRID_POLICY BATCHES batch_size 10 AS d]",
     Knn(Tag(b"g", [TagValue("exact", b"x")]), b"v", 2, Param(b"b", "blob"), b"b",
         (VectorAttribute(b"HYBRID_POLICY", b"BATCHES"), VectorAttribute(b"batch_size", b"10")), b"d")),
    ("(@g:{x})=>{$weight: 2}=>[KNN 2 @v $b SEARCH_WINDOW_SIZE $w]=>{$YIELD_DISTANCE_AS: d; $SEARCH_BUFFER_CAPACITY: 9}",
     Knn(Tag(b"g", [TagValue("exact", b"x")], attributes=Attributes(weight=2.0)), b"v", 2, Param(b"b", "blob"), b"b",
         (VectorAttribute(b"SEARCH_WINDOW_SIZE", Param(b"w", "exact")),
          VectorAttribute(b"SEARCH_BUFFER_CAPACITY", b"9", True)), b"d")),
    ("the=>[KNN 2 @v $b]", Knn(Empty(), b"v", 2, Param(b"b", "blob"), b"b", (), b"__v_score")),
])
def test_shapes(text, tree):
    assert parse(text) == tree


def test_what_clients_send():
    """The texts that redisvl, langchain and others send parse, and mean the filter that they were built from."""
    fields = schema(
        "cat TAG _index_name TAG genre TAG body TEXT n NUMERIC emb VECTOR HNSW 6 TYPE FLOAT32 DIM 2 DISTANCE_METRIC COSINE")
    for text in ("*=>[KNN 10 @emb $vector AS vector_distance]", "@genre:{x}=>[KNN 2 @emb $v]", "@n:[(0 +inf]", "@body:(x1)",
                 "@emb:[VECTOR_RANGE $distance_threshold $vector]=>{$YIELD_DISTANCE_AS: vector_distance}",
                 "*=>[KNN 10 @emb $vector SEARCH_WINDOW_SIZE $SEARCH_WINDOW_SIZE USE_SEARCH_HISTORY $USE_SEARCH_HISTORY "
                 "SEARCH_BUFFER_CAPACITY $C AS d]",
                 "(~@body:(x1))=>[KNN 3 @emb $vector AS d]"):
        assert parse_query(text.encode(), 2, fields)
    tree = parse('((@cat:{x} @_index_name:("lc")))=>[KNN 2 @emb $v]',
                 fields=fields | {b"_index_name": schema("_index_name TEXT")[b"_index_name"]})
    assert tree.child == And([Tag(b"cat", [TagValue("exact", b"x")]), Term(b"lc", (b"_index_name",), True, True)])


def test_dialect_1():
    assert parse("a1 b1|c1", 1) == Or([And([Term(b"a1"), Term(b"b1")]), Term(b"c1")])
    assert parse("a1|b1 c1", 1) == Or([Term(b"a1"), And([Term(b"b1"), Term(b"c1")])])       # words keep together
    assert parse('a1|"b1" c1', 1) == And([Or([Term(b"a1"), Term(b"b1", None, True)]), Term(b"c1")])
    one, two = Numeric(b"n", 1.0, 1.0), Numeric(b"n", 2.0, 2.0)
    assert parse("@n:[1 1] a1*|b1 @n:[2 2]", 1) == And([one, Or([Affix("prefix", b"a1"), Term(b"b1")]), two])
    assert parse("@t:a1|b1*", 1) == Or([Term(b"a1", (b"t",)), Affix("prefix", b"b1", (b"t",))], fields=(b"t",))
    assert parse("-a1 -b1 ~c1 -d1", 1) == And([
        Not(Term(b"a1")), Not(Term(b"b1")), Optional(And([Term(b"c1"), Not(Term(b"d1"))]))])
    assert parse("a1 -b1 c1", 1) == And([Term(b"a1"), Not(And([Term(b"b1"), Term(b"c1")]))])
    assert parse("@g:{x1 | y1", 1) == Tag(b"g", [TagValue("exact", b"x1"), TagValue("exact", b"y1")])
    assert parse("@nope:x1", 1) == Term(b"x1", ())
    assert parse('"quick the fox"', 1) == Phrase([b"quick", b"fox"])
    assert parse("@n:[1 2]", 1) == Numeric(b"n", 1.0, 2.0)
    for text, offset, near in (("*=>[KNN 3 @v $b]", 1, ">["), ("@n==5", 4, "5"), ("@n:[5]", 5, "5"), ("$p", 0, "p"),
                               ('@t:""', 4, "t")):
        assert refusal(text, 1) == f"SEARCH_SYNTAX Syntax error at offset {offset} near {near}"


def test_affixes_and_their_like_keep_to_what_is_before_them():
    affix = Affix("prefix", b"b1")
    assert parse("-a1 b1* c1", 2) == And([Not(And([Term(b"a1"), affix])), Term(b"c1")])
    assert parse("~a1 $p", 2) == Optional(And([Term(b"a1"), Term(Param(b"p", "term"))]))
    assert parse("-a1 (b1*)", 2) == And([Not(Term(b"a1")), affix])
    fields = (b"t",)
    assert parse("@t:a1 b1* c1", 2) == And([
        And([Term(b"a1", fields), Affix("prefix", b"b1", fields)], fields=fields), Term(b"c1")])


def test_stop_words_are_the_index_s():
    assert parse_query(b"the fox", 2, None, (b"fox",)).root == Term(b"the")
    assert parse_query(b"the fox", 2, None, ()).root == And([Term(b"the"), Term(b"fox")])


# ---------------------------------------------------------------------------------------------------- errors

@pytest.mark.parametrize("text, message", [
    ("*=>[KN 3 @v $b]", "SEARCH_SYNTAX Syntax error: Expecting Vector Similarity command at offset 4 near KN"),
    ("@v:[VECTOR_RANG 1 $b]",
     "SEARCH_SYNTAX Syntax error: expecting vector similarity range command at offset 4 near VECTOR_RANG"),
    ("@s:[FOO $b]", "SEARCH_SYNTAX Syntax error: Expecting a geoshape predicate at offset 8"),
    ("*=>[KNN 3 @n $b]", "SEARCH_SYNTAX Expected a VECTOR field at offset 10 near n"),
    ("*=>[KNN 3 @nope $b]", "SEARCH_SYNTAX Unknown field at offset 10 near nope"),
    ("@nope )", "SEARCH_SYNTAX Unknown field at offset 0 near nope"),
    ("@g:x1", "SEARCH_SYNTAX Expected a TEXT field at offset 0 near g"),
    ("ismissing(@t)", "SEARCH_FIELD_MISSING_REQ 'ismissing' requires defining the field with 'INDEXMISSING' at offset 10 near t"),
    ('@t:""', "SEARCH_SYNTAX Use `INDEXEMPTY` in field creation in order to index and query for empty strings"),
    ("@g:{w''}", "SEARCH_SYNTAX Use `INDEXEMPTY` in field creation in order to index and query for empty strings"),
    ("(a1)=>{$FOO: 1}", "SEARCH_OPTION_INVALID Invalid attribute FOO"),
    ("(a1)=>{$EF_RUNTIME: 1}", "SEARCH_OPTION_INVALID Invalid attribute EF_RUNTIME"),
    ("(a1)=>{$weight: abc}", "SEARCH_SYNTAX Invalid value (abc) for `weight`"),
    ("(a1)=>{$slop: 1.5}", "SEARCH_SYNTAX Invalid value (1.5) for `slop`"),
    ("@t:(a1)=>{$phonetic:true}", "SEARCH_QUERY_BAD field does not support phonetics"),
    ("@n:[(5]", "SEARCH_SYNTAX Syntax error at offset 6 near 5"),
    ("@n:[5 3]", "SEARCH_SYNTAX Invalid numeric range (min > max): @n:[5.000000 3.000000]"),
    ("@l:[200 1 1 km]", "SEARCH_GEO_COORDINATES_INVALID Invalid GeoFilter lat/lon"),
    ("@l:[1 1 0 km]", "SEARCH_SYNTAX Invalid GeoFilter radius"),
    ("*=>[KNN 3 @v $b AS n]", "SEARCH_INDEX_EXISTS Property `n` already exists in schema"),
    ("*=>[KNN 3 @v $b AS a]=>{$YIELD_DISTANCE_AS: a}",
     "SEARCH_FIELD_DUP Distance field was specified twice for vector query: a and a"),
    ("(@v:[VECTOR_RANGE 1 $b]=>{$YIELD_DISTANCE_AS: d})=>[KNN 3 @v $b AS d]",
     "SEARCH_FIELD_DUP Property `d` specified more than once"),
])
def test_errors(text, message):
    assert refusal(text, b=b"12345678") == message


@pytest.mark.parametrize("line", (CORPUS / "query_texts.jsonl").read_text().splitlines())
def test_recorded_texts(line):
    case = json.loads(line)
    error = None
    try:
        query = parse_query(case["query"].encode(), case["dialect"], SCHEMAS[case["schema"]])
        values = {"number": b"1", "size": b"1"}
        root = bind(query, {param.name: values.get(param.kind, b"km") for param in query.params
                            if case["error"] != f"Parameter not found `{param.name.decode()}`"})
        check_yields(root, SCHEMAS[case["schema"]])
    except CommandError as caught:
        error = caught.text.split(" ", 1)[1]
    assert error == case["error"]


# ---------------------------------------------------------------------------------------------------- parameters

def test_binding():
    query = parse_query(b"$w @g:{$x|$y*} @n:[$a ($b] -@n:[-$a +inf] @l:[$a 2 3 $u] $w*", 2, FIELDS)
    assert bind(query, {b"w": b"Apple", b"x": b"RED", b"y": b"b*", b"a": b"1", b"b": b"2", b"u": b"KM"}) == And([
        Term(b"apple"), Tag(b"g", [TagValue("exact", b"red"), TagValue("prefix", b"b*")]), Numeric(b"n", 1.0, 2.0, True, False),
        Not(Numeric(b"n", -1.0, INF)), Geo(b"l", 1.0, 2.0, 3.0, b"km"), Affix("prefix", b"apple")])
    assert query.root.children[0] == Term(Param(b"w"))                 # the parsed tree is as it was
    assert bind(parse_query(b"a1", 2), {}) == Term(b"a1")
    assert bind(parse_query(b"@n:[$a]", 2, FIELDS), {b"a": b"-inf"}) == Numeric(b"n", -INF, -INF)
    assert bind(parse_query(b"$w", 2), {b"w": rb"john\ doe"}) == Term(b"john doe")
    assert bind(parse_query(b"@g:{$x b $y}", 2,
                            FIELDS), {b"x": b"A", b"y": b"1"}) == Tag(b"g", [TagValue("exact", b"a b 1", (b"a", b"b", b"1"))])


def test_the_hot_query_needs_no_binding():
    assert parse_query(b"*=>[KNN 10 @v $b AS d]", 2, FIELDS).hot == b"b"
    assert parse_query(b"(@g:{x} @n>3)=>[KNN 10 @v $b AS d]", 2, FIELDS).hot == b"b"
    for text in (b"*=>[KNN $k @v $b]", b"@g:{$b}=>[KNN 10 @v $b]", b"*=>[KNN 10 @v $b AS $d]", b"@v:[VECTOR_RANGE 1 $b]"):
        assert parse_query(text, 2, FIELDS).hot is None


@pytest.mark.parametrize("text, params, message", [
    ("$nope", {}, "SEARCH_PARAM_NOT_FOUND Parameter not found `nope`"),
    ("*=>[KNN $k @v $b]", {"b": b"x", "k": b"3.5"}, "SEARCH_NUMERIC_VALUE_INVALID Invalid numeric value (3.5) for parameter `k`"),
    ("*=>[KNN $k @v $b]", {"b": b"x", "k": b"-1"}, "SEARCH_NUMERIC_VALUE_INVALID Invalid numeric value (-1) for parameter `k`"),
    ("*=>[KNN 3 @v $b]", {}, "SEARCH_PARAM_NOT_FOUND Parameter not found `b`"),
    ("@n:[1 $a]", {"a": b"x"}, "SEARCH_NUMERIC_VALUE_INVALID Invalid numeric value (x) for parameter `a`"),
    ("@n:[1 $a]", {"a": b"0"}, "SEARCH_SYNTAX Invalid numeric range (min > max): @n:[1.000000 0.000000]"),
    ("(a1)=>{$weight: $w}", {"w": b"x"}, "SEARCH_SYNTAX Invalid value (x) for `weight`"),
    ("@n:[1 $a]", {"a": b"1e1000"}, "SEARCH_NUMERIC_VALUE_INVALID Invalid numeric value (1e1000) for parameter `a`"),
    ("@n:[-1 $a]", {"a": b"-1e-1000"}, "SEARCH_NUMERIC_VALUE_INVALID Invalid numeric value (-1e-1000) for parameter `a`"),
    ("@n:[1 $a]", {"a": b"-inf"}, "SEARCH_PARSE_ARGS Bad upper range: -inf"),
    ("*=>[KNN $k @v $b]", {"k": b"x"}, "SEARCH_PARAM_NOT_FOUND Parameter not found `b`"),
    ("@t:(a1)=>{$phonetic: $p}", {"p": b"maybe"}, "SEARCH_SYNTAX Invalid value (maybe) for `phonetic`"),
    ("@t:(a1)=>{$phonetic: $p}", {"p": b"true"}, "SEARCH_QUERY_BAD field does not support phonetics"),
    ("*=>[KNN 3 @v $b AS $x]=>{$YIELD_DISTANCE_AS: y}", {"b": b"12345678", "x": b"d"},
     "SEARCH_FIELD_DUP Distance field was specified twice for vector query: d and y"),
])
def test_binding_errors(text, params, message):
    assert refusal(text, **params) == message


def test_yields_in_order():
    root = parse("(@v:[VECTOR_RANGE 1 $b]=>{$YIELD_DISTANCE_AS: r} | @v:[VECTOR_RANGE 2 $b])=>[KNN 3 @v $b]")
    assert yields(root) == [b"r", b"__v_score"]


# ---------------------------------------------------------------------------------------------------- EXPLAIN

def recorded_expansions(text: str) -> dict[bytes, list[bytes]]:
    """What stemming gave, read out of a recorded EXPLAIN: the lines "(expanded)" after a word."""
    words: dict[bytes, list[bytes]] = {}
    word = b""
    for line in text.split("\n"):
        bare = line.strip().split(" =>")[0]
        bare = bare.split(":")[-1] if bare.startswith("@") else bare
        if bare.endswith("(expanded)"):
            words.setdefault(word, []).append(bare[:-len("(expanded)")].encode())
        else:
            word = bare.encode()
    return words


@pytest.mark.parametrize("line", (CORPUS / "query_explain.jsonl").read_text().splitlines())
def test_recorded_explains(line):
    case = json.loads(line)
    query = parse_query(case["query"].encode(), case["dialect"], SCHEMAS[case["schema"]])
    root = bind(query, {b"w": b"apple", b"a": b"1", b"b": b"9"})
    expansions = recorded_expansions(case["explain"])
    assert explain(root, lambda term: [(word, term.fields) for word in expansions.get(term.text, ())]) == case["explain"]


def test_explain_of_vector_clauses():
    root = bind(parse_query(b"@n:[0 9]=>[KNN 10 @v $vec SEARCH_WINDOW_SIZE 20 AS d]", 2, FIELDS), {b"vec": b"12345678"})
    assert explain_lines(root) == [
        "VECTOR {", "  NUMERIC {0.000000 <= @n <= 9.000000}",
        "} => {K=10 nearest vectors to `$vec` in vector index associated with field @v, SEARCH_WINDOW_SIZE = 20, "
        "yields distance as `d`}", ""]


@pytest.mark.parametrize("text, dialect, lines", [
    ("@g:{b1 c1 | d1}", 2, "TAG:@g {\n  INTERSECT {\n    b1\n    c1\n  }\n  d1\n}\n"),
    (r"@g:{w'a\'b'}", 2, "TAG:@g {\n  WILDCARD{a'b}\n}\n"),
    ('"foo" bar', 2, "INTERSECT {\n  EXACT {\n    foo\n  }\n  bar\n}\n"),
    ('"foo" bar', 1, "INTERSECT {\n  foo\n  bar\n}\n"),
    ("baz (foo bar)", 2, "INTERSECT {\n  foo\n  bar\n  baz\n}\n"),
    ("baz (foo bar)", 1, "INTERSECT {\n  baz\n  INTERSECT {\n    foo\n    bar\n  }\n}\n"),
    ("a1|(b1|(c1|d1)|e1)", 2, "UNION {\n  c1\n  d1\n  b1\n  e1\n  a1\n}\n")])
def test_explain_of_groups(text, dialect, lines):
    assert explain(parse(text, dialect)) == lines


# ---------------------------------------------------------------------------------------------------- limits

@pytest.mark.parametrize("dialect", [1, 2])
@pytest.mark.parametrize("opening, closing", [("(", ")"), ("-", ""), ("@t:(", ")"), ("~(a1 ", "|b1)")])
def test_depth_has_a_limit(opening, closing, dialect):
    if opening == "@t:(" and dialect == 2:
        return                                                          # fields do not nest there
    levels = MAX_DEPTH // (2 if len(opening) > 2 else 1)
    root = parse(opening * levels + "x1" + closing * levels, dialect)
    assert explain(root)
    assert refusal(opening * (MAX_DEPTH + 1) + "x1" + closing * (MAX_DEPTH + 1), dialect).startswith(
        "SEARCH_SYNTAX Parser stack overflow" if dialect == 2 else "SEARCH_SYNTAX Syntax error at offset")
