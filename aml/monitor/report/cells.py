"""Tables, facts and words of a report in HTML."""

from __future__ import annotations

from collections.abc import Sequence

from aml.monitor.report.commands import parted
from aml.monitor.report.content import Fact, Heading, Section, Table
from aml.monitor.report.markup import Child, Markup, joined, tag

#: The look of each word that a level column holds.
_TONES = {
    "ok": "good",
    "done": "good",
    "healthy": "good",
    "empty": "good",
    "info": "info",
    "begun": "info",
    "warning": "warning",
    "trouble": "warning",
    "partial": "warning",
    "interrupted": "warning",
    "error": "error",
    "failed": "error",
    "not_run": "error",
    "critical": "critical",
}
_CLASSES = {"number": "n", "time": "s", "level": "s", "word": "s", "text": "t", "advice": "t"}

#: Characters of code that has room on a phone.
_SHORT = 28
#: What stands in a sign, by the tone of what it says: a tick, an i, a stroke with a dot, a cross.
_MARKS = {
    "good": "M9 16.5l5 5 9-11",
    "info": "M16 15v8M16 9.5v.1",
    "warning": "M16 9v9M16 22.9v.1",
    "error": "M16 8v10M16 23.4v.1",
    "critical": "M11 11l10 10M21 11l-10 10",
    "none": "M12.5 12.5a3.5 3.5 0 1 1 5 3.2c-1.100.6-1.500 1.200-1.500 2.600M16 23v.1",
}
#: Shapes that are told apart without their colours.
_ROUND = "M16 2a14 14 0 1 0 0 28a14 14 0 1 0 0-28z"
_SHAPES = {
    "good": _ROUND,
    "info": _ROUND,
    "none": _ROUND,
    "warning": "M14.300 3.200a2 2 0 0 1 3.400 0l13 22.300a2 2 0 0 1-1.700 3H3a2 2 0 0 1-1.700-3z",
    "error": "M16 1.500L30.500 16L16 30.500L1.500 16z",
    "critical": "M10.200 2h11.600L30 10.200v11.600L21.800 30H10.200L2 21.800V10.200z",
}


def tone_of(word: str) -> str:
    """The class that gives a word its colours."""
    return _TONES.get(word, "none")


def level_word(word: str) -> Markup:
    """One of few words, in the colours of what it means."""
    return tag("span", word, class_=f"word {tone_of(word)}")


def sign(word: str) -> Markup:
    """A sign for the state of a whole store, to be seen from afar; the words stand beside it."""
    tone = tone_of(word)
    return tag(
        "svg",
        tag("path", d=_SHAPES[tone]),
        tag("path", d=_MARKS[tone], class_="mark"),
        viewBox="0 0 32 32",
        class_="sign",
        aria_hidden="true",
        focusable="false",
    )


def card(section: Section, *content: Child, class_: str = "card") -> Markup:
    """A section on its card, below its heading. It is named by that heading."""
    heading = f"{section.key}-heading"
    return tag(
        "section",
        tag("h2", section.title, id=heading),
        tag("p", _sentence(section.lead), class_="lead") if section.lead else None,
        *content,
        tag("p", _sentence(section.empty), class_="empty") if section.empty else None,
        class_=class_,
        id=section.key,
        aria_labelledby=heading,
    )


def facts_list(facts: Sequence[Fact], *, across: bool = False) -> Markup | None:
    """Names and what is known by them: one below the other, or side by side."""
    if not facts:
        return None
    if across:
        groups = (tag("div", tag("dt", one.name), tag("dd", *_known(one))) for one in facts)
        return tag("dl", *groups, class_="facts across")
    return tag("dl", *(joined([tag("dt", one.name), tag("dd", *_known(one))]) for one in facts), class_="facts")


def _known(fact: Fact) -> tuple[Child, ...]:
    return (sentence_words(fact.words), *((" ", advice_words(fact.advice)) if fact.advice else ()))


def advice_words(advice: str) -> Markup:
    """Advice, with the commands in it shown as such. It reads from left to right, whatever names it holds."""
    return tag("bdi", _sentence(advice), dir="ltr")


def sentence_words(words: str) -> Markup:
    """A sentence of AML's own, which may hold a name of any script."""
    return tag("bdi", words, dir="ltr")


def _sentence(words: str) -> Markup:
    return joined(_code(part) if is_command else part for part, is_command in parted(words))


def _code(words: str) -> Markup:
    """What is to be typed. A short one stays on one line: browsers would part it at its hyphens."""
    return tag("code", words, class_="whole" if len(words) <= _SHORT else None)


def table(one: Table) -> Markup:
    """A table. What is to be folded away is in an element that opens without a script."""
    if one.shown == 0:
        return folded(one.title, _drawn(one, one.rows))
    shown = one.rows if one.shown is None else one.rows[: one.shown]
    rest = one.rows[len(shown) :]
    more = folded(f"{len(rest):,} more", _drawn(one, rest)) if rest else None
    return joined([_drawn(one, shown), more])


def folded(title: str, content: Child) -> Markup:
    return tag("details", tag("summary", title), content)


def _drawn(one: Table, rows: Sequence[Sequence[str]]) -> Markup:
    cells = [[cell(words, heading) for words, heading in zip(row, one.headings, strict=True)] for row in rows]
    return grid_of(one.headings, cells, narrow=one.narrow)


def grid_of(
    headings: Sequence[Heading], rows: Sequence[Sequence[Markup]], *, narrow: bool = False, look: str = "stack"
) -> Markup:
    """A table of cells that are drawn already, each of them a td. One that is not narrow is stacked on a phone."""
    head = tag("tr", *(tag("th", one.words, scope="col", class_=_classes(one)) for one in headings))
    body = tag("tbody", *(tag("tr", *cells) for cells in rows))
    return tag("div", tag("table", tag("thead", head), body, class_=None if narrow else look), class_="table")


def cell(words: str, heading: Heading) -> Markup:
    """One cell, as its column is shown. On a narrow screen it tells its heading itself."""
    content: Child = words
    if not words:
        return tag("td", class_=_classes(heading))
    if heading.style == "level":
        content = level_word(words)
    elif heading.style == "code":
        content = _code(words)
    elif heading.style == "advice":
        content = advice_words(words)
    elif heading.style == "name":
        content = tag("bdi", words)
    elif heading.style == "text":
        content = sentence_words(words)
    label = heading.words if heading.style in ("number", "time") else None
    return tag("td", content, class_=_classes(heading), data_label=label)


def _classes(heading: Heading) -> str | None:
    names = [_CLASSES.get(heading.style, ""), "less" if heading.minor else "", "inline" * (heading.style == "number")]
    return " ".join(name for name in names if name) or None
