"""JSON documents in snapshots, as RedisJSON 2 writes them: their text."""
from respserver.persistence.module_types import ModuleType, register
from respserver.protocol.errors import CommandError
from respserver.values.json import Json

from .text import dump, parse


def _load(version: int, parts: list) -> Json:
    if version not in (2, 3):
        raise ValueError(f"version {version}")
    try:
        return Json(parse(parts[0]))
    except CommandError as error:
        raise ValueError(error.text) from None


register(ModuleType(Json, Json.type_name, 3, lambda value: [dump(value.root)], _load,
                    lambda key, value: [[b"JSON.SET", key, b"$", dump(value.root)]]))
