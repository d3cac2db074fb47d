"""JSON to frozen dataclasses and back, strictly.

Unknown keys, missing keys, wrong types and values out of bounds are refused by name. Bounds stand in the
annotations: ``Annotated[int, Ge(1)]``.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


@cache  # building one compiles a validator
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def to_json(value: Any) -> Any:
    """A dataclass as plain dicts, lists, numbers and strings.

    Raises:
        ValueError: if a field holds what its type does not allow.
    """
    data = _adapter(type(value)).dump_python(value, mode="json", warnings="error")
    from_json(type(value), data)
    return data


def from_json(cls: type[T], data: Any) -> T:
    """The dataclass that `data` describes.

    Raises:
        ValueError: naming the first field that is wrong, and what is wrong with it.
    """
    adapter = _adapter(cls)
    try:
        value = adapter.validate_json(json.dumps(data, allow_nan=False), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where or cls.__name__}: {first['msg'].lower()}") from None
    unknown = _unknown(data, adapter.dump_python(value, mode="json"))
    if unknown is not None:
        raise ValueError(f"{unknown}: unknown key")
    return value


def changed(value: T, settings: Mapping[str, Any]) -> T:
    """A dataclass with other values for some fields; a dot leads into a field: ``{"framing.size": 64}``.

    Raises:
        ValueError: naming the first field that is unknown or wrong.
    """
    data = to_json(value)
    for path, new in settings.items():
        *way, last = path.split(".")
        inner = data
        for key in way:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or last not in inner:
            raise ValueError(f"{path}: unknown key")
        inner[last] = new
    return from_json(type(value), data)


def _unknown(data: Any, known: Any, where: str = "") -> str | None:
    """The first key of `data` that is not in `known`, as a dotted path."""
    if isinstance(data, dict):
        parts = [(key, value, known.get(key) if key in known else ...) for key, value in data.items()]
    elif isinstance(data, list):
        parts = [(i, value, other) for i, (value, other) in enumerate(zip(data, known, strict=True))]
    else:
        return None
    for key, value, other in parts:
        path = f"{where}.{key}" if where else f"{key}"
        found = path if other is ... else _unknown(value, other, path)
        if found is not None:
            return found
    return None
