"""The values that fields take from JSON documents, and what is wrong with others."""
from array import array

import numpy as np

from respserver.values.json import elements as in_memory
from respserver.values.json import is_array

from .. import errors
from .base import FieldError

_NUMBERS = ({int}, {float}, {int, float})


def single(values: list, kinds: tuple, takes_array: bool = True):
    """The elements that a field gets from the values at its path: one value of these types, or those of an array, or several
    values; without nulls. `kinds`: Python types, the first of which is what elements must have. Raises FieldError."""
    if len(values) > 1:
        return values, False
    value = values[0]
    if is_array(value):
        if not takes_array:
            raise FieldError(errors.JSON_ARRAY)
        return in_memory(value), False
    if type(value) in kinds:
        return [value], True
    if type(value) is str:
        raise FieldError(errors.JSON_STRING)
    if type(value) is bool:
        raise FieldError(errors.JSON_BOOLEAN)
    raise FieldError(errors.JSON_OBJECT if type(value) is dict else errors.JSON_NUMBER)


def texts(values: list, takes_boolean: bool = False, takes_array: bool = True) -> list[bytes]:
    """The texts of a TEXT, TAG or GEO field. Raises FieldError."""
    elements, is_single = single(values, (str, bool) if takes_boolean else (str,), takes_array)
    if is_single and type(elements[0]) is bool:
        return [b"true" if elements[0] else b"false"]
    found = []
    for element in elements:
        if type(element) is str:
            found.append(element.encode())
        elif element is not None:
            raise FieldError(errors.JSON_ONLY_STRINGS)
    return found


def numbers(values: list) -> list[float]:
    """The numbers of a NUMERIC field. Raises FieldError."""
    elements, _ = single(values, (int, float))
    if type(elements) is array:
        return elements.tolist()
    found = []
    for element in elements:
        if type(element) is int or type(element) is float:
            found.append(float(element))
        elif element is not None:
            raise FieldError(errors.JSON_ONLY_NUMBERS)
    return found


def vectors(values: list, spec) -> list[bytes]:
    """The vectors of a VECTOR field as bytes, in its type. Raises FieldError."""
    if len(values) == 1:
        value = in_memory(values[0])
        if not is_array(value):
            single(values, ())
        if not len(value):
            raise FieldError(errors.JSON_EMPTY_VECTOR)
        if type(value) is array or type(value[0]) in (int, float):
            return [vector(value, spec)]
        if not is_array(value[0]) and not (spec.is_multi and value[0] is None):
            raise FieldError(errors.JSON_VECTOR_ELEMENT.format(0))
        values = value
    if not spec.is_multi:
        raise FieldError(errors.JSON_VECTOR_ELEMENT.format(0))
    found = []
    for i, value in enumerate(values):
        if value is None:
            continue
        if not is_array(value):
            raise FieldError(errors.JSON_VECTOR_ELEMENT.format(i))
        found.append(vector(value, spec))
    return found


def vector(elements, spec) -> bytes:
    """One vector as bytes, in the field's type. Raises FieldError."""
    elements = in_memory(elements)
    if len(elements) != spec.dim:
        raise FieldError(errors.JSON_VECTOR_LENGTH.format(spec.dim, len(elements)))
    dtype = spec.dtype
    if type(elements) is not array:
        kinds = set(map(type, elements))
        if kinds not in _NUMBERS:
            raise FieldError(errors.JSON_VECTOR_ELEMENT.format(
                next(i for i, element in enumerate(elements) if type(element) is not int and type(element) is not float)))
        is_whole = kinds == {int}
        coordinates = np.array(elements, np.int64 if is_whole and max(map(abs, elements)) < 1 << 62 else np.float64)
    else:
        is_whole = False
        if elements.typecode == "f" and dtype == "FLOAT32":
            return elements.tobytes()
        coordinates = np.frombuffer(elements, "f4" if elements.typecode == "f" else "f8")
    if dtype in ("INT8", "UINT8"):
        if not is_whole:
            raise FieldError(errors.JSON_VECTOR_ELEMENT.format(_first_fraction(elements)))
        return coordinates.astype("i1" if dtype == "INT8" else "u1").tobytes()
    with np.errstate(over="ignore"):
        if dtype == "BFLOAT16":
            bits = coordinates.astype("<f4").view("<u4")
            return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("<u2").tobytes()
        return coordinates.astype({"FLOAT32": "<f4", "FLOAT64": "<f8", "FLOAT16": "<f2"}[dtype]).tobytes()


def _first_fraction(elements) -> int:
    return next(i for i, element in enumerate(elements) if type(element) is not int)
