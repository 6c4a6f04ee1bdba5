"""A row of a table as a line of text, the same for every kind of document."""


def row_text(cells: list[str]) -> str:
    """The cells with ` | ` between them, each on one line; empty when all of them are.

    >>> row_text(["Name", " Price ", ""])
    'Name | Price |'
    """
    lines = [" ".join(cell.split()) for cell in cells]
    if not any(lines):
        return ""
    return " | ".join(lines).rstrip()
