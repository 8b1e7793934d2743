"""Every error text of the core commands and of the protocol that a client can see. The search module's are in commands/ft/errors.py."""


class CommandError(Exception):
    """An error reply. `text` is what follows the minus sign, code word first: "ERR syntax error"."""

    def __init__(self, text: str):
        super().__init__(text)
        self.text = text


class ProtocolError(Exception):
    """Input that is not RESP: the text is sent as "-ERR Protocol error: <text>" and the connection is closed."""


SYNTAX = "ERR syntax error"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
NOT_A_FLOAT = "ERR value is not a valid float"
NO_SUCH_KEY = "ERR no such key"
WRONG_ARITY = "ERR wrong number of arguments for '{}' command"

# Numbers, offsets and sizes
OVERFLOW = "ERR increment or decrement would overflow"
DECREMENT_OVERFLOW = "ERR decrement would overflow"
NAN_OR_INFINITY = "ERR increment would produce NaN or Infinity"
OUT_OF_RANGE = "ERR value is out of range"
NOT_POSITIVE = "ERR value is out of range, must be positive"
OFFSET_OUT_OF_RANGE = "ERR offset is out of range"
INDEX_OUT_OF_RANGE = "ERR index out of range"
STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
INVALID_CURSOR = "ERR invalid cursor"

# Expiry
INVALID_EXPIRE = "ERR invalid expire time in '{}' command"
EXPIRE_NX_OTHERS = "ERR NX and XX, GT or LT options at the same time are not compatible"
EXPIRE_GT_LT = "ERR GT and LT options at the same time are not compatible"
UNSUPPORTED_OPTION = "ERR Unsupported option {}"

# Generic
SAME_OBJECT = "ERR source and destination objects are the same"
DB_INDEX = "ERR DB index is out of range"
INVALID_FIRST_DB = "ERR invalid first DB index"
INVALID_SECOND_DB = "ERR invalid second DB index"
UNKNOWN_TYPE = "ERR unknown type name '{}'"
NO_LFU = ("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies "
          "at runtime LRU and LFU data will take some time to adjust.")

# Strings and bitmaps
LCS_NOT_STRINGS = "ERR The specified keys must contain string values"
LCS_LEN_AND_IDX = "ERR If you want both the length and indexes, please just use IDX."
LCS_MEMORY = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
CONDITION_NEEDS_STRING = "ERR Key should be of string type if conditions are specified"
BIT_OFFSET = "ERR bit offset is not an integer or out of range"
BIT_VALUE = "ERR bit is not an integer or out of range"
BIT_ARGUMENT = "ERR The bit argument must be 1 or 0."
BITOP_NOT_ONE_KEY = "ERR BITOP NOT must be called with a single source key."
BITOP_TWO_KEYS = "ERR BITOP {} must be called with at least two source keys."
BITFIELD_TYPE = ("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
BITFIELD_OVERFLOW = "ERR Invalid OVERFLOW type specified"
BITFIELD_READONLY = "ERR BITFIELD_RO only supports the GET subcommand"

# Hashes
HASH_NOT_INTEGER = "ERR hash value is not an integer"
HASH_NOT_FLOAT = "ERR hash value is not a float"
FIELDS_MISSING = "ERR Mandatory argument FIELDS is missing or not at the right position"
FIELDS_COUNT = "ERR Parameter `numFields` should be greater than 0"
FIELDS_MISMATCH = "ERR The `numfields` parameter must match the number of arguments"
FIELDS_MISMATCH_STRICT = "ERR Parameter `numFields` is more than number of arguments"
EXPIRE_RANGE = "ERR invalid expire time, must be >= 0"

# Lists and sets
NUMKEYS_POSITIVE = "ERR numkeys should be greater than 0"
NUMKEYS_TOO_MANY = "ERR Number of keys can't be greater than number of args"
COUNT_POSITIVE = "ERR count should be greater than 0"
LIMIT_NEGATIVE = "ERR LIMIT can't be negative"
TIMEOUT_NOT_FLOAT = "ERR timeout is not a float or out of range"
TIMEOUT_NEGATIVE = "ERR timeout is negative"
TIMEOUT_RANGE = "ERR timeout is out of range"
LPOS_RANK = ("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end "
             "of the list")
LPOS_COUNT = "ERR COUNT can't be negative"
LPOS_MAXLEN = "ERR MAXLEN can't be negative"
NOT_A_DOUBLE = "ERR One or more scores can't be converted into double"
