"""Every error text of the search commands, in the form of Redis 8.8 and later: a code word, one blank, the message.

A text with {} is a template for `fail`, which takes words as clients sent them (bytes) or anything that str() takes.
Code words and where they are used: SEARCH_PARSE_ARGS (words of a command), SEARCH_ADD_ARGS (FT.CREATE's rule, PARAMS),
SEARCH_ARG_UNRECOGNIZED, SEARCH_SYNTAX (query text), SEARCH_QUERY_BAD (a query or schema that cannot hold), SEARCH_LIMIT_OVER,
SEARCH_OPTION_INVALID and the ones below.
"""
import re

from respserver.protocol.errors import CommandError

__all__ = ["CommandError", "fail", "show"]


def show(word) -> str:
    """A word as it goes into an error text; bytes that are not UTF-8 survive the way back (surrogateescape)."""
    return word.decode("utf-8", "surrogateescape") if isinstance(word, bytes) else str(word)


def fail(template: str, *args) -> CommandError:
    """The error to raise: `raise fail(errors.INDEX_NOT_FOUND, name)`."""
    return CommandError(template.format(*[show(arg) for arg in args]) if args else template)


#: Whether clients see the code words, as from Redis 8.8 on, or the messages alone and some of them as they were before.
has_codes = True
#: search-enable-unstable-features: what some things needed then.
has_unstable = False
_CODE = re.compile(r"SEARCH_[A-Z_]+ ")
#: Texts that were shorter.
_OLDER = {"Invalid geo string: missing separator": "Invalid geo string",
          "'batch size' is irrelevant for the selected policy": "'batch size' is irrelevant for 'ADHOC_BF' policy",
          "'EF_RUNTIME' is irrelevant for the selected policy": "'EF_RUNTIME' is irrelevant for 'ADHOC_BF' policy",
          "No `SEARCH`, `AGGREGATE`, or `HYBRID` provided": "No `SEARCH` or `AGGREGATE` provided"}
_SEARCHES = frozenset(("ft.search", "ft.aggregate", "ft.hybrid"))
#: What followed such a text and came before it.
_OLDER_HEAD = "Error parsing vector similarity parameters"


def told(text: str, command: str = "") -> str:
    """An error text as clients see it who call `command`."""
    if has_codes:
        return text
    if not text.startswith("SEARCH_"):
        return _OLDER.get(text, text)
    plain = _CODE.sub("", text, 1)
    head, colon, name = plain.partition("Index not found: ")
    if colon and not head:
        return f"No such index {name}" if command.lower() in _SEARCHES else f"{name}: no such index"
    if plain.endswith(f" ({_OLDER_HEAD})"):
        plain = plain[:-len(_OLDER_HEAD) - 3]
        plain = f"{_OLDER_HEAD}: {_OLDER.get(plain, plain)}"
    plain = _OLDER.get(plain, plain)
    head, colon, name = plain.partition("Property not loaded nor in pipeline: ")
    if colon and not head:
        return f"Property {name} not loaded nor in pipeline"
    return plain.replace("Parameter not found `", "No such parameter `")


# ---- tails: the reason at the end of "Bad arguments for <name>: <tail>"
TAIL_BOUNDS = "Value is outside acceptable bounds"
TAIL_MISSING = "Expected an argument, but none provided"
TAIL_CONVERT = "Could not convert argument to expected type"
TAIL_UNKNOWN = "Unknown argument"

# ---- indexes and aliases
DROPPED_MEANWHILE = "SEARCH_INDEX_DROPPED_BG The index was dropped before the query could be executed"
INDEX_NOT_FOUND = "SEARCH_INDEX_NOT_FOUND Index not found: {}"
INDEX_EXISTS = "SEARCH_INDEX_EXISTS Index already exists"
WRONG_DB = "Cannot create index on db != 0"
ALIAS_TARGET = "SEARCH_INDEX_NOT_FOUND Unknown index name (or name is an alias itself)"
ALIAS_MISSING = "Alias does not exist"
ALIAS_EXISTS = "SEARCH_INDEX_EXISTS Alias already exists"
ALIAS_CONFLICT = "SEARCH_ALIAS_CONFLICT Alias conflicts with an existing index name"
NO_SUCH_FIELD = "SEARCH_ATTR_BAD No such field"
NOT_A_TAG_FIELD = "SEARCH_ATTR_BAD Not a tag field"
NO_SUCH_CONFIG = "No such configuration option `{}`"
NOT_MODIFIABLE = "SEARCH_OPTION_BAD Not modifiable at runtime"
DROP_UNKNOWN = "SEARCH_ARG_UNRECOGNIZED Unknown argument"

# ---- words of commands
BAD_ARGUMENTS = "SEARCH_PARSE_ARGS Bad arguments for {}: {}"
UNKNOWN_ARGUMENT = "SEARCH_ARG_UNRECOGNIZED Unknown argument `{}`"
UNKNOWN_ARGUMENT_AT = "SEARCH_ARG_UNRECOGNIZED Unknown argument `{}` at position {} for {}"

