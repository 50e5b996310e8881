import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipway.cleaning.html import strip_html
from slipway.cleaning.text import tidy


def plain(text: str) -> str:
    return tidy(strip_html(text))


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "if x<y then z>0",
        "List<int> xs = new ArrayList<>();",
        "Map<String, List<b>> of<a> things",
        "<class 'str'> at <object object at 0x7f>",
        "std::vector<int> v; v << 1;",
        "Dear <name>, your order <id> has shipped",
        "<",
        "<>",
        "<<<<<<",
        ">>> a<b",
        "mail <someone@example.org>",
        "?a=1&copy=2&lt",
    ],
)
def test_text_that_is_no_html_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Hello <b>big</b> <i>world</i></p><p>next</p>", "Hello big world\n\nnext"),
        ("one<br>two<br/>three<BR />four", "one\ntwo\nthree\nfour"),
        ("one<br><br>two", "one\n\ntwo"),
        ("<ul>\n  <li>one\n  <li>two\n</ul>", "one\ntwo"),
        ("<div>Use List<int> when a<b && c>d</div>", "Use List<int> when a<b && c>d"),
        ("<pre>def f():\n    return 1</pre>after", "def f():\n    return 1\n\nafter"),
        ("<p>wrapped\n      source</p>", "wrapped source"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a\tb\n1\t2"),
        ("before<script>if (a < b) alert('x')</script>after", "beforeafter"),
        ("<style>p { color: red }</style><p>seen</p>", "seen"),
        ("<html><head><title>T</title></head><body><h1>H</h1>text</body></html>", "H\n\ntext"),
        ("<!-- hidden --><p>shown</p>", "shown"),
        ("<p>AT&amp;T &lt;b&gt; &eacute; &#8217; &#x41;</p>", "AT&T <b> é ’ A"),
        ("AT&amp;T &mdash; no tags", "AT&T — no tags"),
        ("<em>Italic title</em>, 1790", "Italic title, 1790"),
        ('<a href="x?a=1&b=2" title="a > b">link</a>', "link"),
        ("<o:p>Word</o:p> <my-widget>w</my-widget>", "Word w"),
    ],
)
def test_markup_goes_and_text_stays(markup: str, text: str) -> None:
    assert plain(markup) == text


@pytest.mark.parametrize("markup", ["<p></p>", "<!-- a -->", "<br><hr>", "<script>x()</script>", "<div>&nbsp;</div>"])
def test_only_markup_leaves_nothing(markup: str) -> None:
    assert plain(markup) == ""


@pytest.mark.parametrize("opening", ["<div>", "<b>", "<table>", "<ul><li>", "<p>", "<svg>", "<a href=x>"])
def test_deep_nesting_neither_fails_nor_takes_for_ever(opening: str) -> None:
    name = opening.strip("<>").split(">")[0].split()[0]
    text = opening * 50_000 + "deep" + f"</{name}>"
    assert "deep" in strip_html(text) or name == "svg"


@given(st.text())
@example("\x00<p>\x00</p>")
@example("<p>" + "&" * 100)
@example("</p></p><p")
@example("<![CDATA[ x ]]>")
def test_any_text_can_be_stripped(text: str) -> None:
    strip_html(text)


@given(
    st.lists(
        st.sampled_from(["<p>", "</p>", "<b>", "</b>", "<td>", "<pre>", "</pre>", "<", ">", "x", " ", "&lt;", "\n"])
    )
)
def test_any_tag_soup_can_be_stripped(soup: list[str]) -> None:
    stripped = plain("".join(soup))
    assert stripped.count("x") == soup.count("x")
