"""The real sampler on the real clock: this host, a real HTTP server with a Triton page, a real gRPC server.

The page and the statistics are constructed in the shape of Triton's; the servers know what they told and when.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harness import clock
from harness.telemetry import host, nvml, prometheus, triton_statistics
from harness.telemetry.sample import Sample
from harness.telemetry.sampler import Sampler
from harness.telemetry.source import ReadFailed, Unavailable

pytestmark = pytest.mark.integration

PAGE = """\
# TYPE nv_inference_request_success counter
nv_inference_request_success{{model="ensemble",version="1"}} {served}
# TYPE nv_inference_first_response_histogram_ms histogram
nv_inference_first_response_histogram_ms_bucket{{model="ensemble",version="1",le="+Inf"}} {served}
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{{model="tensorrt_llm",version="1",request_type="active"}} 2
nv_trt_llm_kv_cache_block_metrics{{model="tensorrt_llm",version="1",kv_cache_block_type="fraction"}} 0.25
"""


class MetricsPage(BaseHTTPRequestHandler):
    """Counts its readings in the page itself, so that a test can tell which reading a sample came from."""

    def do_GET(self) -> None:
        server = self.server
        with server.counting:  # an edge is read beside the sampler's own thread
            server.served_at.append(clock.now())
            served = len(server.served_at)
        server.headers_seen.append(dict(self.headers))
        time.sleep(server.delay_s)
        body = PAGE.format(served=served).encode()
        self.send_response(server.status)
        self.end_headers()
        if server.status == 200:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Silent."""