# ---- FT.CREATE, FT.ALTER
RULE_TYPE = "SEARCH_ADD_ARGS Invalid rule type: {}"
LANGUAGE = "SEARCH_ADD_ARGS Invalid language"
SCORE = "SEARCH_ADD_ARGS Invalid score"
INDEXALL = "SEARCH_ADD_ARGS Invalid argument for `INDEXALL`, use ENABLE/DISABLE"
PREFIXES = "SEARCH_LIMIT_OVER Number of prefixes ({}) exceeds maximum allowed ({})"
TEXT_AND_NO_FIELDS = "SEARCH_QUERY_BAD MAXTEXTFIELDS cannot be used with NOFIELDS"
NO_SCHEMA = "SEARCH_PARSE_ARGS No schema found"
NO_FIELDS = "SEARCH_PARSE_ARGS Fields arguments are missing"
FIELD_LIMIT = "SEARCH_LIMIT_OVER Schema is limited to {} fields"
TEXT_FIELD_LIMIT = "SEARCH_LIMIT_OVER Schema is limited to {} TEXT fields"
FIELD_EMPTY = "SEARCH_QUERY_BAD Field name cannot be empty"
FIELD_NUL = "SEARCH_QUERY_BAD Field name cannot contain null bytes"
PATH_NUL = "SEARCH_QUERY_BAD Field path cannot contain null bytes"
JSON_PATH = "SEARCH_PATH_BAD Invalid JSONPath '{}' in attribute '{}' in index '{}'"
FIELD_DUPLICATE = "SEARCH_QUERY_BAD Duplicate field in schema - {}"
AS_ARGUMENT = "SEARCH_PARSE_ARGS AS requires an argument"
FIELD_NO_TYPE = "SEARCH_PARSE_ARGS Field `{}` does not have a type"
FIELD_TYPE = "SEARCH_PARSE_ARGS Invalid field type for field `{}`"
NOINDEX_MISSING = "SEARCH_PARSE_ARGS 'Field cannot be defined with both `NOINDEX` and `INDEXMISSING` `{}` '"
PHONETIC_ARGUMENT = "SEARCH_PARSE_ARGS PHONETIC requires an argument"
PHONETIC_MATCHER = ("SEARCH_QUERY_BAD Matcher Format: <2 chars algorithm>:<2 chars language>. "
                    "Support algorithms: double metaphone (dm). "
                    "Supported languages: English (en), French (fr), Portuguese (pt) and Spanish (es)")
SEPARATOR_ARGUMENT = "SEARCH_PARSE_ARGS SEPARATOR requires an argument"
SEPARATOR = "SEARCH_PARSE_ARGS Tag separator must be a single character. Got `{}`"
ALTER_NO_SCHEMA = "SEARCH_PARSE_ARGS ALTER must be followed by SCHEMA"
ALTER_ACTION = "SEARCH_PARSE_ARGS Unknown action passed to ALTER SCHEMA"
NARROW_SCHEMA = "SEARCH_LIMIT_OVER Cannot add more fields. Declare index with wide fields to allow adding unlimited fields"
ALTER_NO_FIELDS = "SEARCH_PARSE_ARGS No fields provided"

# ---- VECTOR fields
VECTOR_ODD = ("SEARCH_PARSE_ARGS Bad number of arguments for vector similarity index: got {} but expected even number "
              "as algorithm parameters (should be submitted as named arguments)")
VECTOR_FEW = "SEARCH_PARSE_ARGS Bad arguments for vector similarity: not enough arguments"
VECTOR_COUNT = "SEARCH_PARSE_ARGS Expected {} parameters but got {}"
VECTOR_NAME = "SEARCH_PARSE_ARGS Bad arguments for algorithm {}: {}"
VECTOR_REQUIRED = "SEARCH_PARSE_ARGS Missing mandatory parameter: cannot create {} index without specifying {} argument"
VECTOR_SVS_TYPE = "SEARCH_PARSE_ARGS Not supported data type is given. Expected: FLOAT16, FLOAT32"
VECTOR_THRESHOLD = "SEARCH_PARSE_ARGS Invalid TRAINING_THRESHOLD: cannot be lower than DEFAULT_BLOCK_SIZE (1024)"
VECTOR_THRESHOLD_ALONE = "SEARCH_PARSE_ARGS TRAINING_THRESHOLD is irrelevant when compression was not requested"
VECTOR_REDUCE_ALONE = "SEARCH_PARSE_ARGS REDUCE is irrelevant when compression is not of type LeanVec"
VECTOR_REDUCTION_ALONE = (
    "SEARCH_PARSE_ARGS REDUCTION (PCA, OOD, PREFIX or RANDOM) is irrelevant when compression is not of type LeanVec")
VECTOR_ELEMENT = "SEARCH_LIMIT_OVER Vector index element size {} exceeded maximum size allowed by server limit which is {}"
VECTOR_RERANK_ARGUMENT = "SEARCH_PARSE_ARGS RERANK requires an argument"
VECTOR_RERANK_VALUE = "SEARCH_PARSE_ARGS Syntax error: RERANK value must be TRUE or FALSE"
VECTOR_RERANK_CHOICE = "SEARCH_PARSE_ARGS RERANK must be AUTO, OFF or a number of candidates from 1 to {}"
VECTOR_TARGET = "SEARCH_PARSE_ARGS TARGET_RECALL must be a number from 0.5 to 0.999"
VECTOR_TARGET_WINDOW = "SEARCH_PARSE_ARGS TARGET_RECALL and {} exclude each other: one of them sets the window"
VECTOR_RERANK_TWICE = "SEARCH_PARSE_ARGS Duplicate RERANK parameter"
VECTOR_RERANK_DISK = "SEARCH_QUERY_BAD RERANK is only supported for disk-based vector indexes"
VECTOR_RERANK_NEEDED = "SEARCH_PARSE_ARGS Disk HNSW index requires RERANK parameter"

