"""Turns Cython source into plain Python that keeps only what documents it: headers and docstrings.

Compiled modules carry no Python source, but some wheels (pyarrow) ship the Cython it was compiled from. No full
Cython grammar is needed: class and def headers, their arguments without C types, and the string that follows.
"""

import re

_HEADER = re.compile(
    r"^(?P<indent> *)"
    r"(?:(?P<class>(?:cdef +)?class) +(?P<cname>\w+)|(?:def|cpdef(?: +[\w.\[\]]+)?) +(?P<name>\w+) *(?=\())"
)
_DOCSTRING = re.compile(r'^\s*([rR]?)("""|\'\'\')')
_PROPERTY = re.compile(r"^ *@(property|staticmethod|classmethod) *$")


def python_stub(source: str) -> str:
    """Python text with the classes, functions and docstrings of Cython `source`, one line for every line of it."""
    lines = source.splitlines()
    kept = [""] * len(lines)
    number = 0
    while number < len(lines):
        if _PROPERTY.match(lines[number]):
            kept[number] = lines[number]
            number += 1
            continue
        header = _HEADER.match(lines[number])
        number = _keep_header(lines, kept, number, header) if header else _skip(lines, number)
    return "\n".join(_close_empty(kept)) + "\n"


def _keep_header(lines: list[str], kept: list[str], start: int, header: re.Match[str]) -> int:
    """Write one header and its docstring into `kept`; returns the line after them."""
    end = _header_end(lines, start)
    text = " ".join(line.split("#")[0].strip() for line in lines[start : end + 1])
    plain = _class_header(header["cname"], text) if header["class"] else _def_header(header["name"], text)
    kept[start] = header["indent"] + plain
    opening = end + 1
    while opening < len(lines) and not lines[opening].strip():
        opening += 1
    if opening < len(lines) and _DOCSTRING.match(lines[opening]):
        closing = _string_end(lines, opening)
        kept[opening : closing + 1] = lines[opening : closing + 1]
        return closing + 1
    return end + 1


def _header_end(lines: list[str], start: int) -> int:
    depth = 0
    for number in range(start, len(lines)):
        code = lines[number].split("#")[0]
        depth += code.count("(") + code.count("[") - code.count(")") - code.count("]")
        if depth <= 0:
            return number
    return len(lines) - 1


def _class_header(name: str, text: str) -> str:
    bases = re.search(r"\(([^)]*)\)", text)
    return f"class {name}({bases[1] if bases else ''}):"


def _def_header(name: str, text: str) -> str:
    inside = text[text.index("(") + 1 : text.rindex(")")]
    return f"def {name}({', '.join(_argument(part) for part in _split(inside) if part.strip())}):"


def _split(arguments: str) -> list[str]:
    """Split at the commas outside brackets."""
    parts, depth = [""], 0
    for character in arguments:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _argument(text: str) -> str:
    """``MemoryPool pool not None = None`` becomes ``pool=None``."""
    name, equals, default = text.partition("=")
    name = re.sub(r"\b(not|or) +None\b", "", name.split(":")[0]).strip()
    stars = "*" * (len(name) - len(name.lstrip("*")))
    words: list[str] = re.findall(r"\w+", name)
    if not words:
        return name
    return stars + words[-1] + (f"={default.strip()}" if equals else "")


def _skip(lines: list[str], number: int) -> int:
    """Past an uninteresting line; past the whole of it where it opens a long string, whose text must not be read."""
    opened = re.search(r'"""|\'\'\'', lines[number])
    if opened and lines[number].count(opened[0]) % 2:
        for closing in range(number + 1, len(lines)):
            if opened[0] in lines[closing]:
                return closing + 1
    return number + 1


def _string_end(lines: list[str], opening: int) -> int:
    match = _DOCSTRING.match(lines[opening])
    quote = match[2] if match else '"""'
    if lines[opening].count(quote) >= 2:
        return opening
    for number in range(opening + 1, len(lines)):
        if quote in lines[number]:
            return number
    return len(lines) - 1


def _close_empty(kept: list[str]) -> list[str]:
    """Give a body to every header that has neither docstring nor members."""
    for number, line in enumerate(kept):
        if not line.endswith(":") or not _HEADER.match(line):
            continue
        indent = len(line) - len(line.lstrip())
        following = next((later for later in kept[number + 1 :] if later.strip()), "")
        if len(following) - len(following.lstrip()) <= indent:
            kept[number] = f"{line} ..."
    return kept
