"""Results that fit a budget, and quotations that nothing gets out of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from synapse.web.mcp_fitting import (
    BYTES_PER_TOKEN,
    CUT_MIN,
    Shape,
    cut_to,
    fitted,
    quotation,
    quoted,
    result,
    word,
)


class Texts(Shape):
    """Rows of text, as a tool might return them."""

    texts: list[str]
    note: str

    @classmethod
    def of(cls, texts: Sequence[str], cut: int) -> Texts:
        note = "Some are cut." if any(len(text) > cut for text in texts) else ""
        return cls(texts=[cut_to(text, cut) for text in texts], note=note)

    def lines(self) -> Iterator[str]:
        yield "Texts:"
        yield from map(quotation, self.texts)
        yield self.note


def size(shape: Shape) -> int:
    structured = json.dumps(shape.model_dump(), ensure_ascii=False)
    return len(structured.encode()) + sum(len(line.encode()) + 1 for line in shape.lines())


@given(st.lists(st.text(st.sampled_from("xé\n "), max_size=400), max_size=6), st.integers(30, 300))
@example(["", "x" * 83, ""], 50)  # uncut it fits, and cut by a character it once did not
@example(["x" * 81, "x" * 400], 55)  # the first fits, but not with a note that it is cut
def test_what_fits_is_the_most_that_fits(texts: list[str], max_tokens: int) -> None:
    room = max_tokens * BYTES_PER_TOKEN

    def make(rows: int, cut: int) -> Texts:
        return Texts.of(texts[:rows], cut)

    def fits(rows: int, cut: int) -> bool:
        return size(make(rows, cut)) <= room

    rows = max(n for n in range(len(texts) + 1) if n == 0 or fits(n, CUT_MIN) or fits(n, room))
    cut = next((n for n in range(room, CUT_MIN, -1) if fits(rows, n)), CUT_MIN)
    chosen = fitted(make, rows=len(texts), max_tokens=max_tokens)
    assert chosen == result(make(rows, cut))


@given(st.text(alphabet=st.sampled_from('ab> "\\\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029é')))
def test_no_line_of_a_quotation_can_be_taken_for_one_of_ours(text: str) -> None:
    assert all(line.startswith("> ") for line in quotation(text).splitlines())
    assert len(quoted(text).splitlines()) == 1
    assert json.loads(quoted(text)) == word(text)


@given(st.text(), st.integers(1, 50))
def test_a_cut_text_says_that_it_is_cut(text: str, characters_max: int) -> None:
    cut = cut_to(text, characters_max)
    assert len(cut) <= characters_max or cut == text
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))
