"""Every error text of the core commands and of the protocol that a client can see.
The search module's are in commands/ft/errors.py."""


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
LONG_RANGE = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
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
NO_LFU = ("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between "
          "policies at runtime LRU and LFU data will take some time to adjust.")

NO_LRU = ("ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at "
          "runtime LRU and LFU data will take some time to adjust.")

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
VALUE_NAN_OR_INFINITY = "ERR value is NaN or Infinity"
FIELDS_MISSING = "ERR Mandatory argument FIELDS is missing or not at the right position"
FIELDS_COUNT = "ERR Parameter `numFields` should be greater than 0"
FIELDS_POSITIVE = "ERR Number of fields must be a positive integer"
FIELDS_INVALID = "ERR invalid number of fields"
FIELDS_CONDITION = "ERR Only one of FXX or FNX arguments can be specified"
FIELDS_EXPIRY = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
UNKNOWN_ARGUMENT = "ERR unknown argument: {}"
NO_VALUES_ONLY_HSCAN = "ERR NOVALUES option can only be used in HSCAN"
IDS_POSITIVE = "ERR Number of IDs must be a positive integer"
IDS_MISMATCH = "ERR The `numids` parameter must match the number of arguments"
BOUNDS_CROSSED = "ERR LBOUND must not be greater than UBOUND"
FIELDS_MISMATCH = "ERR The `numfields` parameter must match the number of arguments"
EXPIRE_RANGE = "ERR invalid expire time, must be >= 0"

# Lists and sets
NUMKEYS_POSITIVE = "ERR numkeys should be greater than 0"
NUMKEYS_TOO_MANY = "ERR Number of keys can't be greater than number of args"
COUNT_POSITIVE = "ERR count should be greater than 0"
LIMIT_NEGATIVE = "ERR LIMIT can't be negative"
TIMEOUT_NOT_FLOAT = "ERR timeout is not a float or out of range"
TIMEOUT_NEGATIVE = "ERR timeout is negative"
TIMEOUT_RANGE = "ERR timeout is out of range"
LPOS_RANK = ("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start "
             "from the end of the list")
LPOS_COUNT = "ERR COUNT can't be negative"
LPOS_MAXLEN = "ERR MAXLEN can't be negative"
NOT_A_DOUBLE = "ERR One or more scores can't be converted into double"

# Sorted sets
ZADD_NX_XX = "ERR XX and NX options at the same time are not compatible"
ZADD_GT_LT_NX = "ERR GT, LT, and/or NX options at the same time are not compatible"
ZADD_INCR_ONE = "ERR INCR option supports a single increment-element pair"
SCORE_NAN = "ERR resulting score is not a number (NaN)"
SCORE_RANGE = "ERR min or max is not a float"
LEX_RANGE = "ERR min or max not valid string range item"
LIMIT_NEEDS_RANGE = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
NO_SCORES_BY_LEX = "ERR syntax error, WITHSCORES not supported in combination with BYLEX"
NO_INPUT_KEYS = "ERR at least 1 input key is needed for '{}' command"
WEIGHT_NOT_FLOAT = "ERR weight value is not a float"

# Streams
BAD_STREAM_ID = "ERR Invalid stream ID specified as stream command argument"
BAD_STREAM_INTERVAL = "ERR invalid {} ID for the interval"
STREAM_ID_ZERO = "ERR The ID specified in XADD must be greater than 0-0"
STREAM_ID_SMALLER = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
STREAM_EXHAUSTED = "ERR The stream has exhausted the last possible ID, unable to add more items"
MAXLEN_AND_MINID = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"
MAXLEN_STREAM = "ERR The MAXLEN argument must be >= 0."
LIMIT_STREAM = "ERR The LIMIT argument must be >= 0."
LIMIT_NEEDS_TILDE = "ERR syntax error, LIMIT cannot be used without the special ~ option"
XSETID_SMALLER = "ERR The ID specified in XSETID is smaller than the target stream top item"
XSETID_ADDED = "ERR The entries_added specified in XSETID is smaller than the target stream length"
XSETID_NEGATIVE = "ERR entries_added must be positive"
XSETID_MAX_DELETED = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
UNBALANCED_STREAMS = "ERR Unbalanced '{}' list of streams: for each stream key an ID or {} must be specified."
NO_GROUP_IN_XREAD = "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead."
MISSING_GROUP = "ERR Missing GROUP option for XREADGROUP"
ARROW_NEEDS_GROUP = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
DOLLAR_IN_GROUP = (
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a "
    "proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.")
NO_GROUP_TO_READ = "NOGROUP No such key '{}' or consumer group '{}' in XREADGROUP with GROUP option"
NO_GROUP = "NOGROUP No such consumer group '{}' for key name '{}'"
NO_KEY_OR_GROUP = "NOGROUP No such key '{}' or consumer group '{}'"
GROUP_EXISTS = "BUSYGROUP Consumer Group name already exists"
GROUP_GONE = "NOGROUP the consumer group this client was blocked on no longer exists"
GROUP_NEEDS_KEY = ("ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "
                   "option to create an empty stream automatically.")
