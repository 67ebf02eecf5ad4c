"""One HTTP/1.1 connection, server side: requests one after the other, each answered before the next is looked at."""

from __future__ import annotations

from collections.abc import Sequence

from harness.truth import http_service, http_wire
from harness.truth.asked import Asked
from harness.truth.grpc import GrpcError, Status
from harness.truth.http_asked import read_generate, read_openai
from harness.truth.http_exchange import Exchange
from harness.truth.http_outgoing import HttpOutgoing
from harness.truth.http_replies import Api
from harness.truth.http_wire import NotHttp, Request, RequestReader
from harness.truth.outgoing import Mark
from harness.truth.sent_log import OpenRequest, Outcome
from harness.truth.service import Service

_APIS: dict[str, Api] = {"/v1/chat/completions": "chat", "/v1/completions": "completions"}


class HttpConversation:
    """What is said on one connection. `hangs_up`: nothing more is to be sent or read."""

    alpn = "http/1.1"

    def __init__(self, service: Service, number: int) -> None:
        self.hangs_up = self.aborts = False
        self._service = service
        self._number = number
        self._outgoing = HttpOutgoing(service.behaviour.chunks_per_packet)
        self._reader = RequestReader()
        self._exchange: Exchange | None = None
        self._requests = 0
        self._arrival_ns: int | None = None
        self._received_ns = 0
        self._closes = False

    @property
    def wants_to_write(self) -> bool:
        """Whether bytes or marks wait."""
        return not self._outgoing.is_empty

    @property
    def is_over(self) -> bool:
        """Whether the connection is to be closed once all has been sent."""
        return self._closes and self._outgoing.is_empty

    def packet(self) -> bytes:
        """What is to be handed to the kernel next."""
        return self._outgoing.packet()

    def passed(self, count: int) -> Sequence[Mark]:
        """The kernel took so many bytes of the packet."""
        return self._outgoing.passed(count)

    def receive(self, received: bytes, received_ns: int) -> None:
        """Bytes that one recv brought."""
        self._received_ns = received_ns
        self._reader.feed(received)
        self._go_on()

    def abandon(self, outcome: Outcome, at_ns: int) -> None:
        """The connection is gone."""
        if self._exchange is not None:
            self._exchange.abandon(outcome, at_ns)
            self._exchange = None

    def go_away(self) -> None:
        """HTTP/1.1 has no word for it."""

    # ---- the host of an exchange

    def hang_up(self, *, abort: bool) -> None:
        """Close the connection when what was sent so far has been taken; `abort`: with a reset."""
        self.aborts = abort
        self._outgoing.write(b"", _HangUp(self))

    def next_request(self, *, keep_alive: bool) -> None:
        """The response has been sent whole."""
        self._exchange = None
        self._closes |= not keep_alive
        self._go_on()

    # ---- requests

    def _go_on(self) -> None:
        while self._exchange is None and not self._closes:
            try:
                request = self._reader.next()
            except (NotHttp, ValueError) as error:
                self._outgoing.write(http_wire.whole(400, {"error": str(error)}))
                self._closes = True
                return
            if self._arrival_ns is None and (request or self._reader.begun):
                self._arrival_ns = self._received_ns
            if request is None:
                return
            self._answer(request)
            self._arrival_ns = None

    def _answer(self, request: Request) -> None:
        self._requests += 1
        self._closes |= request.headers.get("connection", "").lower() == "close"
        behaviour = self._service.behaviour
        path = request.path.removeprefix(behaviour.http_base_path)
        if not request.path.startswith(behaviour.http_base_path):
            self._say(404, {"error": f"no such route: {request.path}"})
        elif behaviour.required_key is not None and request.key != behaviour.required_key:
            self._say(401, {"error": "the API key is missing or wrong"})
        elif request.method == "POST" and (found := _inference(path)) is not None:
            self._infer(request, *found)
        else:
            self._say(*http_service.answer(self._service, request.method, path))

    def _say(self, status: int, content: object) -> None:
        self._outgoing.write(http_wire.whole(status, content))

    def _infer(self, request: Request, api: Api, model: str, streaming: bool) -> None:
        arrival_ns = self._received_ns if self._arrival_ns is None else self._arrival_ns
        self._service.note_inference(arrival_ns)
        name = request.headers.get("x-request-id", "")
        try:
            asked = self._read(request, api, model, name, streaming)
        except GrpcError as error:
            record = self._record(arrival_ns, name, model, None)
            record.fail(error.message)
            self._service.close(record, Outcome.ERROR, self._received_ns)
            self._say(404 if error.status is Status.NOT_FOUND else 400, {"error": error.message})
            return
        exchange = Exchange(self._service, self._outgoing, self, asked, api, (arrival_ns, self._received_ns))
        self._exchange = exchange
        record = self._record(arrival_ns, name, asked.model.name, asked)
        record.note_headers(request.headers.get("traceparent"))
        exchange.begin(asked, record)

    def _read(self, request: Request, api: Api, model: str, name: str, streaming: bool) -> Asked:
        body, counter = bytes(request.body), self._service.counter
        if api == "generate":
            return read_generate(model, body, name, counter, streaming=streaming)
        return read_openai(body, name, counter, chat=api == "chat")

    def _record(self, arrival_ns: int, name: str, model: str, asked: Asked | None) -> OpenRequest:
        return OpenRequest(
            request_id=name,
            model=model,
            connection=self._number,
            stream_id=self._requests,
            arrival_ns=arrival_ns,
            request_complete_ns=self._received_ns,
            input_tokens=asked.input_tokens if asked else 0,
            output_tokens_asked=asked.output_tokens if asked else 0,
        )


def _inference(path: str) -> tuple[Api, str, bool] | None:
    """(api, model, streaming) of a path that asks for tokens; OpenAI bodies name model and mode themselves."""
    if path in _APIS:
        return _APIS[path], "", False
    if path.startswith("/v2/models/"):
        model, _, call = path.removeprefix("/v2/models/").partition("/")
        call = call.rpartition("/")[2] if call.startswith("versions/") else call
        if call in ("generate", "generate_stream"):
            return "generate", model, call == "generate_stream"
    return None


class _HangUp:
    def __init__(self, conversation: HttpConversation) -> None:
        self._conversation = conversation

    def handed(self, before_ns: int, after_ns: int) -> None:
        self._conversation.hangs_up = True
