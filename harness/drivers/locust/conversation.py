"""Turns that repeat the real reply: their prompts exist only once the answer before them has arrived.

    prompt of a turn = prompt sent in the turn before + reply as received + new text of the plan

Built when the reply is complete, before the think time, so that writing it never delays a send. What a cancelled or
failed answer brought until then is the reply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.protocols.answer import Answer


@dataclass
class Conversation:
    """All that was said in one session so far: UTF-8, or token ids as little-endian 32-bit integers."""

    said: bytes
    of_ids: bool

    def continued(self, reply: Answer, new: bytes) -> bytes:
        """The next prompt."""
        heard = (
            reply.output_ids if self.of_ids else reply.text.decode(errors="replace").encode()
        )  # a cut may split a letter
        self.said = b"".join((self.said, heard, new))
        return self.said


@dataclass(frozen=True)
class Continuation:
    """A turn that waits for the reply before it. `encode` makes the request's bytes from the prompt."""

    conversation: Conversation
    new: bytes
    encode: Callable[[bytes], bytes]

    def message(self, reply: Answer) -> bytes:
        """The bytes to send after this reply; to be called once, turn after turn."""
        return self.encode(self.conversation.continued(reply, self.new))
