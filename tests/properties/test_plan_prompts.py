"""Prompts have exactly the asked number of tokens under every kind of tokenizer, and never a common beginning."""

from __future__ import annotations

import functools
import json
import pydoc_data.topics
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from harness.errors import UsageError
from harness.plan.nonce import nonce_length
from harness.plan.prefix import prefix_id
from harness.plan.prompts import SAFE_IDS, PromptKey, PromptSource
from harness.plan.tokens import find_words, load_tokenizer

KEY = PromptKey("5f0c", 1, "all-c4", None, 0, 0)
PROSE = list(pydoc_data.topics.topics.values())
SPECIAL = ["<unk>", "<s>", "</s>"]
BERT_SPECIAL = ["[UNK]", "[PAD]", "[CLS]", "[SEP]"]


def byte_level() -> Tokenizer:
    """As GPT-2, Llama 3, Qwen."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(tokenizer, trainers.BpeTrainer(vocab_size=4096, special_tokens=SPECIAL, initial_alphabet=alphabet))


def byte_level_with_bos() -> Tokenizer:
    """As Llama 3 with its post-processor; the file also carries a truncation, which servers do not apply."""
    tokenizer = byte_level()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=32)
    return tokenizer


def metaspace() -> Tokenizer:
    """As Mistral: BPE over SentencePiece's space mark."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return trained(tokenizer, trainers.BpeTrainer(vocab_size=3000, special_tokens=SPECIAL))


def llama_2() -> Tokenizer:
    """As Llama 2: normalizers instead of a pre-tokenizer, BOS, merges over the whole text."""
    tokenizer = metaspace()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    as_trained = json.loads(tokenizer.to_str())
    tokenizer = Tokenizer.from_str(json.dumps({**as_trained, "pre_tokenizer": None}))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def unigram() -> Tokenizer:
    """As T5: Unigram with an end mark."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=1200, special_tokens=SPECIAL, unk_token="<unk>")
    trained(tokenizer, trainer, PROSE[:20])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return tokenizer


def bert() -> Tokenizer:
    """As BERT, lower-casing, with two special tokens."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained(tokenizer, trainers.WordPieceTrainer(vocab_size=3000, special_tokens=BERT_SPECIAL))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def letters() -> Tokenizer:
    """One token per character, as a byte tokenizer: words cannot have spaces between them."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))


def trained(tokenizer: Tokenizer, trainer: trainers.Trainer, texts: list[str] = PROSE) -> Tokenizer:
    trainer.show_progress = False
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


KINDS: dict[str, tuple[Callable[[], Tokenizer], int]] = {
    "byte_level": (byte_level, 0),
    "byte_level_with_bos": (byte_level_with_bos, 1),
    "metaspace": (metaspace, 0),
    "llama_2": (llama_2, 1),
    "unigram": (unigram, 1),
    "bert": (bert, 2),
    "letters": (letters, 0),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@functools.cache
def source_of(kind: str) -> tuple[PromptSource, Tokenizer]:
    """A source, and the server's tokenizer: loaded anew, only truncation and padding off."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        KINDS[kind][0]().save(str(path))
        server = Tokenizer.from_file(str(path))
        server.no_truncation()
        server.no_padding()
        return PromptSource.from_tokenizer(Path(folder), seed=3), server


def server_ids(kind: str, text: bytes) -> list[int]:
    """The prompt's token ids as a server sees them, special tokens included."""
    ids: list[int] = source_of(kind)[1].encode(text.decode()).ids
    return ids


keys = st.builds(
    PromptKey,
    salt=st.text("0123456789abcdef", min_size=1, max_size=16),
    attempt=st.integers(1, 3),
    point_id=st.sampled_from(["all-c1", "mix-c16"]),
    arm=st.sampled_from([None, "baseline", "candidate"]),
    repetition=st.integers(0, 4),
    index=st.integers(0, 2_000_000),
)