# ---- search-_simulate-in-flex
FLEX_WITHOUT = "SEARCH_FLEX_UNSUPPORTED {} is not supported in Redis Flex"
FLEX_INDEXES = "SEARCH_FLEX_LIMIT Max number of indexes reached for Flex indexes: {}"
FLEX_ARGUMENT = "SEARCH_FLEX_UNSUPPORTED Unsupported argument for Flex index: `{}`"
FLEX_TYPE = "SEARCH_FLEX_UNSUPPORTED {} fields are not supported in Flex indexes"
FLEX_FIELD = "SEARCH_FLEX_UNSUPPORTED Disk index does not support {} fields"
FLEX_JSON_ARRAY = "SEARCH_FLEX_UNSUPPORTED Disk JSON index supports JSON array values only for VECTOR fields"
FLEX_JSON = "SEARCH_FLEX_UNSUPPORTED Disk JSON index supports only single-value JSONPath fields"
FLEX_VECTOR = "SEARCH_FLEX_UNSUPPORTED Disk index does not support vectors of {}"
FLEX_SORT = "SEARCH_FLEX_UNSUPPORTED SORTBY in Redis Flex is restricted to sorting results by vector distance"
FLEX_POLICY = "SEARCH_FLEX_UNSUPPORTED Redis Flex pre-filtered vector queries currently require explicit HYBRID_POLICY"
FLEX_TAG_AFFIX = "SEARCH_FLEX_UNSUPPORTED TAG prefix/suffix/infix queries are not supported on Flex indexes"
FLEX_TAG_PATTERN = "SEARCH_FLEX_UNSUPPORTED TAG wildcard queries are not supported on Flex indexes"

# ---- FT.SEARCH and its relatives: options
LIMIT_TWO = "SEARCH_PARSE_ARGS LIMIT requires two arguments"
LIMIT_NUMERIC = "SEARCH_PARSE_ARGS LIMIT needs two numeric arguments"
LIMIT_OFFSET = "SEARCH_LIMIT_OVER The `offset` of the LIMIT must be 0 when `num` is 0"
LIMIT_MAXIMUM = "SEARCH_LIMIT_OVER LIMIT exceeds maximum of {}"
OFFSET_MAXIMUM = "SEARCH_LIMIT_OVER OFFSET exceeds maximum of {}"
SORTBY_TWICE = "SEARCH_PARSE_ARGS Multiple SORTBY steps are not allowed"
SORTBY_MAX = "SEARCH_PARSE_ARGS SORTBY MAX is not supported by FT.SEARCH"
SORTBY_ARGUMENTS = "SEARCH_PARSE_ARGS Bad SORTBY arguments"
PROPERTY_NOT_FOUND = "SEARCH_PROP_NOT_FOUND Property `{}` not loaded nor in schema"
TIMEOUT_ARGUMENT = "SEARCH_PARSE_ARGS Need argument for TIMEOUT"
TIMEOUT_VALUE = "SEARCH_PARSE_ARGS TIMEOUT requires a non negative integer"
DIALECT_ARGUMENT = "SEARCH_PARSE_ARGS Need an argument for DIALECT"
DIALECT_VALUE = "SEARCH_PARSE_ARGS DIALECT requires a non negative integer >=1 and <= 4"
FORMAT_ARGUMENT = "SEARCH_PARSE_ARGS Need an argument for FORMAT"
FORMAT_VALUE = "SEARCH_PARSE_ARGS FORMAT {} is not supported"
UNORDERED = "SEARCH_ORDER_OPTION_BAD slop/inorder are not supported for field with undefined ordering `{}`"
HIGHLIGHT_DISABLED = "SEARCH_QUERY_BAD Cannot use highlight/summarize because NOOFSETS was specified at index level"
HIGHLIGHT_JSON = "SEARCH_VALUE_BAD HIGHLIGHT/SUMMARIZE is not supported with JSON indexes"
EXPAND_RESP2 = "SEARCH_VALUE_BAD EXPAND format is only supported with RESP3"
EXPAND_HASH = "SEARCH_VALUE_BAD EXPAND format is only supported with JSON"
PARAMS_TWICE = "SEARCH_ADD_ARGS Multiple PARAMS are not allowed. Parameters can be defined only once"
PARAMS_PAIRS = "SEARCH_ADD_ARGS Parameters must be specified in PARAM VALUE pairs"
PARAMS_DUPLICATE = "SEARCH_ADD_ARGS Duplicate parameter `{}`"
EXPLAINSCORE_ALONE = "SEARCH_PARSE_ARGS EXPLAINSCORE must be accompanied with WITHSCORES"
ADDSCORES = "SEARCH_PARSE_ARGS ADDSCORES is not supported on FT.SEARCH"
RETURN_AS_END = "SEARCH_PARSE_ARGS RETURN path AS name - must be accompanied with NAME"
RETURN_AS_AS = "SEARCH_PARSE_ARGS Alias for RETURN cannot be `AS`"
NO_LANGUAGE = "SEARCH_QUERY_BAD No such language"
NO_SCORER = "SEARCH_QUERY_BAD No such scorer {}"
NO_PROPERTY = "SEARCH_PROP_NOT_FOUND No such property `{}`"
SUMMARIZE_ARGUMENTS = "SEARCH_PARSE_ARGS Bad arguments for SUMMARIZE"
HIGHLIGHT_ARGUMENTS = "SEARCH_PARSE_ARGS Bad arguments for HIGHLIGHT"
FILTER_ARGUMENTS = "SEARCH_PARSE_ARGS FILTER requires 3 arguments"
NO_SUFFIX_FIELD = "SEARCH_GENERIC Contains query on fields without WITHSUFFIXTRIE support"
FILTER_EMPTY = "SEARCH_SYNTAX Numeric/Geo filter value/s cannot be empty"
GEOFILTER_UNIT = "SEARCH_PARSE_ARGS Unknown distance unit"
NOT_NUMERIC = "SEARCH_QUERY_BAD Field is not a numeric field, field: {}"
NOT_GEO = "SEARCH_QUERY_BAD Field is not a geo field, field: {}"
FILTER_LOWER = "SEARCH_PARSE_ARGS Bad lower range: {}"
FILTER_UPPER = "SEARCH_PARSE_ARGS Bad upper range: {}"
FILTER_FIELD = "SEARCH_QUERY_BAD Unknown Field '{}'"
GEOFILTER_ARGUMENTS = "SEARCH_PARSE_ARGS GEOFILTER requires 5 arguments"
NOT_FOR_SEARCH = "SEARCH_PARSE_ARGS option `{}` is mutually exclusive with simple (i.e. search) options"
PROFILE_CURSOR = "SEARCH_GENERIC FT.PROFILE does not support cursor"
PROFILE_KIND = "No `SEARCH`, `AGGREGATE`, or `HYBRID` provided"
PROFILE_QUERY = "The QUERY keyword is expected"
TIMEOUT = "SEARCH_TIMEOUT Timeout limit was reached"
OOM = "SEARCH_OOM Not enough memory available to execute the query"

