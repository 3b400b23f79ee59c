"""Base of every typed record that is stored or answered as JSON."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, JsonValue, PlainSerializer, SerializerFunctionWrapHandler, model_serializer

#: A point in time, in ISO 8601 as Python writes it.
Moment = Annotated[datetime, PlainSerializer(datetime.isoformat, return_type=str, when_used="json")]


class Record(BaseModel):
    """What is made here, and never with a key that it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_json(self) -> dict[str, JsonValue]:
        """The document."""
        return self.model_dump(mode="json")


class StoredRecord(Record):
    """What another version of the product may have written.

    Keys that this version does not know are kept and shown; those that the record was made without are left out, so
    that a row that was read is shown as it was written.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_serializer(mode="wrap")
    def _as_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        given = self.model_fields_set | set(self.model_extra or {})
        return {name: value for name, value in serialise(self).items() if name in given}
