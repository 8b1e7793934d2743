"""Every command in the registry refuses the wrong number of words as Redis does."""
import pytest

import commands  # noqa: F401
from respserver.registry import COMMANDS

RECORDS = {record.wire_name: record for command in COMMANDS.values() for record in (command, *command.subcommands.values())}


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_arity(raw, own_server, name):
    record = RECORDS[name]
    words = record.name.split()
    n = abs(record.arity)
    wrong = []
    if len(words) < n and not (record.subcommands and n == 2):
        wrong.append(words + ["0"] * (n - 1 - len(words)))
    if record.arity > 0:
        wrong.append(words + ["0"] * (n + 1 - len(words)))
    if record.function is None:
        wrong = [words]
    for call in wrong:
        assert raw.call(*call) == f"ERR wrong number of arguments for '{name}' command"


def test_records_are_complete():
    for record in RECORDS.values():
        assert record.summary and record.group and record.since.count(".") == 2, record.name
        assert record.arity != 0 and len(record.keys) == 3, record.name
        assert ("write" in record.flags) + ("readonly" in record.flags) < 2, record.name
