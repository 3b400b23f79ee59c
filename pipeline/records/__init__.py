"""Base of every typed record that is stored or answered as JSON."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, JsonValue, PlainSerializer

#: A point in time, in ISO 8601 as Python writes it.
Moment = Annotated[datetime, PlainSerializer(datetime.isoformat, return_type=str, when_used="json")]


class Document(BaseModel):
    """A record with a JSON form: the fields that were given, those of the records within it alike."""

    model_config = ConfigDict(frozen=True)

    def as_json(self) -> dict[str, JsonValue]:
        """The document."""
        return self.model_dump(mode="json", exclude_unset=True)


class Record(Document):
    """What is made here, never with a key that it does not have; every field counts as given."""

    model_config = ConfigDict(extra="forbid")

    def model_post_init(self, _context: Any) -> None:
        """Have defaults shown, too."""
        self.__pydantic_fields_set__.update(type(self).model_fields)


class StoredRecord(Document):
    """What another version of the product may have written.

    Keys that this version does not know are kept and shown; those that the record was made without are left out, so
    that a row that was read is shown as it was written.
    """

    model_config = ConfigDict(extra="allow")
