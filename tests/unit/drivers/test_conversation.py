"""The prompt of a turn that repeats the real reply."""

from __future__ import annotations

import numpy as np

from harness.drivers.locust.conversation import Continuation, Conversation
from harness.protocols.answer import Answer


def _reply(text: bytes = b"", ids: bytes = b"") -> Answer:
    return Answer("ok", None, 0, text=text, output_ids=ids)


def test_each_turn_repeats_everything_that_was_said_before_it() -> None:
    conversation = Conversation(b"hello", of_ids=False)
    first, second = (Continuation(conversation, new, lambda prompt: b"<" + prompt + b">") for new in (b" why", b" how"))
    assert first.message(_reply(b" world")) == b"<hello world why>"
    assert second.message(_reply(b" because")) == b"<hello world why because how>"


def test_a_reply_that_never_came_leaves_only_the_new_text() -> None:
    assert Conversation(b"hello", of_ids=False).continued(_reply(), b" why") == b"hello why"


def test_a_reply_cut_within_a_letter_stays_a_text() -> None:
    prompt = Conversation(b"hello", of_ids=False).continued(_reply("ä".encode()[:1]), b" why")
    assert prompt.decode() == "hello\N{REPLACEMENT CHARACTER} why"


def test_ids_are_joined_as_they_came() -> None:
    first, reply, new = (np.asarray(ids, np.int32).tobytes() for ids in ([1, 2], [3], [4, 5]))
    prompt = Conversation(first, of_ids=True).continued(_reply(ids=reply), new)
    assert np.frombuffer(prompt, np.int32).tolist() == [1, 2, 3, 4, 5]
