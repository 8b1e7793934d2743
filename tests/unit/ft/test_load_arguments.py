"""loadmodule lines: the arguments of the search module, as Redis's configuration files have them."""
import pytest

import commands
from commands.ft.config import ft_config
from respserver import cli
from respserver.client import Client
from respserver.config import Config, ConfigError
from respserver.state import Server


def started(*words: str) -> Server:
    config = Config()
    server = Server(config)
    commands.load(server)
    cli.apply(config, *cli.split_arguments(list(words)))
    return server


def shown(server, *names):
    client = Client.__new__(Client)
    client.server, client.proto = server, 2
    return [ft_config(client, b"GET", name.encode())[0][1] for name in names]


@pytest.mark.parametrize("line, values", [
    ("WORKERS 3 default_dialect 2", {"WORKERS": "3", "DEFAULT_DIALECT": "2"}),
    ("MAXDOCTABLESIZE 77 NOGC PARTIAL_INDEXED_DOCS 1 _PRINT_PROFILE_CLOCK false",
     {"MAXDOCTABLESIZE": "77", "NOGC": "true", "PARTIAL_INDEXED_DOCS": "true", "_PRINT_PROFILE_CLOCK": "false"}),
    ("WORKER_THREADS 3 MT_MODE MT_MODE_FULL", {"WORKERS": "3", "WORKER_THREADS": "3", "MT_MODE": "MT_MODE_FULL"}),
    ("WORKERS 5 MT_MODE mt_mode_only_on_operations WORKER_THREADS 3",
     {"WORKERS": "5", "MIN_OPERATION_WORKERS": "3", "WORKER_THREADS": "3", "MT_MODE": "MT_MODE_ONLY_ON_OPERATIONS"}),
    ("WORKERS 5 WORKER_THREADS 3 MT_MODE MT_MODE_FULL", {"WORKERS": "3"}),
    ("WORKERS 5 WORKER_THREADS 3", {"WORKERS": "5"}),
    ("WORKER_THREADS 0 MT_MODE MT_MODE_OFF", {"WORKERS": "0", "MIN_OPERATION_WORKERS": "0"}),
    ("MIN_OPERATION_WORKERS 7 MT_MODE MT_MODE_OFF WORKER_THREADS 3", {"MIN_OPERATION_WORKERS": "7"})])
def test_arguments_of_the_search_module(line, values):
    server = started("--loadmodule", "/opt/redis/redisearch.so", *line.split())
    assert shown(server, *values) == list(values.values())
    assert (server.modules[0].path, server.modules[0].args) == ("/opt/redis/redisearch.so", line.split())


def test_directives_count_more_than_arguments():
    line = ("--loadmodule", "redisearch.so", "TIMEOUT", "7", "MINPREFIX", "5")
    for words in (("--search-timeout", "500", *line), (*line, "--search-timeout", "500")):
        assert shown(started(*words), "TIMEOUT", "MINPREFIX") == ["500", "5"]


@pytest.mark.parametrize("words", [
    "redisearch.so WORKERS", "redisearch.so WORKERS many", "redisearch.so WORKERS 1 NO_SUCH 2", "redisearch.so MT_MODE FULL x",
    "redisearch.so WORKERS 999", "rejson.so JSON_FORMAT 1", "redisbloom.so", ""])
def test_what_cannot_be_loaded(words):
    with pytest.raises(ConfigError):
        started("--loadmodule", *words.split())


def test_modules_without_arguments():
    server = started("--loadmodule", "/opt/rejson.so", "--loadmodule", "/opt/redisearch.so")
    assert [module.path for module in server.modules] == ["/opt/redisearch.so", "/opt/rejson.so"]
    assert server.config.tables["loadmodule"].config_lines() == ["loadmodule /opt/redisearch.so", "loadmodule /opt/rejson.so"]
