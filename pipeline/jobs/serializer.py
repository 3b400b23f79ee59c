"""How DBOS keeps values: as JSON, typed records as plain objects.

No row names a class: whoever reads one says what it holds (the steps of :mod:`pipeline.jobs.workflows.steps` by what
their functions return), so that rows outlive the names of this version's classes.
"""

import json
from dataclasses import is_dataclass
from datetime import datetime
from typing import Any

from dbos import Serializer, error
from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.errors.resources import place_of
from pipeline.records import Document


class JsonSerializer(Serializer):
    """Keeps what DBOS stores as JSON.

    DBOS's default is pickle; the database may be shared, and nothing that comes from outside this
    process may be unpickled.
    """

    def serialize(self, data: Any) -> str:
        """Write a value; exceptions keep their code, detail and data."""
        return json.dumps(data, default=self._encode)

    def deserialize(self, serialized_data: str) -> Any:
        """Read what :meth:`serialize` wrote."""
        return json.loads(serialized_data, object_hook=self._decode)

    def name(self) -> str:
        """Name that DBOS stores beside each value."""
        return "glioloop-json"

    @staticmethod
    def _encode(value: Any) -> Any:
        if isinstance(value, error.DBOSMaxStepRetriesExceeded):
            value = value.errors[-1]  # what went wrong, not that it was tried often
        if isinstance(value, Document):
            return value.as_json()
        if is_dataclass(value):
            return to_jsonable_python(value)
        if isinstance(value, datetime):  # of a schedule
            return {"__time__": value.isoformat()}
        if isinstance(value, GlioLoopError):
            return {"__error__": value.code, "detail": value.detail, "data": value.data}
        if isinstance(value, BaseException):
            return {"__error__": "INTERNAL", "detail": place_of(value), "data": {}}
        raise TypeError(f"{type(value).__name__} is not stored in the queue's database")

    @staticmethod
    def _decode(value: dict[str, JsonValue]) -> object:
        if "__error__" in value:
            return ErrorRecord(code=str(value["__error__"]), detail=str(value["detail"]), data=value["data"]).error
        if value.keys() == {"__time__"}:
            return datetime.fromisoformat(str(value["__time__"]))
        return value