# ---- query text
SYNTAX_AT = "SEARCH_SYNTAX Syntax error at offset {} near {}"
FIELD_KIND = "SEARCH_SYNTAX Expected a {} field at offset {} near {}"
FIELD_UNKNOWN = "SEARCH_SYNTAX Unknown field at offset {} near {}"
KNN_COMMAND = "SEARCH_SYNTAX Syntax error: Expecting Vector Similarity command at offset {} near {}"
RANGE_COMMAND = "SEARCH_SYNTAX Syntax error: expecting vector similarity range command at offset {} near {}"
SHAPE_QUERY = "SEARCH_QUERY_BAD Error querying geoshape index: {}"
SHAPE_PREDICATE = "SEARCH_SYNTAX Syntax error: Expecting a geoshape predicate at offset {}"
MISSING_OPTION = "SEARCH_FIELD_MISSING_REQ 'ismissing' requires defining the field with 'INDEXMISSING' at offset {} near {}"
EMPTY_OPTION = "SEARCH_SYNTAX Use `INDEXEMPTY` in field creation in order to index and query for empty strings"
TOO_DEEP = "SEARCH_SYNTAX Parser stack overflow. A query may be nested {} levels deep"
TERM_TOO_LONG = "SEARCH_LIMIT_OVER {} query string is too long"
ATTRIBUTE_NAME = "SEARCH_OPTION_INVALID Invalid attribute {}"
ATTRIBUTE_VALUE = "SEARCH_SYNTAX Invalid value ({}) for `{}`"
NO_PHONETICS = "SEARCH_QUERY_BAD field does not support phonetics"
PARAM_NOT_FOUND = "SEARCH_PARAM_NOT_FOUND Parameter not found `{}`"
PARAM_NUMERIC = "SEARCH_NUMERIC_VALUE_INVALID Invalid numeric value ({}) for parameter `{}`"
NUMERIC_RANGE = "SEARCH_SYNTAX Invalid numeric range (min > max): @{}:[{} {}]"
GEO_COORDINATES = "SEARCH_GEO_COORDINATES_INVALID Invalid GeoFilter lat/lon"
GEO_RADIUS = "SEARCH_SYNTAX Invalid GeoFilter radius"
GEO_UNIT = "SEARCH_SYNTAX Invalid GeoFilter unit"
DISTANCE_TWICE = "SEARCH_FIELD_DUP Distance field was specified twice for vector query: {} and {}"
DISTANCE_IN_SCHEMA = "SEARCH_INDEX_EXISTS Property `{}` already exists in schema"
DISTANCE_DUPLICATE = "SEARCH_FIELD_DUP Property `{}` specified more than once"

# ---- vector clauses
QUERY_BLOB = ("SEARCH_QUERY_BAD Error parsing vector similarity query: query vector blob size ({}) "
              "does not match index's expected size ({}).")
NEGATIVE_RADIUS = "SEARCH_QUERY_BAD Error parsing vector similarity query: negative radius ({}) given in a range query"
QUERY_NOT_FINITE = ("SEARCH_QUERY_BAD Error parsing vector similarity query: "
                    "a coordinate of the query vector is not a finite number")
K_TOO_LARGE = "SEARCH_QUERY_BAD Error parsing vector similarity query: query KNN K parameter is too large, must not exceed {}"
_RESOLVER = " (Error parsing vector similarity parameters)"
RUNTIME_OPTION = "SEARCH_OPTION_INVALID Invalid option" + _RESOLVER
RUNTIME_VALUE = "SEARCH_VALUE_BAD Invalid value was given" + _RESOLVER
RUNTIME_RERANK = "SEARCH_VALUE_BAD RERANK must be AUTO, OFF or a number of candidates from 1 to {}" + _RESOLVER
RUNTIME_OVERSAMPLING = "SEARCH_VALUE_BAD OVERSAMPLING must be a number from 1 to 1000" + _RESOLVER
RUNTIME_TARGET = "SEARCH_VALUE_BAD TARGET_RECALL must be a number from 0.5 to 0.999" + _RESOLVER
RUNTIME_TARGET_WINDOW = "SEARCH_OPTION_INVALID TARGET_RECALL and a window exclude each other" + _RESOLVER
RUNTIME_BOTH_RERANK = "SEARCH_OPTION_INVALID RERANK and OVERSAMPLING exclude each other" + _RESOLVER
RUNTIME_TWICE = "SEARCH_PARAM_DUP Parameter was specified twice" + _RESOLVER
RUNTIME_NOT_HYBRID = "SEARCH_HYBRID_ATTR_NON_HYBRID hybrid query attributes were sent for a non-hybrid query" + _RESOLVER
RUNTIME_POLICY = "SEARCH_HYBRID_POLICY_BAD invalid hybrid policy was given" + _RESOLVER
RUNTIME_ADHOC_BATCH = "SEARCH_ADHOC_BATCH_SIZE_IRRELEVANT 'batch size' is irrelevant for the selected policy" + _RESOLVER
RUNTIME_ADHOC_EF = "SEARCH_ADHOC_EF_RUNTIME_IRRELEVANT 'EF_RUNTIME' is irrelevant for the selected policy" + _RESOLVER
RUNTIME_NOT_RANGE = "SEARCH_RANGE_ATTR_NON_RANGE range query attributes were sent for a non-range query" + _RESOLVER
SHARD_RATIO_UNSTABLE = ("SEARCH_VALUE_BAD Shard k ratio is unavailable when `ENABLE_UNSTABLE_FEATURES` is off. "
                        "Enable it with `_FT.CONFIG SET ENABLE_UNSTABLE_FEATURES true`")