ENTRIES_READ = "ERR value for ENTRIESREAD must be positive or -1"
MIN_IDLE = "ERR Invalid min-idle-time argument for {}"
XCLAIM_OPTION = "ERR Unrecognized XCLAIM option '{}'"
XAUTOCLAIM_COUNT = "ERR COUNT must be > 0"

# Dispatch, connections, server
UNKNOWN_COMMAND = "ERR unknown command '{}', with args beginning with: {}"
UNKNOWN_SUBCOMMAND = "ERR unknown subcommand '{}'. Try {} HELP."
INTERNAL = "ERR internal error: {}"
NO_AUTH = "NOAUTH Authentication required."
OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'."
LOADING = "LOADING Redis is loading the dataset in memory"
SUBSCRIBED_CONTEXT = (
    "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
NOT_IN_MULTI = "ERR Command not allowed inside a transaction"
PROTOCOL_ERROR = "ERR Protocol error: {}"
MAX_CLIENTS = "ERR max number of clients reached"
PROTECTED_MODE = (
    "DENIED vamana-server is running in protected mode because protected mode is enabled and no password is set for the "
    "default user. In this mode connections are only accepted from the loopback interface. To accept others, set a password "
    "with requirepass, or send CONFIG SET protected-mode no from the loopback interface, or start the server with "
    "--protected-mode no.")
NO_PROTO = "NOPROTO unsupported protocol version"
PROTO_NOT_INTEGER = "ERR Protocol version is not an integer or out of range"
HELLO_SYNTAX = "ERR Syntax error in HELLO option '{}'"
HELLO_NO_AUTH = ("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
                 "<pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled."
AUTH_WITHOUT_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration "
    "is correct?")
DB_INDEX_RANGE = "ERR DB index is out of range"
BAD_CLIENT_NAME = "ERR Client names cannot contain spaces, newlines or special characters."
BAD_CLIENT_INFO = "ERR {} cannot contain spaces, newlines or special characters."
BAD_CLIENT_OPTION = "ERR Unrecognized option '{}'"
BAD_CLIENT_ID = "ERR Invalid client ID"
BAD_CLIENT_TYPE = "ERR Unknown client type '{}'"
NO_SUCH_CLIENT = "ERR No such client"
NO_SUCH_USER = "ERR No such user '{}'"
CLIENT_ID_POSITIVE = "ERR client-id should be greater than 0"
CLIENT_MAXAGE = "ERR maxage is not an integer or out of range"
CLIENT_MAXAGE_POSITIVE = "ERR maxage should be greater than 0"
GEO_NOT_A_PLACE = "ERR invalid longitude,latitude pair {:f},{:f}"
GEO_UNIT = "ERR unsupported unit provided. please use M, KM, FT, MI"
GEO_MEMBER = "ERR could not decode requested zset member"
GEO_RADIUS = "ERR need numeric radius"
GEO_RADIUS_NEGATIVE = "ERR radius cannot be negative"
GEO_WIDTH = "ERR need numeric width"
GEO_HEIGHT = "ERR need numeric height"
GEO_BOX_NEGATIVE = "ERR height or width cannot be negative"
GEO_COUNT = "ERR COUNT must be > 0"
GEO_ANY_NEEDS_COUNT = "ERR the ANY argument requires COUNT argument"
GEO_STORE_WITH = "ERR {} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
GEO_ONE_CENTRE = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {}"
GEO_ONE_SHAPE = "ERR exactly one of BYRADIUS and BYBOX can be specified for {}"
NOT_A_HLL = "WRONGTYPE Key is not a valid HyperLogLog string value."
HLL_CORRUPTED = "INVALIDOBJ Corrupted HLL object detected"
HLL_NOT_SPARSE = "ERR HLL encoding is not sparse"
HLL_SELF_TEST = "ERR HyperLogLogs do not survive being stored, or do not count right"
PFDEBUG_NO_KEY = "ERR The specified key does not exist"
PFDEBUG_SUBCOMMAND = "ERR Unknown PFDEBUG subcommand '{}'"
REDIRECT_TWICE = "ERR A client can only redirect to a single other client"
NO_REDIRECT = "ERR The client ID you want redirect to does not exist"
PREFIX_NEEDS_BCAST = "ERR PREFIX option requires BCAST mode to be enabled"
BCAST_SWITCHED = (
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a "
    "different mode.")
OPT_WITH_BCAST = "ERR OPTIN and OPTOUT are not compatible with BCAST"
OPT_BOTH = "ERR You can't specify both OPTIN mode and OPTOUT mode"
OPT_SWITCHED = (
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a "
    "different mode.")
PREFIX_OVERLAP = "ERR Prefix '{}' overlaps with {} prefix '{}'. Prefixes for a single client must not overlap."
CACHING_NEEDS_OPT = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
CACHING_YES = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
CACHING_NO = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."
UNBLOCKED = "UNBLOCKED client unblocked via CLIENT UNBLOCK"
UNBLOCK_REASON = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"
NO_CLUSTER = "ERR This instance has cluster support disabled"
NO_REPLICATION = "ERR replication is not supported by this server yet"
SAVE_IN_PROGRESS = "ERR Background save already in progress"
SAVE_FAILED = "ERR"
REWRITE_IN_PROGRESS = "ERR Background append only file rewriting already in progress"
REWRITE_IN_PROGRESS_FOR_SAVE = (
    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a "
    "BGSAVE whenever possible.")
RELOAD_FAILED = "ERR Error trying to load the RDB dump, check server logs."
SHUTDOWN_FAILED = "ERR Errors trying to SHUTDOWN. Check logs."
MISCONF_AOF = "MISCONF Errors writing to the AOF file: {}"
MISCONF_RDB = ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that "
               "may modify the data set are disabled, because this instance is configured to report errors during writes if "
               "RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the "
               "RDB error.")
