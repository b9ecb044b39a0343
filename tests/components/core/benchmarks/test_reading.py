"""Reading responses: boxes and thoughts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.core.benchmarks.reading import boxed, final_text

WORDS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x9FFF, exclude_categories=("Cs",)), max_size=60
)


@given(WORDS)
def test_what_is_boxed_is_found_again(text: str):
    if "{" not in text and "}" not in text:
        assert boxed(rf"so \boxed{{{text}}}.") == text
        assert boxed(rf"\boxed{{1}} and \boxed{{\text{{{text}}}}}") == rf"\text{{{text}}}"


@given(WORDS, WORDS)
def test_thoughts_do_not_count(thought: str, said: str):
    if "<" not in thought + said and "\\" not in said and "####" not in said:
        assert final_text(f"<think>{thought}</think>{said}") == said.strip()
        assert final_text(f"<think>{thought}") == ""