SHARD_RATIO_VALUE = "SEARCH_VALUE_BAD Invalid shard k ratio value '{}'"
SHARD_RATIO_RANGE = "SEARCH_VALUE_BAD Invalid shard k ratio value: Shard k ratio must be greater than 0 and at most 1 (got {})"

# ---- documents that cannot be indexed: what FT.INFO shows as the last indexing error
INVALID_NUMERIC_VALUE = "SEARCH_NUMERIC_VALUE_INVALID Invalid numeric value: '{}'"
BLOB_SIZE_MISMATCH = "SEARCH_VECTOR_BLOB_SIZE_MISMATCH Could not add vector with blob size {} (expected size {})"
VECTOR_NOT_FINITE = "SEARCH_VALUE_BAD Could not add vector: a coordinate is not a finite number"
GEO_NO_SEPARATOR = "SEARCH_PARSE_ARGS Invalid geo string: missing separator"
INVALID_GEO_COORDINATES = "SEARCH_GEO_COORDINATES_INVALID Invalid geo coordinates: {}, {}"
NOT_UTF8 = "SEARCH_VALUE_BAD Invalid UTF-8"
INVALID_GEO_STRING = "SEARCH_GEO_COORDINATES_INVALID Invalid geo string"
JSON_STRING = "SEARCH_JSON_TYPE_INVALID Invalid JSON type: String type can represent only TEXT, TAG, GEO or GEOMETRY field"
JSON_NUMBER = "SEARCH_JSON_TYPE_INVALID Invalid JSON type: Numeric type can represent only NUMERIC field"
JSON_BOOLEAN = "SEARCH_JSON_TYPE_INVALID Invalid JSON type: Boolean type can be represent only TAG field"
JSON_ARRAY = "SEARCH_JSON_TYPE_INVALID Invalid JSON type: Array type cannot represent GEOMETRY field"
JSON_OBJECT = "SEARCH_JSON_TYPE_INVALID Invalid JSON type: Object type can represent only GEOMETRY fields"
JSON_ONLY_STRINGS = "SEARCH_VALUE_BAD TEXT/TAG fields can only contain strings or nulls"
JSON_ONLY_NUMBERS = "SEARCH_VALUE_BAD NUMERIC fields can only contain numeric or nulls"
JSON_EMPTY_VECTOR = "SEARCH_VALUE_BAD Empty array for vector field on JSON document"
JSON_VECTOR_LENGTH = "SEARCH_VECTOR_LEN_BAD Invalid vector length. Expected {}, got {}"
JSON_VECTOR_ELEMENT = "SEARCH_GENERIC Invalid vector element at index {}"
BAD_SHAPE = "Error indexing geoshape: {}"

# ---- expressions (APPLY, FILTER)
EXPR_SYNTAX = "SEARCH_EXPR Syntax error at offset {} near '{}'"
EXPR_FUNCTION = "SEARCH_EXPR Unknown function name '{}'"
EXPR_SYMBOL = "SEARCH_EXPR Unknown symbol '{}'"
EXPR_ARITY = "SEARCH_EXPR Function '{}' expects {} arguments, but got {}"
EXPR_ARITY_RANGE = "SEARCH_EXPR Function '{}' expects between {} and {} arguments, but got {}"
EXPR_TOO_DEEP = "SEARCH_LIMIT_OVER Expression is nested more than {} levels deep"
EXPR_TOO_LONG = "SEARCH_LIMIT_OVER Expression has more than {} operations"
EXPR_PROPERTY = "SEARCH_PROP_NOT_FOUND Property not loaded nor in pipeline: `{}`"
EXPR_NO_VALUE = "SEARCH_VALUE_NOT_FOUND Could not find the value for a parameter name, consider using EXISTS if applicable for {}"
EXPR_NOT_A_NUMBER = "SEARCH_NUMERIC_VALUE_INVALID Could not convert value to a number"
EXPR_NO_ORDER = "SEARCH_NUMERIC_VALUE_INVALID Error converting string"
EXPR_TYPE_STRING = "SEARCH_PARSE_ARGS Invalid type ({}) for argument {} in function '{}'. VALIDATE_ARG__STRING(v, {}) was false."
EXPR_TYPE_NUMBER = "SEARCH_PARSE_ARGS Invalid type ({}) for argument {} in function '{}'. VALIDATE_ARG__NUMBER(v, {}) was false."
FORMAT_ARGUMENTS = "SEARCH_PARSE_ARGS Not enough arguments for format"
FORMAT_END = "SEARCH_PARSE_ARGS Bad format string!"
FORMAT_SPECIFIER = "SEARCH_PARSE_ARGS Unknown format specifier passed"
SUBSTR_TYPE = "SEARCH_PARSE_ARGS Invalid type for substr. Expected string"
TO_NUMBER = "SEARCH_PARSE_ARGS to_number: cannot convert string '{}'"
GEO_STRING = "SEARCH_GEO_FORMAT_BAD Invalid geo string"

