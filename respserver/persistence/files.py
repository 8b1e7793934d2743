"""Files that are either the old or the new one, whenever the machine stops."""
import os
import re
from collections.abc import Iterable


def sync_directory(path: str) -> None:
    """Makes what was created, renamed or removed in a directory last. Raises OSError."""
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data) -> None:
    """Writes all of it, in as many calls as it takes. Raises OSError; part of it may have been written then."""
    view = memoryview(data)
    while view:
        n = os.write(fd, view)
        view = view[n:]


def replace_file(path: str, parts: Iterable[bytes]) -> None:
    """Has `path` hold the parts, joined: written beside it, synchronised and renamed. Raises OSError, with `path` as it was."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            for part in parts:
                write_all(fd, part)
            os.fsync(fd)
        finally:
            os.close(fd)
        publish(temporary, path)
    except OSError:
        remove(temporary)
        raise


def publish(temporary: str, path: str) -> None:
    """Renames a synchronised file to its place, for good. Raises OSError."""
    os.rename(temporary, path)
    sync_directory(os.path.dirname(path))


def remove_leftovers(directory: str, name: str) -> int:
    """Removes what processes that are gone had not finished: the files whose names are `name`, a regular expression of which
    the first group is a process id. Returns how many there were."""
    try:
        found = [(entry.path, match) for entry in os.scandir(directory) if (match := re.fullmatch(name, entry.name))]
    except OSError:
        return 0
    found = [path for path, match in found if int(match[1]) == os.getpid() or not os.path.exists(f"/proc/{match[1]}")]
    for path in found:
        remove(path)
    return len(found)


def remove(path: str) -> None:
    """Removes a file if it is there and can be."""
    try:
        os.unlink(path)
    except OSError:
        pass
