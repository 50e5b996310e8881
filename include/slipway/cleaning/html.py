"""HTML to text: scripts dropped, block elements on lines of their own, entities decoded.

A `<` is not yet HTML. Documentation is full of `a < b`, `List<int>` and `<class 'str'>`, so only what is spelt like
an element of HTML counts as a tag; every other `<` is kept as the character it is.
"""

from __future__ import annotations

import html
import re

from selectolax.lexbor import LexborHTMLParser, LexborNode


def _elements(names: str) -> frozenset[str]:
    return frozenset(names.split())


_DROPPED = _elements("script style head template noscript svg iframe object")
_VOID = _elements("area base basefont br col embed frame hr img input link meta param source track wbr")
# elements whose end tag people leave out; every other element counts as markup only when it is closed somewhere
_OPEN_ENDED = _elements("html head body p li dt dd tr td th thead tbody tfoot caption colgroup option optgroup rp rt")
_PARAGRAPHS = _elements("p blockquote pre table ul ol dl h1 h2 h3 h4 h5 h6 figure")
_BLOCKS = _PARAGRAPHS | _elements(
    "address article aside body caption center dd details dialog dir div dt fieldset figcaption footer form header "
    "hgroup hr legend li main menu nav optgroup option section select summary tbody tfoot thead tr"
)
_CELLS = _elements("td th")
_INLINE = _elements(
    "a abbr acronym audio b bdi bdo big button canvas cite code data datalist del dfn em font i ins kbd label map mark "
    "math meter output picture progress q rb rtc ruby s samp search slot small span strike strong sub sup textarea "
    "time title tt u var video"
)
_KNOWN = _DROPPED | _VOID | _OPEN_ENDED | _BLOCKS | _INLINE
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)(?:\s[^<>]*|/)?>|<!--|<!doctype\b|<!\[CDATA\[", re.IGNORECASE)
_CLOSING = re.compile(r"</([a-zA-Z][a-zA-Z0-9:-]*)\s*>")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_SPACE = re.compile(r"[ \t\n\r\f]+")
# The parser's time grows with tags × depth of nesting; past this, 20 s for 0.5 MB of nothing but "<div>" was seen.
_MOST_WORK = 5_000_000


def strip_html(text: str) -> str:
    """The text without its markup. Text that is not HTML comes back as it is, character entities decoded."""
    if "<" not in text:
        return _decode(text)
    tags = _tags(text)
    if not tags:
        return _decode(text)
    if len(tags) * _depth(tags) > _MOST_WORK:
        return _decode(_without_tags(text, tags))
    body = LexborHTMLParser(_with_other_brackets_escaped(text, tags)).body
    return "" if body is None else _lines(body)


def _decode(text: str) -> str:
    # only entities that end in a semicolon: "?a=1&copy=2" is an address, not a copyright sign
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text) if "&" in text else text


def _tags(text: str) -> list[re.Match[str]]:
    """The places in the text that are markup, in order."""
    closed = {name.lower() for name in _CLOSING.findall(text)}
    return [found for found in _TAG.finditer(text) if _is_markup(found, closed)]


def _is_markup(found: re.Match[str], closed: set[str]) -> bool:
    if found[2] is None:  # a comment, a doctype or a CDATA section
        return True
    name = found[2].lower()
    if name in _VOID or name in _OPEN_ENDED:
        return True
    return name in closed and (name in _KNOWN or "-" in name or ":" in name)


def _depth(tags: list[re.Match[str]]) -> int:
    """How deep the elements nest at most, those that close themselves not counted."""
    depth = deepest = 0
    for tag in tags:
        if tag[2] is None or tag[2].lower() in _VOID | _OPEN_ENDED:
            continue
        depth = max(0, depth - 1) if tag[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _without_tags(text: str, tags: list[re.Match[str]]) -> str:
    kept, end = [], 0
    for tag in tags:
        kept.append(text[end : tag.start()])
        kept.append("\n" if tag[2] and tag[2].lower() in _BLOCKS | {"br"} else "")
        end = tag.end()
    return "".join((*kept, text[end:]))


def _with_other_brackets_escaped(text: str, tags: list[re.Match[str]]) -> str:
    kept, end = [], 0
    for tag in tags:
        kept.append(text[end : tag.start()].replace("<", "&lt;"))
        kept.append(tag[0])
        end = tag.end()
    return "".join((*kept, text[end:].replace("<", "&lt;")))


class _Lines:
    """Collects text, and puts between two pieces the strongest of the breaks that were asked for."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._break = ""

    def text(self, raw: str, *, pre: bool) -> None:
        piece = raw if pre else _SPACE.sub(" ", raw)
        if self._break and not pre:
            piece = piece.lstrip(" ")
        if piece:
            self._pieces += (self._break, piece)
            self._break = ""

    def begin(self, tag: str | None) -> None:
        if tag == "br":
            self._break = "\n\n" if self._break.startswith("\n") else "\n"
        elif tag in _CELLS:
            self._break = self._break or "\t"
        else:
            self.end(tag)

    def end(self, tag: str | None) -> None:
        if tag in _PARAGRAPHS:
            self._break = "\n\n"
        elif tag in _BLOCKS and self._break != "\n\n":
            self._break = "\n"

    def joined(self) -> str:
        return "".join(self._pieces)


def _lines(body: LexborNode) -> str:
    """The text of a tree, in order. Without recursion: documents nest as they like."""
    lines, node, pre = _Lines(), body.first_child, 0
    while node is not None:
        if node.is_text_node:
            lines.text(node.text_content or "", pre=pre > 0)
        elif node.is_element_node and node.tag not in _DROPPED:
            lines.begin(node.tag)
            if node.first_child is not None:
                pre += node.tag == "pre"
                node = node.first_child
                continue
            lines.end(node.tag)
        while node.next is None:
            node = node.parent
            if node is None or node.mem_id == body.mem_id:
                return lines.joined()
            pre -= node.tag == "pre"
            lines.end(node.tag)
        node = node.next
    return lines.joined()