# ---- FT.AGGREGATE, FT.CURSOR
NOT_FOR_AGGREGATE = "SEARCH_PARSE_ARGS {} is not supported on FT.AGGREGATE"
LOAD_COUNT = "SEARCH_PARSE_ARGS Bad arguments for LOAD: Expected number of fields or `*`"
LOAD_AS_END = "SEARCH_PARSE_ARGS LOAD path AS name - must be accompanied with NAME"
LOAD_AS_AS = "SEARCH_PARSE_ARGS Alias for LOAD cannot be `AS`"
LOAD_LATE = "SEARCH_QUERY_BAD LOAD cannot be applied after projectors or reducers"
GROUP_DUPLICATE = "SEARCH_FIELD_DUP Property `{}` specified more than once"
GROUP_PROPERTY = "SEARCH_PARSE_ARGS Bad arguments for GROUPBY: Unknown property `{}`. Did you mean `@{}`?"
SORT_DIRECTION = "SEARCH_PARSE_ARGS MISSING ASC or DESC after sort field ({})"
SORT_FIELDS = "SEARCH_LIMIT_OVER Cannot sort by more than {} fields"
SORT_TWICE = "SEARCH_PARSE_ARGS Multiple SORTBY steps are not allowed. Sort multiple fields in a single step"
EXPAND_DIALECT = "SEARCH_LIMIT_OVER EXPAND format requires dialect 3 or greater"
ALIAS_ARGUMENT = "SEARCH_PARSE_ARGS AS needs argument"
NO_REDUCER = "SEARCH_REDUCER_NOT_FOUND No such reducer: {}"
REDUCER_ARGUMENTS = "SEARCH_PARSE_ARGS Missing arguments for {}"
REDUCER_COUNT = "SEARCH_PARSE_ARGS Count accepts 0 values only"
REDUCER_PERCENTAGE = "SEARCH_PARSE_ARGS Percentage must be between 0.0 and 1.0"
REDUCER_SAMPLE = "SEARCH_PARSE_ARGS Sample size too large"
REDUCER_PROPERTY = "SEARCH_PROP_NOT_FOUND Property is not present in document or pipeline: `{}`"
COLLECT_FIELDS = "SEARCH_PARSE_ARGS Expected number of fields or `*` after FIELDS"
COLLECT_FIELD_COUNT = "SEARCH_LIMIT_OVER FIELDS count must be in [1, {}]"
COLLECT_FIELDS_FEW = "SEARCH_PARSE_ARGS Not enough arguments were provided based on argument count for FIELDS"
COLLECT_PREFIX = "SEARCH_PARSE_ARGS Missing prefix: name requires '@' prefix ({})"
GROUPS_MAXIMUM = "SEARCH_LIMIT_OVER GROUPBY makes more groups than MAX_AGGREGATE_GROUPS: {}"
COLLECT_KEYS = "SEARCH_LIMIT_OVER SORTBY exceeds maximum of {} fields"
COLLECT_LIMIT = "SEARCH_PARSE_ARGS LIMIT {} must be a {} integer"
COLLECT_MAXIMUM = "SEARCH_LIMIT_OVER LIMIT {} exceeds maximum of {}"
CURSOR_LIMIT = "SEARCH_CURSOR_ALLOC_FAILED INDEX_CURSOR_LIMIT of {} has been reached for an index"
CURSOR_ID = "Bad cursor ID"
CURSOR_NOT_FOUND = "Cursor not found, id: {}"
CURSOR_MISSING = "Cursor does not exist"
CURSOR_COUNT = "Bad value for COUNT: `{}`"
CURSOR_PROFILE = "cursor request is not profile"
CURSOR_SUBCOMMAND = "Unknown subcommand"

# ---- FT.HYBRID
HYBRID_COUNT_MISSING = "SEARCH_PARSE_ARGS Missing subqueries count for FT.HYBRID"
HYBRID_COUNT = "SEARCH_SYNTAX Invalid subqueries count: expected an unsigned integer"
HYBRID_COUNT_TWO = "SEARCH_PARSE_ARGS FT.HYBRID currently supports only two subqueries"
HYBRID_SEARCH = "SEARCH_SYNTAX SEARCH keyword is required"
HYBRID_TEXT = "SEARCH_PARSE_ARGS No query string provided for SEARCH"
HYBRID_UNKNOWN_IN = "SEARCH_ARG_UNRECOGNIZED Unknown argument `{}` in {}"
HYBRID_DIALECT = ("SEARCH_PARSE_ARGS DIALECT is not supported in FT.HYBRID or any of its subqueries. "
                  "Please check the documentation on search-default-dialect configuration.")
