"""One gRPC call on one HTTP/2 stream: messages in, responses and an end out. Instants are given, never read."""

from __future__ import annotations

from typing import Protocol

from harness.truth import grpc, replies
from harness.truth.asked import Asked, read_request
from harness.truth.frames import Code
from harness.truth.grpc import GrpcError, MessageReader, Status
from harness.truth.outgoing import Mark, Outgoing
from harness.truth.playback import Playback
from harness.truth.replies import Replies
from harness.truth.sent_log import OpenRequest, Outcome
from harness.truth.service import PREFIX, Service

STREAM_INFER = PREFIX + "ModelStreamInfer"
INFER = PREFIX + "ModelInfer"
_NOT_DECOUPLED = "Streaming is only supported if model is deployed using decoupled mode."
_DECOUPLED = "ModelInfer RPC doesn't support models with decoupled transaction policy"


class Host(Protocol):
    """What a call needs of the connection's owner."""

    def hang_up(self) -> None:
        """Close the connection as soon as nothing else is to be done."""

    def drop(self, stream_id: int) -> None:
        """The call on this stream is over."""


class Call:
    """One call on stream `stream_id` of the connection that `host` owns."""

    def __init__(
        self,
        service: Service,
        outgoing: Outgoing,
        host: Host,
        address: tuple[int, int],
        path: str,
        arrival_ns: int,
        traceparent: str | None = None,
    ) -> None:
        """`address`: the connection's number and the stream's id."""
        self._service = service
        self._outgoing = outgoing
        self._connection_number, self._stream_id = address
        self._path = path
        self._traceparent = traceparent
        self._arrival_ns: int | None = arrival_ns
        self._host = host
        self._reader = MessageReader()
        self._messages: list[bytes] = []
        self._playing: set[Playback] = set()
        self._unsettled: set[Playback] = set()
        self._client_closed = self._headers_sent = self._ended = False

    # ---- what the client does

    def feed(self, content: bytes, received_ns: int) -> None:
        """Content of a DATA frame that was received at `received_ns`."""
        if self._arrival_ns is None:
            self._arrival_ns = received_ns
        try:
            messages = self._reader.feed(content)
        except GrpcError as error:
            self.fail(error.status, error.message, Outcome.ERROR)
            return
        for message in messages:
            if self._path == STREAM_INFER:
                self._infer(message, received_ns)
            else:
                self._messages.append(message)

    def close_client_half(self, received_ns: int) -> None:
        """The client sends no more."""
        self._client_closed = True
        if not self._reader.is_between_messages:
            self.fail(Status.INTERNAL, "the last message is cut short", Outcome.ERROR)
        elif self._path == STREAM_INFER:
            self.end_if_done()
        elif len(self._messages) != 1:
            self.fail(Status.INTERNAL, f"a call with {len(self._messages)} messages", Outcome.ERROR)
        elif self._path == INFER:
            self._infer(self._messages[0], received_ns)
        else:
            self._answer(self._messages[0])

    def abandon(self, outcome: Outcome, at_ns: int) -> None:
        """The stream or its connection is gone: what was under way ended at `at_ns`."""
        self._ended = True
        for playback in list(self._unsettled):
            playback.settle(outcome, at_ns)
        self._drop_if_over()

    # ---- what the server does

    def replies(self, asked: Asked) -> Replies:
        """The encoder of this request's answer."""
        return Replies(asked, self._service.counter, self._service.behaviour)

    def report(self, message: str, request_id: str) -> None:
        """An error inside the stream, as Triton reports it."""
        self.reply(replies.failed(message, request_id))

    def close_stream(self, asked: Asked) -> None:
        """The flag-only final response to this request, of the several that one stream may carry."""
        if self._service.behaviour.final_flag == "separate":
            self.reply(self.replies(asked).empty_final())

    def reply(self, framed: bytes, mark: Mark | None = None) -> None:
        """Send one message, behind the response headers if it is the first."""
        self._begin()
        self._outgoing.send_data(self._stream_id, framed, mark=mark)

    def fail(self, status: Status, message: str, outcome: Outcome) -> None:
        """End the call with a status; requests still under way end with `outcome`."""
        block = grpc.trailers(status, message, only=not self._headers_sent)
        self._outgoing.send_headers(self._stream_id, block, end=True)
        self._end_all(outcome)

    def cut(self) -> None:
        """End the call as a broken server or proxy does, in the behaviour's style."""
        style = self._service.behaviour.cut_style
        if style == "close":
            self._outgoing.mark_after(self._stream_id, _HangUp(self._host))
        elif style == "reset":
            self._outgoing.reset(self._stream_id, Code.INTERNAL_ERROR)
        else:
            self._begin()
            self._outgoing.send_data(self._stream_id, b"", end=True)
        self._end_all(Outcome.CUT)

    def mark_end(self, playback: Playback, outcome: Outcome) -> None:
        """Settle the request when the socket has taken all that was sent for it so far."""
        self._playing.discard(playback)
        self._outgoing.mark_after(self._stream_id, _Settlement(playback, outcome))

    def forget(self, playback: Playback) -> None:
        """The request is settled."""
        self._playing.discard(playback)
        self._unsettled.discard(playback)
        self._drop_if_over()

    def end_if_done(self) -> None:
        """Send the trailers once the client has closed its half and every request has its last response."""
        if self._client_closed and not self._playing and not self._ended:
            self._ended = True
            self._begin()
            self._outgoing.send_headers(self._stream_id, grpc.trailers(Status.OK), end=True)
            self._drop_if_over()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the peer has not taken yet."""
        return self._outgoing.waiting_bytes(self._stream_id)

    @property
    def has_ended(self) -> bool:
        """Whether the call's end has been sent."""
        return self._ended

    @property
    def is_stream(self) -> bool:
        """Whether responses are those of ModelStreamInfer."""
        return self._path == STREAM_INFER

    def _begin(self) -> None:
        if not self._headers_sent:
            self._headers_sent = True
            self._outgoing.send_headers(self._stream_id, grpc.response_headers())

    def _answer(self, message: bytes) -> None:
        try:
            answer = self._service.answer(self._path, message)
        except GrpcError as error:
            self.fail(error.status, error.message, Outcome.ERROR)
        except ValueError as error:
            self.fail(Status.INTERNAL, f"the request cannot be decoded: {error}", Outcome.ERROR)
        else:
            self.reply(grpc.frame_message(answer))
            self.end_if_done()

    def _infer(self, message: bytes, received_ns: int) -> None:
        arrival_ns = received_ns if self._arrival_ns is None else self._arrival_ns
        self._arrival_ns = None
        self._service.note_inference(arrival_ns)
        if self._ended:
            return
        try:
            asked = read_request(message, self._service.counter)
            self._require_mode(asked)
        except GrpcError as error:
            self._refuse(error, arrival_ns, received_ns)
            return
        record = self._record(arrival_ns, received_ns, asked)
        playback = Playback(self, self._service, asked, record, received_ns)
        self._playing.add(playback)
        self._unsettled.add(playback)
        self._service.timers.at(playback.first_due_ns, playback.advance)

    def _require_mode(self, asked: Asked) -> None:
        if self._path == INFER and self._service.behaviour.decoupled:
            raise GrpcError(Status.UNIMPLEMENTED, _DECOUPLED)
        if asked.is_streaming and not self._service.behaviour.decoupled:
            raise GrpcError(Status.INVALID_ARGUMENT, _NOT_DECOUPLED)

    def _refuse(self, error: GrpcError, arrival_ns: int, received_ns: int) -> None:
        """A request that is wrong in itself: Triton answers it inside the stream, and ModelInfer with a status."""
        record = self._record(arrival_ns, received_ns, None)
        record.fail(error.message)
        self._service.close(record, Outcome.ERROR, received_ns)
        if self._path == INFER:
            self.fail(error.status, error.message, Outcome.ERROR)
            return
        self.reply(replies.failed(error.message, ""))
        self.end_if_done()

    def _record(self, arrival_ns: int, received_ns: int, asked: Asked | None) -> OpenRequest:
        record = OpenRequest(
            request_id=asked.request_id if asked else "",
            model=asked.model.name if asked else "",
            connection=self._connection_number,
            stream_id=self._stream_id,
            arrival_ns=arrival_ns,
            request_complete_ns=received_ns,
            input_tokens=asked.input_tokens if asked else 0,
            output_tokens_asked=asked.output_tokens if asked else 0,
        )
        record.note_headers(self._traceparent)
        return record

    def _end_all(self, outcome: Outcome) -> None:
        self._ended = True
        for playback in list(self._playing):
            self.mark_end(playback, outcome)
        self._drop_if_over()

    def _drop_if_over(self) -> None:
        if self._ended and not self._unsettled:
            self._host.drop(self._stream_id)


class _Settlement:
    """Settles a request at the instant at which its last byte was taken."""

    def __init__(self, playback: Playback, outcome: Outcome) -> None:
        self._playback = playback
        self._outcome = outcome

    def handed(self, before_ns: int, after_ns: int) -> None:
        self._playback.settle(self._outcome, after_ns)


class _HangUp:
    """Closes the connection once all that was sent before has been taken."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def handed(self, before_ns: int, after_ns: int) -> None:
        self._host.hang_up()