BAD_DUMP = "ERR DUMP payload version or checksum are wrong"
BAD_DUMP_DATA = "ERR Bad data format"
BUSY_KEY = "BUSYKEY Target key name already exists."
RESTORE_TTL = "ERR Invalid TTL value, must be >= 0"
RESTORE_IDLETIME = "ERR Invalid IDLETIME value, must be >= 0"
RESTORE_FREQ = "ERR Invalid FREQ value, must be >= 0 and <= 255"
FUNCTION_FLUSH = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option"
NO_SHUTDOWN = "ERR No shutdown in progress."
NO_MODULES = "ERR modules cannot be loaded or unloaded: they are part of this server"
UNKNOWN_SUBCOMMAND_OR_ARITY = "ERR unknown subcommand or wrong number of arguments for '{}'. Try {} HELP."
NO_COMMAND_PERMISSION = "NOPERM User {} has no permissions to run the '{}' command"
NO_KEY_PERMISSION = "NOPERM No permissions to access a key"
NO_CHANNEL_PERMISSION = "NOPERM No permissions to access a channel"
NO_INDEX_PERMISSION = "NOPERM User does not have the required permissions to query the index"
ACL_CHANGED_IN_MULTI = (
    "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no "
    "longer allowed for the following reason: {}")
ACL_REASONS = {"command": "no permission to execute the command", "key": "no permission to touch the specified keys",
               "channel": "no permission to access one of the channels used as arguments to the command"}
BAD_USER_NAME = "ERR Usernames can't contain spaces or null characters"
BAD_RULE = "ERR Error in ACL SETUSER modifier '{}': {}"
DEFAULT_USER_STAYS = "ERR The 'default' user cannot be removed"
NO_USER_FOUND = "ERR User '{}' not found"
NO_COMMAND_FOUND = "ERR Command '{}' not found"
NO_ACL_FILE = ("ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL "
               "SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to "
               "store users in the Redis configuration.")
ACL_FILE_KEPT = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
ACL_SAVE_FAILED = "ERR There was an error trying to save the ACLs. Please check the server logs for more information"
USERS_TWICE = "users are defined in the configuration file and in an ACL file (aclfile): have them in one of the two, not both"
SORT_BY_DENIED = "ERR BY option of SORT denied due to insufficient ACL permissions."
SORT_GET_DENIED = "ERR GET option of SORT denied due to insufficient ACL permissions."
ACL_GENPASS_BITS = "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096"
CONFIG_UNKNOWN = "ERR Unknown option or number of arguments for CONFIG SET - '{}'"
CONFIG_FAILED = "ERR CONFIG SET failed (possibly related to argument '{}') - {}"
CONFIG_NO_FILE = "ERR The server is running without a config file"
CONFIG_REWRITE_FAILED = "ERR Rewriting config file: {}"
GETKEYS_UNKNOWN = "ERR Invalid command specified"
GETKEYS_ARITY = "ERR Invalid number of arguments specified for command"
GETKEYS_NONE = "ERR The command has no key arguments"
GETKEYS_INVALID = "ERR Invalid arguments specified for command"
DEBUG_REFUSED = (
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local "
    "connection, otherwise you need to set this option in the configuration file, and then restart the server.")
TIMEOUT_NOT_INTEGER = "ERR timeout is not an integer or out of range"
OUT_OF_RANGE = "ERR value is out of range"
LONG_RANGE = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
SLOWLOG_COUNT = "ERR count should be greater than or equal to -1"
NO_SAMPLES = "ERR No samples available for event '{}'"
UNKNOWN_CATEGORY = "ERR Unknown category '{}'"
NESTED_MULTI = "ERR MULTI calls can not be nested"
EXEC_WITHOUT_MULTI = "ERR EXEC without MULTI"
DISCARD_WITHOUT_MULTI = "ERR DISCARD without MULTI"
WATCH_IN_MULTI = "ERR WATCH inside MULTI is not allowed"
EXEC_ABORT = "EXECABORT Transaction discarded because of previous errors."
EXEC_ABORT_REASON = "EXECABORT Transaction discarded because of: {}"
MONITOR_IN_MULTI = "ERR MONITOR isn't allowed for DENY BLOCKING client"
