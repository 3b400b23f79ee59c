"""Cells of tables that people open in a spreadsheet."""


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    Examples
    --------
    >>> harmless("=1+1"), harmless("Doe")
    ("'=1+1", 'Doe')
    """
    return f"'{cell}" if cell[:1] in tuple("=+-@\t\r") else cell