@every_kind
@settings(max_examples=60, deadline=None)
@given(key=keys, own=st.integers(1, 700), slot=st.integers(0, 255))
def test_a_unique_prompt_has_exactly_the_asked_tokens(kind: str, key: PromptKey, own: int, slot: int) -> None:
    source = source_of(kind)[0]
    asked = own + source.special_tokens
    assert len(server_ids(kind, source.text(key, asked, slot, ()))) == asked


@every_kind
@settings(max_examples=40, deadline=None)
@given(
    key=keys, prefix=st.integers(5, 300), number=st.integers(0, 9), own=st.integers(1, 200), slot=st.integers(0, 255)
)
def test_a_prompt_with_a_shared_prefix_has_exactly_the_asked_tokens(
    kind: str, key: PromptKey, prefix: int, number: int, own: int, slot: int
) -> None:
    source = source_of(kind)[0]
    asked = prefix + own + source.special_tokens
    assert len(server_ids(kind, source.text(key, asked, slot, [prefix_id(number, prefix)]))) == asked


@every_kind
def test_a_prompt_longer_than_the_pool_has_exactly_the_asked_tokens(kind: str) -> None:
    source = source_of(kind)[0]
    for asked in (70_000, 140_001):
        assert len(server_ids(kind, source.text(KEY, asked, 200, ()))) == asked


@every_kind
def test_the_special_tokens_are_those_of_the_post_processor(kind: str) -> None:
    source = source_of(kind)[0]
    assert source.exact
    assert source.special_tokens == KINDS[kind][1]
    assert source.smallest_input_tokens == KINDS[kind][1] + 1
    text = source.text(KEY, source.smallest_input_tokens, 0, ())
    assert len(text) > 0
    assert source.count(text) == source.smallest_input_tokens == len(server_ids(kind, text))


@every_kind
def test_no_two_prompts_have_more_in_common_than_a_part_of_the_nonce(kind: str) -> None:
    """All pairs, by sorting: a common beginning of any two is one of two neighbours. Same slot: the worst case."""
    source = source_of(kind)[0]
    longest = nonce_length(len(source.texts.pieces)) + source.special_tokens
    scopes = [KEY, replace(KEY, repetition=1), replace(KEY, arm="candidate"), replace(KEY, salt="other")]
    prompts = sorted(
        server_ids(kind, source.text(replace(scope, index=index), 60, 9, ()))
        for scope in scopes
        for index in range(400)
    )
    assert max(common(one, other) for one, other in pairwise(prompts)) < longest


@every_kind
def test_successive_prompts_differ_from_their_first_token_on(kind: str) -> None:
    source, server = source_of(kind)
    count = min(400, len(source.texts.pieces))
    texts = [source.text(replace(KEY, index=index), 40, 0, ()).decode() for index in range(count)]
    assert len({server.encode(text, add_special_tokens=False).ids[0] for text in texts}) == count


@every_kind
@pytest.mark.parametrize("own", [1, 2, 3])
def test_short_prompts_repeat_only_when_the_vocabulary_is_used_up(kind: str, own: int) -> None:
    source = source_of(kind)[0]
    different = len(source.texts.pieces) ** own
    asked = own + source.special_tokens
    texts = [source.text(replace(KEY, index=index), asked, index % 256, ()) for index in range(min(different, 5000))]
    assert len({tuple(server_ids(kind, text)) for text in texts}) == len(texts)


def test_prompts_with_the_same_prefix_share_it_and_nothing_more() -> None:
    source, prefix = source_of("byte_level_with_bos")[0], prefix_id(2, 100)
    prompts = [
        server_ids("byte_level_with_bos", source.text(replace(KEY, index=i), 200, 0, [prefix])) for i in range(50)
    ]
    assert all(common(one, other) == 101 for one, other in pairwise(prompts))  # BOS and the prefix


@pytest.mark.parametrize("change", [{"salt": "x"}, {"attempt": 2}, {"arm": "b"}, {"repetition": 1}, {"point_id": "q"}])
def test_a_prefix_is_another_one_in_another_run_attempt_arm_repetition_or_point(change: dict[str, object]) -> None:
    source, prefix = source_of("byte_level")[0], [prefix_id(2, 100)]
    one, other = (server_ids("byte_level", source.text(key, 200, 0, prefix)) for key in (KEY, replace(KEY, **change)))  # type: ignore[arg-type]
    assert common(one, other) < nonce_length(len(source.texts.pieces))


