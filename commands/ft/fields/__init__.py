"""Field types: one class per type, one file each."""
from .base import ErrorCount, Field, FieldError
from .geo import GeoField
from .geoshape import GeoShapeField
from .numeric import NumericField
from .tag import TagField
from .text import TextField
from .vector import VectorField

__all__ = ["CLASSES", "ErrorCount", "Field", "FieldError", "GeoField", "GeoShapeField", "NumericField", "TagField",
           "TextField", "VectorField"]

#: The class of each field type.
CLASSES = {kind.type_name: kind for kind in (TextField, TagField, NumericField, GeoField, GeoShapeField, VectorField)}
