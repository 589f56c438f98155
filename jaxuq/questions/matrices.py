r"""Matrices in LaTeX and as lists of rows."""

import re

_ROWS = re.compile(r"\\\\\s*(?:\*|\[[^\[\]]*\])?")
_BARE = ("matrix", "array", "smallmatrix")
_KINDS = {
    "matrix": "(", "pmatrix": "(", "bmatrix": "(", "Bmatrix": "{", "vmatrix": "|", "Vmatrix": "‖", "array": "(",
    "smallmatrix": "(", "psmallmatrix": "(", "bsmallmatrix": "(", "vsmallmatrix": "|", "Bsmallmatrix": "{",
}  # fmt: skip
_MATRIX = re.compile(
    rf"(?P<open>\\?[(\[{{|]?)\s*\\begin\s*\{{(?P<kind>{'|'.join(_KINDS)})\*?\}}\s*(?P<columns>(?:\[[a-z]\])?(?:\{{[^{{}}]*\}})?)"
    r"(?P<body>.*)\\end\s*\{(?P=kind)\*?\}\s*(?P<close>\\?[)\]}|]?)",
    re.S,
)
_LISTS = re.compile(r"\[\s*\[([^\[\]]*)\](?:\s*,\s*\[[^\[\]]*\])+\s*\]")
_BRACKETS = {("(", ")"): "(", ("[", "]"): "(", ("\\{", "\\}"): "{", ("|", "|"): "|"}
Matrix = tuple[str, list[list[str]]]


def matrix_of(text: str) -> Matrix | None:
    r"""A matrix as its brackets and its rows of cells; round and square brackets are the same, bars are a determinant.

    Args:
        text: LaTeX, or a list of lists.

    Returns:
        None: it is none, or holds matrices itself.

    Example:
        >>> matrix_of("\\begin{pmatrix}1 & 2\\\\[2pt] 3 & 4\\end{pmatrix}")
        ('(', [['1', '2'], ['3', '4']])
        >>> matrix_of("\\left[\\begin{array}{cc}1&2\\end{array}\\right]"), matrix_of("[[1,2],[3,4]]")[1]
        (('(', [['1', '2']]), [['1', '2'], ['3', '4']])
    """
    text = re.sub(r"\\(?:left|right)(?![a-zA-Z])", "", text).strip()
    if _LISTS.fullmatch(text):
        return "(", [[cell.strip() for cell in row.split(",")] for row in re.findall(r"\[([^\[\]]*)\]", text)]
    found = _MATRIX.fullmatch(text)
    if found is None or "\\begin" in found["body"]:
        return None
    bracket = _BRACKETS.get((found["open"], found["close"]), "")
    if found["kind"] not in _BARE and (found["open"] or found["close"]):
        return None
    if found["kind"] in _BARE and not bracket:
        if found["open"] or found["close"]:
            return None
        bracket = "("
    body = re.sub(r"\\hline|(?<!\\)\\[,;:! ]", " ", found["body"])
    rows = [[cell.strip() for cell in row.split("&")] for row in _ROWS.split(body)]
    if rows[-1] == [""]:
        del rows[-1]
    return (bracket if found["kind"] in _BARE else _KINDS[found["kind"]]), rows
