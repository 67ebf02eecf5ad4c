"""What an HTTP/1.1 connection sends: pieces in order, and how many of them go into one packet. No socket, no clock."""

from __future__ import annotations

from collections import deque

from harness.truth.outgoing import Mark

MOST_PACKET_BYTES = 1 << 16


class HttpOutgoing:
    """Pieces wait here; the owner of the socket takes a packet, and tells how much of it the kernel took.

    `chunks_per_packet`: so many counted pieces, and what stands between them, make a packet; None: all that waits.
    """

    def __init__(self, chunks_per_packet: int | None) -> None:
        self._most = chunks_per_packet
        self._waiting: deque[tuple[bytes, Mark | None, bool]] = deque()
        self._packet = b""
        self._marks: list[Mark] = []
        self.waiting_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether everything has been taken."""
        return not (self._waiting or self._packet or self._marks)

    def write(self, content: bytes, mark: Mark | None = None, *, counted: bool = False) -> None:
        """Send this behind all else; `mark` learns when its last byte was taken; `counted`: it is a chunk of output."""
        self._waiting.append((content, mark, counted))
        self.waiting_bytes += len(content)

    def packet(self) -> bytes:
        """What is to be handed to the kernel next, in one call."""
        if not self._packet and not self._marks:
            self._gather()
        return self._packet

    def passed(self, count: int) -> list[Mark]:
        """The kernel took the first `count` bytes of the packet; the marks in it, once it took all of them."""
        self._packet = self._packet[count:]
        self.waiting_bytes -= count
        if self._packet:
            return []
        marks, self._marks = self._marks, []
        return marks

    def _gather(self) -> None:
        pieces, counted, size = [], 0, 0
        while self._waiting and size < MOST_PACKET_BYTES:
            content, mark, counts = self._waiting[0]
            if counts and self._most is not None and counted == self._most:
                break
            self._waiting.popleft()
            pieces.append(content)
            counted += counts
            size += len(content)
            if mark is not None:
                self._marks.append(mark)
        self._packet = b"".join(pieces)
