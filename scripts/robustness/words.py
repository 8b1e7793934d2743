"""Words for fuzzing: arguments that nearly fit commands, and damage to bytes."""
import random

_KEYS = [f"{kind}{i}" for kind in "hjslmz" for i in range(6)] + ["none", "", "{a}h", "k" * 300]
_NUMBERS = ["0", "1", "-1", "2", "10", "-7", "100", "1.5", "-0.25", "3e2", "inf", "-inf", "nan", "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808", "4294967296", "65536", "00", "+1", "0x10", "1e400", "(1", "[a", "(b", "-", "+", " 1"]
_OPTIONS = """EX PX NX XX GT LT CH INCR GET KEEPTTL EXAT PXAT PERSIST COUNT MATCH TYPE LIMIT WITHSCORES WITHSCORE BYSCORE BYLEX
REV LEFT RIGHT
BEFORE AFTER MIN MAX AGGREGATE SUM WEIGHTS STORE BY ASC DESC ALPHA FIELDS NOVALUES WITHVALUES RANK MAXLEN IDX LEN AND OR XOR NOT
u8 i64 #1
OVERFLOW SAT WRAP FAIL BIT BYTE REPLACE DB ASYNC SYNC ON OFF SKIP YES NO LIST INFO HELP RESET SAMPLES AUTH SETNAME LIB-NAME
LIB-VER NOVALUES
KEYS ID TYPE normal USER default ADDR PATTERN ACLCAT MODULE FILTERBY FXX FNX ANY WITHCOORD TIMEOUT ERROR
RETURN SORTBY PARAMS DIALECT NOCONTENT LOAD APPLY GROUPBY REDUCE FILTER WITHCURSOR HIGHLIGHT SUMMARIZE INKEYS INFIELDS SLOP
INORDER LANGUAGE
SCORER EXPLAINSCORE WITHSORTKEYS WITHPAYLOADS VERBATIM NOSTOPWORDS GEOFILTER FORMAT SCHEMA TEXT TAG NUMERIC VECTOR GEO SORTABLE
ADD PREFIX
HNSW FLAT SVS-VAMANA DIM FLOAT32 DISTANCE_METRIC COSINE L2 COMPRESSION LVQ4x4 READ DEL SEARCH QUERY AS FUZZY MAXIDLE AVG
COUNT_DISTINCT
INDENT NEWLINE SPACE NOESCAPE""".split()
_QUERIES = ["*", "@t:{a}", "@t:{a|b}", "@n:[0 3]", "@n:[(1 inf]", "hello", "hello world", "@x:(hel*)", "@x:%helo%", "-@t:{a}",
            "~hello",
            "*=>[KNN 3 @v $q]", "*=>[KNN 3 @v $q AS d]", "(@t:{a})=>[KNN 2 @v $q]",
            "@v:[VECTOR_RANGE 2 $q]=>{$yield_distance_as: d}", "@t:{",
            "(", "@x:\"hello world\"=>{$slop:1}", "@g:[1 2 3 km]", "a|b|c", "@none:x", "*=>[KNN $k @v $q EF_RUNTIME 5]", "$q",
            "=>[", "w'*o*'"]
_PATHS = ["$", ".", "$.t", "$.l[0]", "$..x", "$.l[-1:]", "$.l[?(@>1)]", "$[", "t", ".l[2].x", "$.l.*", "$.none"]
_JSON = ['{"a":1}', "[1,2,3]", '"text"', "null", "3.5", "{", "[[[[]]]]", '{"t":"b","n":7}', "true", "1e999"]
_TEXTS = ["a", "b", "t", "n", "x", "v", "f", "hello", "", "a b", "\\", "*", "[", "x" * 200, "a?b*[c", "idx", "jdx", "q", "k",
          "@t", "@n"]
_BLOBS = [bytes(8), b"\xff" * 8, b"\0\0\xc0\x7f" * 2, b"\r\n", b"\x80\xfe", bytes(7), bytes(range(256))]
_POOLS = [(_KEYS, 6), (_NUMBERS, 4), (_OPTIONS, 4), (_QUERIES, 2), (_PATHS, 1), (_JSON, 1), (_TEXTS, 3), (_BLOBS, 1)]
_CHOICES = [pool for pool, weight in _POOLS for _ in range(weight)]
#: What is likely as the first argument of a group of commands.
_FIRST = {"FT.": ["idx", "jdx", "none", "new", "alias"], "JSON.": [f"j{i}" for i in range(6)] + ["h1", "new"],
          "VAMANA.": ["idx", "3", "none"]}
_SECOND = {"FT.SEARCH": _QUERIES, "FT.AGGREGATE": _QUERIES, "FT.EXPLAIN": _QUERIES, "FT.PROFILE": ["SEARCH", "AGGREGATE"],
           "JSON.": _PATHS}
#: Never made: they stop the server for a while because they are asked to.
_LEFT_OUT = {"CLIENT PAUSE", "MONITOR", "BLPOP", "WAIT"}


def call(r: random.Random, name: str, arity: int) -> list:
    """The words of a call of a command, with about as many arguments as it wants."""
    if name.upper() in _LEFT_OUT:
        name, arity = "PING", -1
    words = name.split(" ")
    n = arity if arity > 0 else -arity + int(r.expovariate(0.35))
    if r.random() < 0.05:
        n = max(1, n + r.choice((-1, 1, 3)))
    for at in range(len(words), n):
        pool = None
        if at <= 2:
            table = _FIRST if at == 1 else _SECOND
            pool = next((pool for start, pool in table.items() if name.upper().startswith(start)), None)
        if pool is None or r.random() < 0.1:
            pool = _KEYS if at == 1 and r.random() < 0.7 else r.choice(_CHOICES)
        words.append(r.choice(pool))
    if "PARAMS" not in words and r.random() < 0.3 and name.upper().startswith(("FT.SEARCH", "FT.AGG")):
        words += ["PARAMS", "2", "q", r.choice(_BLOBS), "DIALECT", "2"]
    if r.random() < 0.1:
        at = r.randrange(1, len(words)) if len(words) > 1 else 0
        words[at] = damage(r, words[at].encode() if isinstance(words[at], str) else words[at])
    return words


def pack(words: list) -> bytes:
    """A command in RESP."""
    raw = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)


_SPLINTERS = [b"\r\n", b"*", b"$", b"-1", b"*-1\r\n", b"$-1\r\n", b"*1\r\n$999999999999\r\n", b"*2147483648\r\n", b"\0", b"\n",
              b"\"", b"'\\x", b"*0\r\n",
              b":1\r\n", b"$0\r\n\r\n", b"PING\r\n", b"*3\r\n$3\r\nSET\r\n", b"\xff\xfe", b" ", b"1" * 30, b"%1\r\n",
              b"GET 'a\r\n"]


def damage(r: random.Random, data: bytes) -> bytes:
    """The bytes with one to four accidents."""
    out = bytearray(data)
    for _ in range(r.choice((1, 1, 1, 2, 4))):
        at = r.randrange(len(out) + 1)
        kind = r.randrange(6)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << r.randrange(8)
        elif kind == 1:
            del out[at:at + r.choice((1, 1, 4, 50))]
        elif kind == 2:
            out[at:at] = r.choice(_SPLINTERS)
        elif kind == 3:
            end = min(len(out), at + r.randrange(1, 40))
            out[at:at] = out[at:end]
        elif kind == 4:
            del out[at:]
        elif at < len(out):
            out[at] = r.randrange(256)
    return bytes(out)