def test_different_prefixes_differ_from_the_start() -> None:
    source = source_of("byte_level")[0]
    starts = {source.text(KEY, 60, 0, [prefix_id(number, 50)])[:200] for number in range(300)}
    assert len(starts) == 300


def test_more_prefixes_than_their_length_allows_are_refused() -> None:
    source = source_of("letters")[0]
    with pytest.raises(UsageError, match="26 different prefixes"):
        source.text(KEY, 10, 0, [prefix_id(26, 1)])


@settings(max_examples=60, deadline=None)
@given(
    key=keys,
    tokens=st.integers(101, 70_000),
    slot=st.integers(0, 255),
    prefix=st.sampled_from([None, [prefix_id(1, 100)]]),
)
def test_token_ids_have_exactly_the_asked_length_and_none_is_special(
    key: PromptKey, tokens: int, slot: int, prefix: list[int] | None
) -> None:
    source, server = source_of("byte_level_with_bos")
    ids = source.ids(key, tokens, slot, prefix)
    assert (ids.shape, ids.dtype) == ((tokens,), np.dtype(np.int32))
    assert ids.min() >= len(SPECIAL)
    assert ids.max() < server.get_vocab_size()


def test_token_id_prompts_differ_from_their_first_token_on() -> None:
    source = source_of("bert")[0]
    prompts = [source.ids(replace(KEY, index=index), 30, 0, ()) for index in range(2000)]
    assert len({int(ids[0]) for ids in prompts}) == 2000


def test_control_and_unknown_tokens_are_never_sent_as_ids() -> None:
    source, server = source_of("bert")
    used = {server.id_to_token(int(number)) for number in source.token_ids.ids}
    assert not used & set(BERT_SPECIAL)
    assert len(used) == server.get_vocab_size() - len(BERT_SPECIAL)


