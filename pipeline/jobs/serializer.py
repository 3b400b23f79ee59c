"""How DBOS keeps values: as JSON."""

import json
from datetime import datetime
from typing import Any

from dbos import Serializer, error

from pipeline.errors import REASONS, GlioLoopError
from pipeline.errors.resources import place_of


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
        if isinstance(value, datetime):  # of a schedule
            return {"__time__": value.isoformat()}
        if isinstance(value, GlioLoopError):
            return {"__error__": value.code, "detail": value.detail, "data": value.data}
        if isinstance(value, BaseException):
            return {"__error__": "INTERNAL", "detail": place_of(value), "data": {}}
        raise TypeError(f"{type(value).__name__} is not stored in the queue's database")

    @staticmethod
    def _decode(value: dict[str, Any]) -> Any:
        if "__error__" in value:
            # A later version may have written a code that this one does not know.
            code = value["__error__"] if value["__error__"] in REASONS else "INTERNAL"
            return GlioLoopError(code, value["detail"], value["data"])
        if value.keys() == {"__time__"}:
            return datetime.fromisoformat(value["__time__"])
        return value