@contextmanager
def metrics_server(status: int = 200, delay_s: float = 0.0, port: int = 0):
    server = ThreadingHTTPServer(("127.0.0.1", port), MetricsPage)
    server.status, server.delay_s, server.served_at, server.headers_seen = status, delay_s, [], []
    server.counting = threading.Lock()
    server.handle_error = lambda request, address: None  # a client that gave up is what some tests are about
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Offers statistics, and nothing else."""

    def ModelStatistics(self, request, context):
        if request.name not in ("", "ensemble"):
            context.abort(grpc.StatusCode.NOT_FOUND, f"requested model '{request.name}' is not available")
        if ("authorization", "Bearer x") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        entry = service_pb2.ModelStatistics(name="ensemble", version="1", inference_count=7)
        entry.inference_stats.success.count, entry.inference_stats.success.ns = 7, 7_000_000
        return service_pb2.ModelStatisticsResponse(model_stats=[entry])


@contextmanager
def grpc_server(servicer):
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(10)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def worker():
    """A process with a child, both busy enough to be seen, that end when the test does."""
    child = "import time\nfor _ in range(600): sum(range(20000)); time.sleep(0.01)"
    parent = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
    process = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    yield process
    os.killpg(process.pid, 9)
    process.wait(10)


def test_two_seconds_of_host_and_metrics_page_on_the_run_clock(worker):
    rows: list[Sample] = []
    batches: list[int] = []

    def sink(batch: list[Sample]) -> None:
        batches.append(len(batch))
        rows.extend(batch)

    began = clock.now()
    with metrics_server() as (server, url):
        sources = [
            host.open_source({"server": [worker.pid], "harness": [os.getpid()]}, period_s=0.5),
            prometheus.open_source(url, headers={"X-Run": "test"}, period_s=0.25),
            prometheus.open_source(f"http://127.0.0.1:{free_port()}/metrics", name="dead"),
        ]
        with Sampler(sources, sink, flush_every_s=0.5) as sampler:
            first_edge = sampler.read_edge()
            time.sleep(2)
            last_edge = sampler.read_edge()
            unavailable = sampler.unavailable
    ended = clock.now()

    assert len(batches) >= 3
    assert all(began < row.time_ns < ended for row in rows)
    series: dict[tuple[str, str, str], list[Sample]] = {}
    for row in rows:
        series.setdefault((row.source, row.entity, row.metric), []).append(row)
    success = series["prometheus", "ensemble:1", "nv_inference_request_success"]
    assert sorted(row.value for row in success) == list(range(1, len(server.served_at) + 1))
    for row in success:
        assert row.time_ns > server.served_at[int(row.value) - 1], "stamped when read, not when asked"
    assert {row.value for row in series["prometheus", "tensorrt_llm:1", "nv_trt_llm_request_metrics.active"]} == {2}
    assert server.headers_seen[0]["X-Run"] == "test"

    assert len(series["host", "host", "cpu_utilization"]) >= 2
    assert series["host", "server", "processes"][-1].value == 2, "children are included"
    assert max(row.value for row in series["host", "server", "cpu_cores"]) > 0
    assert series["host", "server", "memory_rss"][0].value > 1024**2

    assert [gone.source for gone in unavailable] == ["dead"]
    assert "Connection refused" in unavailable[0].reason
    assert not any(source == "dead" for source, _, _ in series)

    counters = {(row.entity, row.metric) for row in last_edge}
    assert (f"server/{worker.pid}", "cpu_time") in counters
    assert ("ensemble:1", "nv_inference_first_response_histogram_ms_bucket.le=+Inf") in counters
    assert max(row.time_ns for row in first_edge) < min(row.time_ns for row in last_edge)


def test_buckets_are_read_only_at_edges():
    with metrics_server() as (_, url):
        source = prometheus.open_source(url)
        assert not any("_bucket" in sample.metric for sample in source.read())
        assert any("_bucket" in sample.metric for sample in source.read_edge())


def test_a_page_that_hangs_is_given_up_in_time_and_told():
    with metrics_server(delay_s=1.5) as (_, url):
        source = prometheus.open_source(url, timeout_s=0.2)
        with pytest.raises(ReadFailed, match=r"did not answer within 0\.2 s"):
            source.read()


def test_a_page_that_is_not_there_is_told():
    with metrics_server(status=404) as (_, url), pytest.raises(ReadFailed, match="HTTP status 404"):
        prometheus.open_source(url).read()


def test_a_server_that_dies_leaves_a_gap_and_the_sampler_goes_on():
    rows: list[Sample] = []
    port = free_port()
    page = prometheus.open_source(f"http://127.0.0.1:{port}/metrics", period_s=0.1)
    with Sampler([host.open_source({}, period_s=0.1), page], rows.extend) as sampler:
        with metrics_server(port=port):
            time.sleep(0.5)
        died = clock.now()
        time.sleep(0.6)
        back = clock.now()
        with metrics_server(port=port):
            time.sleep(1.2)
            unavailable, interrupted = sampler.unavailable, sampler.interrupted
    page_rows = [row.time_ns for row in rows if row.source == "prometheus"]
    host_rows = [row.time_ns for row in rows if row.metric == "load_average_1m"]
    assert min(page_rows) < died, "the page was read before"
    assert max(page_rows) > back, "and is read again"
    assert not any(died < instant < back for instant in page_rows), "nothing stands for what was not read"
    assert any(died < instant < back for instant in host_rows)
    assert [gone.source for gone in interrupted] == ["prometheus"]
    assert unavailable == ()


def test_statistics_come_as_rows_with_their_instant():
    with grpc_server(Triton()) as url:
        before = clock.now()
        (row,) = triton_statistics.read(url, models=["ensemble"], headers={"Authorization": "Bearer x"})
        assert before < row.time_ns < clock.now()
        assert (row.model, row.success_count, row.success_ns) == ("ensemble", 7, 7_000_000)


def test_why_there_are_no_statistics_is_told():
    headers = {"authorization": "Bearer x"}
    with grpc_server(service_pb2_grpc.GRPCInferenceServiceServicer()) as url:
        answer = triton_statistics.read(url)
        assert answer == Unavailable("triton_statistics", f"the server at {url} does not offer statistics")
    with grpc_server(Triton()) as url:
        answer = triton_statistics.read(url, models=["other"], headers=headers)
        assert isinstance(answer, Unavailable)
        assert "requested model 'other' is not available" in answer.reason
    url = f"127.0.0.1:{free_port()}"
    assert triton_statistics.read(url) == Unavailable("triton_statistics", f"no server answers at {url}")


def test_the_gpus_of_this_host_are_told_or_their_absence_is():
    answers = nvml.open_sources()
    with Sampler(answers, lambda batch: None) as sampler:
        edge = sampler.read_edge()
        if isinstance(answers[0], Unavailable):
            assert sampler.unavailable[0].reason.startswith("no NVIDIA GPU on this host")
            assert edge == []
        else:
            assert any(sample.metric == "energy" and sample.value > 0 for sample in edge)
