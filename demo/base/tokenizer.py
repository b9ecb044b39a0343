"""The demo's tokenizer: byte-level BPE in Qwen's format, with one token for every word that the demo uses."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from demo import general
from demo.world.forms import FORMS
from demo.world.questions import absent_questions, catalogue
from demo.world.scene import sample_scene

END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKENS = (
    END_OF_TEXT,
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Qwen2's splitting rule (words with their leading space, single digits, punctuation, line breaks); a turn's
# role and its line break are one piece, because conversations of short turns consist largely of them.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LARGEST_VOCABULARY = 2048
CORPUS_SCENES = 200
COMMON_WORDS = (
    "a about above after again all also an and any are as at back because before below between both but "
    "by can careful cause change check clear close danger describe do does door down drive driver each "
    "else empty even every explain find first five for four from full go good half has have here high how "
    "if in inside is it its just keep know last left level like list little look low me meaning means "
    "more most much must name near needs never new next no normal not nothing now of off on one only open "
    "or other out over part picture place please point problem question right safe same say second see "
    "seven should show shown side six so soon still stop than that the their then there they thing this "
    "three time to too top two under up urgent very warm warning was way we what when where which who why "
    "will with without word would wrong yes yet you your zero"
)
"""Plain words that later wordings may use: each is one token."""


def corpus() -> Iterator[str]:
    """Every wording that the demo's questions and answers can take, as prompts and responses write them."""
    rng, words = np.random.default_rng(0), random.Random(0)
    for form in FORMS:
        yield from form.wordings
        yield "\n".join(
            f"{letter}. {choice}" for letter, choice in zip("ABCDEFGH", form.choices, strict=False)
        )
    for _ in range(CORPUS_SCENES):
        scene = sample_scene(rng)
        asked = [*catalogue(scene, words), *absent_questions(scene, words)]
        asked += general.questions(general.sample_scene(rng, "train"), rng)  # type: ignore[arg-type]
        for qa in asked:
            yield qa.question
            yield qa.answer
            yield f"{qa.reasoning} Answer: {qa.answer}"
    yield from (" " + word for word in COMMON_WORDS.split() for _ in range(2))
    yield from (
        "Describe the picture.",
        "user\n",
        "assistant\n",
        "system\n",
        "unknown",
        "Yes",
        "No",
        "I cannot tell.",
    ) * 2


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer. Unknown words become bytes, so any text comes back unchanged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=LARGEST_VOCABULARY,
        min_frequency=1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token=END_OF_TEXT,
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t not in (END_OF_TEXT, "<|im_end|>")],
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