def test_the_same_seed_gives_the_same_prompts_and_another_seed_other_bodies(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    byte_level().save(str(path))
    one, same, other = (PromptSource.from_tokenizer(path, seed).text(KEY, 80, 7, ()) for seed in (3, 3, 4))
    assert one == same != other


def test_without_a_tokenizer_a_prompt_has_one_plain_word_per_token_and_says_that_it_is_not_exact() -> None:
    source = PromptSource.without_tokenizer(seed=1)
    text = source.text(KEY, 50, 3, ())
    assert not source.exact
    assert source.count(text) is None
    assert len(text.split()) == 50
    assert re.fullmatch(rb"[a-z]+( [a-z]+)*", text)
    assert len({source.text(replace(KEY, index=index), 50, 3, ()) for index in range(3000)}) == 3000


def test_without_a_tokenizer_ids_stay_in_the_safe_range() -> None:
    ids = PromptSource.without_tokenizer(seed=1).ids(KEY, 5000, 3, ())
    assert len(ids) == 5000
    assert set(ids.tolist()) <= set(SAFE_IDS)


def test_a_prompt_without_room_for_a_token_of_its_own_is_refused() -> None:
    source = source_of("bert")[0]
    for tokens, prefixes in ((2, ()), (102, (prefix_id(0, 100),))):
        with pytest.raises(UsageError, match="no token of its own"):
            source.text(KEY, tokens, 0, prefixes)


def test_words_that_merge_with_their_neighbours_are_dropped() -> None:
    """A tokenizer that joins `b` to whatever follows, a letter or a space: no text with `b` in it is additive."""
    letters = "acdefghijklmnopqrstuvwxyz"
    joined = ["▁", *letters]
    tokens = [*joined, "b", *(f"b{after}" for after in joined), *(f"▁{letter}" for letter in letters), "▁b"]
    merges = [*(("b", after) for after in joined), *(("▁", letter) for letter in [*letters, "b"])]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    vocabulary = find_words(tokenizer)
    assert "b" not in vocabulary.words
    assert len(vocabulary.words) >= 16


def test_a_tokenizer_without_usable_words_is_refused_with_a_way_out(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "one": 1, "two": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UsageError, match="only 2 words") as refused:
        PromptSource.from_tokenizer(tmp_path, seed=1)
    assert "token-id model" in str(refused.value.hint)


def test_a_missing_or_broken_tokenizer_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such tokenizer file"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="not a tokenizer"):
        load_tokenizer(tmp_path)


def common(one: list[int], other: list[int]) -> int:
    """Length of the common beginning."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


turns = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 40)), min_size=1, max_size=6)


@every_kind
@settings(max_examples=25, deadline=None)
@given(key=keys, first=st.integers(1, 120), later=turns, slot=st.integers(0, 255), prefix=st.sampled_from([0, 60]))
def test_every_turn_begins_with_the_turn_before_and_has_exactly_the_asked_tokens(
    kind: str, key: PromptKey, first: int, later: list[tuple[int, int]], slot: int, prefix: int
) -> None:
    source, prefixes = source_of(kind)[0], [prefix_id(3, prefix)] if prefix else None
    asked = first + prefix + source.special_tokens
    before = source.text(key, asked, slot, prefixes)
    for output, new in later:
        asked += output + new
        text = source.text(key, asked, slot, prefixes)
        assert text.startswith(before)
        assert len(server_ids(kind, text)) == asked
        before = text


@every_kind
@settings(max_examples=25, deadline=None)
@given(key=keys, first=st.integers(1, 120), output=st.integers(1, 60), new=st.integers(1, 60), slot=st.integers(0, 255))
def test_a_reply_of_the_asked_length_and_new_text_behind_it_make_the_asked_prompt(
    kind: str, key: PromptKey, first: int, output: int, new: int, slot: int
) -> None:
    """The reply stands for any text of so many tokens: here words of the vocabulary, as a model might say them."""
    source = source_of(kind)[0]
    asked = first + source.special_tokens
    sent = source.text(key, asked, slot)
    reply = source.texts.body(slot + 77, output)
    prompt = sent + reply + source.new_text(key, asked + output + new, new, slot)
    assert len(server_ids(kind, prompt)) == asked + output + new
    ids = [source.ids(key, asked, slot), np.arange(output), source.new_ids(key, asked + output + new, new, slot)]
    assert len(np.concatenate(ids)) == asked + output + new


def test_the_planned_history_is_what_new_text_continues() -> None:
    source, prefixes = source_of("byte_level_with_bos")[0], [prefix_id(1, 40)]
    sent, next_turn = (source.text(KEY, length, 5, prefixes) for length in (100, 190))
    new = source.new_text(KEY, 190, 60, 5, prefixes)
    assert next_turn.endswith(new)
    assert source.count(next_turn[: -len(new)]) == 130
    assert next_turn.startswith(sent)


def test_the_turns_of_a_session_share_their_key_and_other_rows_do_not() -> None:
    def of(index: int, turn: int | None) -> PromptKey:
        return PromptKey.of_row("5f0c", 1, "all-c4", None, 0, index, turn)

    assert of(7, 0) == of(9, 2) == of(7, None)
    assert len({of(7, None), of(8, None), of(8, 0)}) == 2


def test_a_text_from_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    texts = ["Who was Ada Lovelace?\n", "  Zwei Sätze. Und ein 🙂  "]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    source, server = source_of("byte_level_with_bos")
    with_files = source.with_files({"chat": str(tmp_path / "prompts.jsonl")})
    for row, text in enumerate(texts):
        assert with_files.text(KEY, 999, row, part="chat") == text.encode()
        assert with_files.ids(KEY, 999, row, part="chat").tolist() == server.encode(text).ids
    assert with_files.text(KEY, 50, 1, part="other") == source.text(KEY, 50, 1)
    with pytest.raises(UsageError, match="2 rows, row 2 was planned"):
        with_files.text(KEY, 5, 2, part="chat")
    with pytest.raises(UsageError, match="without a tokenizer"):
        replace(with_files, tokenizer=None).ids(KEY, 5, 0, part="chat")
