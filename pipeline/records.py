"""Base of every typed record that is stored or answered as JSON."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, JsonValue, PlainSerializer

#: A point in time, in ISO 8601 as Python writes it.
Moment = Annotated[datetime, PlainSerializer(datetime.isoformat, return_type=str, when_used="json")]


class Record(BaseModel):
    """What is made here, and never with a key that it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_json(self) -> dict[str, JsonValue]:
        """The document: what was given when it was made, and nothing for what was not."""
        return self.model_dump(mode="json", exclude_unset=True)


class StoredRecord(Record):
    """What another version of the product may have written: keys that this one does not know are kept and shown."""

    model_config = ConfigDict(frozen=True, extra="allow")