HYBRID_VSIM = "SEARCH_SYNTAX VSIM argument is required"
HYBRID_FIELD_MISSING = "SEARCH_SYNTAX Missing vector field name"
HYBRID_FIELD_PREFIX = "SEARCH_SYNTAX Missing @ prefix for vector field name"
HYBRID_VECTOR_MISSING = "SEARCH_SYNTAX Missing vector argument"
HYBRID_VECTOR_PARAM = "SEARCH_SYNTAX Invalid vector argument, expected a parameter name starting with $"
HYBRID_PAIRS_MISSING = "SEARCH_PARSE_ARGS Missing argument count"
HYBRID_PAIRS_NUMBER = "SEARCH_PARSE_ARGS Invalid argument count: expected an unsigned integer"
HYBRID_PAIRS = "SEARCH_SYNTAX Invalid argument count: {} (must be a positive even number for key/value pairs)"
HYBRID_PAIRS_FEW = "SEARCH_SYNTAX Expected arguments {}, but {} {} provided"
HYBRID_TWICE = "SEARCH_PARAM_DUP Duplicate {} argument"
HYBRID_NO_VALUE = "SEARCH_PARSE_ARGS Missing argument value for {}"
HYBRID_VALUE = "SEARCH_SYNTAX Invalid {} value"
HYBRID_REQUIRED = "SEARCH_PARSE_ARGS Missing required argument {}"
HYBRID_FILTER_COUNT = "SEARCH_PARSE_ARGS Missing argument count for FILTER"
HYBRID_FILTER_TEXT = "SEARCH_PARSE_ARGS Missing filter-expression for FILTER"
HYBRID_FEW = "SEARCH_SYNTAX Not enough arguments in {}, specified {} but provided only {}"
HYBRID_CLAUSE_MISSING = "SEARCH_PARSE_ARGS Missing {} argument count"
HYBRID_CLAUSE_COUNT = "SEARCH_PARSE_ARGS Invalid {} argument count, error: {}"
HYBRID_CLAUSE_PAIRS = "SEARCH_PARSE_ARGS {} expects pairs of key value arguments, argument count must be an even number"
HYBRID_WEIGHT_MISSING = "SEARCH_SYNTAX Missing value for {}"
HYBRID_YIELD_TWICE = "SEARCH_PARSE_ARGS YIELD_SCORE_AS specified more than once"
HYBRID_ARGUMENT = "SEARCH_PARSE_ARGS {}: {}"
HYBRID_LIMIT = "SEARCH_PARSE_ARGS LIMIT {} must be a non-negative integer"
HYBRID_SORT_CONFLICT = "SEARCH_PARSE_ARGS NOSORT is not allowed with SORTBY"
HYBRID_EXPLAIN_GROUP = "SEARCH_PARSE_ARGS EXPLAINSCORE is not supported with GROUPBY"
NO_PREFIX = ("SEARCH_PARSE_ARGS Missing prefix: name requires '@' prefix, JSON path require '$' prefix, "
                    "got: {} in {}")
HYBRID_FIELD_UNKNOWN = "SEARCH_SYNTAX Unknown field `{}`"
HYBRID_FIELD_KIND = "SEARCH_SYNTAX Expected a VECTOR field `{}`"
HYBRID_NO_VECTORS = "SEARCH_VECTOR_NOT_ALLOWED Vector expressions are not allowed in FT.HYBRID {}"
HYBRID_NO_WEIGHTS = "SEARCH_WEIGHT_NOT_ALLOWED Weight attributes are not allowed in FT.HYBRID VSIM FILTER"

# ---- what this server does not do
ENGINE_REFUSED = "SEARCH_GENERIC {}"
AGGREGATION_FAILED = "SEARCH_GENERIC The aggregation failed: {}"
ENGINE_FAILED = "SEARCH_GENERIC The vector engine failed: {}"

# ---- words: dictionaries, synonyms, spelling, suggestions
TOO_MANY_SYNONYMS = "SEARCH_LIMIT_OVER Maximum synonym terms limit reached"
TOO_MANY_GROUPS = "SEARCH_LIMIT_OVER Maximum group IDs per term limit reached"
SYNADD = "No longer supported, use FT.SYNUPDATE"
SPELL_DISTANCE = "SEARCH_PARSE_ARGS bad distance given, distance must be a natural number between 1 to 4"
SPELL_DISTANCE_MISSING = "SEARCH_PARSE_ARGS DISTANCE arg is given but no DISTANCE comes after"
SPELL_TERMS_MISSING = "SEARCH_PARSE_ARGS TERM arg is given but no TERM params comes after"
SPELL_OPERATION = "SEARCH_PARSE_ARGS bad format, exclude/include operation was not given"
SPELL_DICTIONARY = "SEARCH_PARSE_ARGS Dict does not exist: {}"
SUGGEST_SCORE = "ERR invalid score"
SUGGEST_PAYLOAD = "SEARCH_PARSE_ARGS Invalid payload: Expected an argument, but none provided"
SUGGEST_ARGUMENT = "SEARCH_PARSE_ARGS Unrecognized argument: {}"
SUGGEST_QUERY = "SEARCH_SUGGEST_INVALID_QUERY Invalid query"
SUGGEST_LENGTH = "Invalid query length"
SUGGEST_MAX = "SEARCH_PARSE_ARGS MAX: {}"

# ---- FT.ADD
DOCUMENT_SCORE = "SEARCH_ADD_ARGS Could not parse the document's score"
DOCUMENT_SCORE_RANGE = "SEARCH_ADD_ARGS Score must be between 0 and 1"
DOCUMENT_WORD = "SEARCH_ADD_ARGS Unknown keyword `{}` provided"
DOCUMENT_NO_FIELDS = "SEARCH_ADD_ARGS No field list found"
DOCUMENT_PAIRS = "SEARCH_ADD_ARGS Fields must be specified in FIELD VALUE pairs"
DOCUMENT_LANGUAGE = "SEARCH_ADD_ARGS Unsupported language: {}"
DOCUMENT_EXISTS = "SEARCH_DOCUMENT_EXISTS Document already exists"
DOCUMENT_MISSING = "SEARCH_DOCUMENT_NOT_ADDED Document does not exist"
DOCUMENT_KEY_TYPE = "SEARCH_REDIS_KEY_TYPE_BAD Invalid Redis key"

