"""The directives of persistence."""
from respserver.config import Config
from respserver.persistence.settings import set_save_points


def points(*lines: tuple[str, ...]) -> str:
    config = Config()
    for name, *words in lines:
        config.load(name, words)
    set_save_points(config)
    return config.show("save")


def test_save_points_are_those_of_redis_unless_a_server_is_told_better():
    assert points() == points(("appendonly", "no")) == "3600 1 300 100 60 10000"
    assert points(("appendonly", "yes")) == points(("save", "")) == points(("save", "60", "1"), ("save", "")) == ""
    assert points(("save", "")) == "" and points(("save", "900", "1"), ("appendonly", "yes")) == "900 1"


def test_each_line_adds_a_save_point():
    assert points(("save", "900", "1"), ("save", "300", "10")) == points(("save", "900 1 300 10")) == "900 1 300 10"
