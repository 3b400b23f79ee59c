"""The table of a run as a project of REDCap takes it in, and the data dictionary that makes such a project.

After REDCap's own help ("Data Import Tool", "Data Dictionary"): names of fields begin with a small letter and hold
small letters, digits and underscores, 26 characters at most; the first field is the record's; dates are written
YYYY-MM-DD; of a field of checkboxes each choice has a column ``field___code`` with 0 or 1, its code in small letters.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.research.archive_run import Asked
from pipeline.research.table import FLAGS, STATES, Column, ColumnKind

#: Of the form that the fields are on.
FORM: Final = "glioloop"
#: The record's own field, which every project begins with.
RECORD: Final = "record_id"
#: The columns of a data dictionary.
DICTIONARY_HEAD: Final = (
    "Variable / Field Name",
    "Form Name",
    "Section Header",
    "Field Type",
    "Field Label",
    "Choices, Calculations, OR Slider Labels",
    "Field Note",
    "Text Validation Type OR Show Slider Number",
    "Text Validation Min",
    "Text Validation Max",
    "Identifier?",
    "Branching Logic (Show field only if...)",
    "Required Field?",
    "Custom Alignment",
    "Question Number (surveys only)",
    "Matrix Group Name",
    "Matrix Ranking?",
    "Field Annotation",
)
#: Type of a field, and how its text is checked.
_TYPES: Final = {
    ColumnKind.TEXT: ("text", ""),
    ColumnKind.DATE: ("text", "date_ymd"),
    ColumnKind.NUMBER: ("text", "number"),
    ColumnKind.STATE: ("dropdown", ""),
    ColumnKind.FLAGS: ("checkbox", ""),
}


def head(columns: Iterable[Column]) -> list[str]:
    """Names of the columns of the table, the record's first."""
    names: list[str] = []
    for column in columns:
        if column.kind is ColumnKind.FLAGS:
            names += [f"{column.name}___{code.lower()}" for code in FLAGS]
        else:
            names.append(column.name if names else RECORD)
    return names


def row(one: Asked, columns: Iterable[Column]) -> list[str]:
    """The cells of a study, as :func:`head` names them; of a study without a result the boxes are empty."""
    cells: list[str] = []
    for column in columns:
        value = column.value(one)
        if column.kind is ColumnKind.FLAGS:
            has_result = one.job is not None and one.job.result is not None
            found = value.split()
            cells += [str(int(code in found)) if has_result else "" for code in FLAGS]
        else:
            cells.append(value)
    return cells


def dictionary(columns: Iterable[Column]) -> list[list[str]]:
    """The rows of the data dictionary, below :data:`DICTIONARY_HEAD`."""
    return [_field(column, RECORD if place == 0 else column.name) for place, column in enumerate(columns)]


def _field(column: Column, name: str) -> list[str]:
    kind, validation = _TYPES[column.kind]
    choices = {ColumnKind.STATE: STATES, ColumnKind.FLAGS: FLAGS}.get(column.kind, {})
    cells = dict.fromkeys(DICTIONARY_HEAD, "") | {
        "Variable / Field Name": name,
        "Form Name": FORM,
        "Field Type": kind,
        "Field Label": column.label,
        # Choices are parted by bars.
        "Choices, Calculations, OR Slider Labels": " | ".join(
            f"{code.lower()}, {words.replace('|', '/')}" for code, words in choices.items()
        ),
        "Text Validation Type OR Show Slider Number": validation,
        "Text Validation Min": "0" if column.kind is ColumnKind.NUMBER else "",
        "Identifier?": "y" if column.identifier else "",
    }
    return [cells[one] for one in DICTIONARY_HEAD]
