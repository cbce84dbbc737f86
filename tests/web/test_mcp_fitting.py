"""Results that fit a budget, and quotations that nothing gets out of."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from mcp_types import CallToolResult

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

    def lines(self) -> Iterator[str]:
        yield "Texts:"
        yield from map(quotation, self.texts)


def size(result: CallToolResult) -> int:
    structured = json.dumps(result.structured_content, ensure_ascii=False)
    return len(structured.encode()) + len(result.content[0].text.encode())


@given(st.lists(st.integers(0, 400), max_size=6), st.integers(30, 300))
def test_what_fits_is_the_most_that_fits(lengths: list[int], max_tokens: int) -> None:
    texts = ["x" * length for length in lengths]
    room = max_tokens * BYTES_PER_TOKEN

    def make(rows: int, cut: int) -> Texts:
        return Texts(texts=[cut_to(text, cut) for text in texts[:rows]])

    def fits(rows: int, cut: int) -> bool:
        return size(result(make(rows, cut))) < room  # its last line end counts, too

    rows = next((n for n in range(len(texts), 0, -1) if fits(n, CUT_MIN)), 0)
    cut = next((n for n in range(room, CUT_MIN, -1) if fits(rows, n)), CUT_MIN)
    chosen = fitted(make, rows=len(texts), max_tokens=max_tokens)
    assert chosen.structured_content == make(rows, cut).model_dump()
    assert size(chosen) <= room


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