# ---- FT.CONFIG, aliases
CONFIG_VALUE = "SEARCH_PARSE_ARGS {}"
BAD_CHOICE = "SEARCH_VALUE_BAD Invalid {} value"
DEFAULT_SCORER = "SEARCH_VALUE_BAD Invalid default scorer value"
TOO_MANY_WORKERS = "SEARCH_LIMIT_OVER Number of worker threads cannot exceed {}"
RANGE_PARENTS = "SEARCH_LIMIT_OVER Max depth for range cannot be higher than max depth for balance"
MEMORY_PERCENT = "SEARCH_LIMIT_OVER Memory limit for indexing cannot be greater then 100%"
TANH_FACTOR = "SEARCH_LIMIT_OVER BM25STD_TANH_FACTOR must be between 1 and {} inclusive"
SLEEP_DURATION = "SEARCH_LIMIT_OVER BG_INDEX_SLEEP_DURATION_US must be between 1 and {}"
DIALECT_TOO_HIGH = "SEARCH_VALUE_BAD Default dialect version cannot be higher than 4"
STEM_TOO_SHORT = "SEARCH_VALUE_BAD Minimum stem length cannot be lower than 2"
SCORER_UNSTABLE = ("SEARCH_VALUE_BAD `search-default-scorer` is unavailable when `search-enable-unstable-features` is off. "
                   "Enable it with `CONFIG SET search-enable-unstable-features true`")
COUNT_UNSTABLE = "FT.AGGREGATE + WITHCOUNT is not available when `ENABLE_UNSTABLE_FEATURES` is off"
NO_SUCH_ACTION = "No such configuration action"
TRIM_MIN = "_MIN_TRIM_DELAY_MS ({}) must be less than _MAX_TRIM_DELAY_MS ({})"
TRIM_MAX = "_MAX_TRIM_DELAY_MS ({}) must be greater than _MIN_TRIM_DELAY_MS ({})"
NO_SUCH_SUBCOMMAND = "SEARCH_PARSE_ARGS No such subcommand"
ALIAS_NOT_OF_INDEX = "Alias does not belong to provided spec"
NOT_A_VECTOR_FIELD = "SEARCH_ATTR_BAD Not a vector field"
MEASURE_ARGUMENT = "SEARCH_PARSE_ARGS Unknown argument `{}`: there are {}"
MEASURE_VALUE = "SEARCH_PARSE_ARGS {} must be an integer from {} to {}"
MEASURE_SOURCE = "SEARCH_PARSE_ARGS SOURCE must be QUERIES or DOCUMENTS"
TUNE_FEW = "SEARCH_GENERIC There are {} vectors; a comparison takes at least {}"
RETRAIN_BUSY = "SEARCH_GENERIC The field is being trained already"
RETRAIN_EMPTY = "SEARCH_GENERIC The field has no vectors to learn from"
RETRAIN_NOTHING = "SEARCH_PARSE_ARGS The field has no compression: COMPRESSION must name one"
RETRAIN_NONE = "SEARCH_PARSE_ARGS COMPRESSION NONE is for fields of TYPE FLOAT32"
RETRAIN_CHOICE = "SEARCH_PARSE_ARGS {} must be one of {}"
RETRAIN_REDUCE = "SEARCH_PARSE_ARGS REDUCE must be an integer from 1 to {}"
MEASUREMENT_FAILED = "SEARCH_GENERIC The measurement failed: {}"
EXPANSIONS_WARNING = b"Max prefix expansions limit was reached"
TIMEOUT_WARNING = b"Timeout limit was reached"
#: What a reply warns of that is empty because maxmemory is exceeded.
OOM_WARNING = b"Coordinator failed to execute the query due to insufficient memory"
CAPPED_WARNING = (
    b"Query TIMEOUT exceeded the configured maximum (search-_max-foreground-timeout-limit) while search-workers is disabled; "
    b"effective timeout was capped")

# ---- _FT.DEBUG
NO_INVERTED_INDEX = "Can not find the inverted index"
NO_NUMERIC_INDEX = "Could not find given field in index spec"
NO_TAG_INDEX = "Could not find given field in index spec"
NO_SHAPE_INDEX = "Could not find given field in index spec"
NO_DEBUG_FIELD = "Could not find given field in index spec"
NO_SUFFIXES = "Index does not have suffix trie"
BAD_DEBUG_ARGUMENT = "SEARCH_PARSE_ARGS Could not convert argument to expected type"
BAD_DOC_ID = "bad id given"
DOC_REMOVED = "document was removed"
NO_DEBUG_INDEX = "Unknown index name"
NOT_TEMPORARY = "Index is not temporary"
NO_TIMER = "Index does not have a timer"
GC_RUNS = "GC is already running periodically"
NO_VECTOR_INDEX = "Vector index not found"
BAD_WORKERS = "Invalid argument for 'WORKERS' subcommand"
WORKERS_ALREADY = "Operation failed: workers thread pool doesn't exists or is {}"
WORKERS_ARE_PAUSED = "Operation failed: workers thread pool is not running"
DEBUG_COUNT_MISSING = "SEARCH_PARSE_ARGS DEBUG_PARAMS_COUNT arg not found"
DEBUG_COUNT_ABSENT = "SEARCH_PARSE_ARGS DEBUG_PARAMS_COUNT arg is missing"
DEBUG_INTERNAL = "SEARCH_PARSE_ARGS INTERNAL_ONLY is not supported without TIMEOUT_AFTER_N or PAUSE_AFTER_RP_N/PAUSE_BEFORE_RP_N"
DEBUG_COUNT = "SEARCH_PARSE_ARGS Invalid DEBUG_PARAMS_COUNT count"
DEBUG_COUNT_HIGH = "SEARCH_PARSE_ARGS DEBUG_PARAMS_COUNT exceeds the number of arguments"
DEBUG_WORD = "SEARCH_PARSE_ARGS Unrecognized argument: {}"
DEBUG_NO_VALUE = "SEARCH_PARSE_ARGS {}: Expected an argument, but none provided"
DEBUG_VALUE = "SEARCH_PARSE_ARGS Invalid {} count"
