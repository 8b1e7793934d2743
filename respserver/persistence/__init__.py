"""What outlives the process: the append-only file, snapshots in RDB format, and how both are read again.

    files           atomic files, directory synchronisation
    crc64           the check sum of RDB files and DUMP payloads
    packed          the packed encodings that Redis stores small values in: listpack, ziplist, intset, zipmap, LZF
    rdb_write       values and databases to RDB
    rdb_read        RDB to values and databases
    module_types    how values of modules (JSON, suggestions) are written
    as_commands     values and databases as the commands that make them
    manifest        which files make up the append-only file
    journal         the commands of this turn, written and synchronised as appendfsync says
    replay          an append-only file back into commands
    child           a forked process that writes the state of one moment
    keeper          the part of the server that ties them together: start, save points, rewriting, failures, the end
"""
