from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from components.core.vlm import load_processor
from components.core.vlm.vocabulary import differences, read_vocabulary, special_ids, vocabulary_hash

vocabularies = st.dictionaries(st.text(max_size=3), st.integers(0, 20), max_size=6)


@given(vocabularies, vocabularies)
def test_two_vocabularies_differ_where_a_token_does(ours, theirs):
    assert (differences(ours, theirs) == "") == (ours == theirs)


@given(vocabularies)
def test_the_order_of_tokens_is_of_no_account(vocabulary):
    turned = dict(reversed(vocabulary.items()))
    assert vocabulary_hash(turned) == vocabulary_hash(vocabulary)


def test_the_first_tokens_concerned_are_named():
    found = differences({"a": 0, "b": 1, "c": 2}, {"a": 0, "c": 1})
    assert found == "3 and 2 tokens, 2 differ: 'b' is 1 and missing; 'c' is 2 and 1"


def test_a_file_says_what_the_loaded_tokenizer_says(tiny_checkpoint):
    tokenizer = load_processor(tiny_checkpoint).tokenizer
    assert read_vocabulary(tiny_checkpoint) == tokenizer.get_vocab()
    assert special_ids(tokenizer)["eos_token"] == tokenizer.eos_token_id


def test_a_unigram_vocabulary_is_a_list_of_tokens_and_scores(tmp_path):
    content = {
        "model": {"type": "Unigram", "vocab": [["<unk>", 0.0], ["a", -1.0]]},
        "added_tokens": [{"id": 2, "content": "<end>"}],
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert read_vocabulary(tmp_path) == {"<unk>": 0, "a": 1, "<end>": 2}


def test_without_a_readable_file_nothing_is_known(tmp_path):
    assert read_vocabulary(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text("[]")
    assert read_vocabulary(tmp_path) is None
