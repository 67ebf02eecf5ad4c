"""A Prometheus page as a source: Triton's `/metrics` (`nv_*`, with `nv_trt_llm_*`) and trtllm-serve's (`trtllm_*`).

Values stay in the server's own units and names. How labels become the columns `entity` and `metric` is one function,
`place`. Counters count since the server started: take differences. The `nv_trt_llm_*` gauges show the latest iteration
of the engine, and freeze when it is idle. A page that has not answered within the time limit is a gap.
"""

from __future__ import annotations

import http.client
import math
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

from harness import clock
from harness.telemetry.sample import Sample
from harness.telemetry.source import ReadFailed

NAME = "prometheus"
PERIOD_S = 1.0
TIMEOUT_S = 1.0
PREFIXES = ("nv_", "trtllm_")
LONGEST_PAGE_BYTES = 16 * 1024 * 1024

SERVER = "server"
GPU_LABELS = ("gpu_uuid", "UUID")
MODEL_LABELS = ("model", "model_name")
VERSION_LABELS = ("version", "model_version")
# Labels that tell only which of a family's values this is: their value alone says enough.
KIND_LABELS = frozenset(
    {
        "request_type",
        "memory_type",
        "kv_cache_block_type",
        "inflight_batcher_specific_metric",
        "v1_specific_metric",
        "general_type",
        "disaggregated_serving_type",
        "response_metric_type",
        "reason",
        "finished_reason",
    }
)

# Names that do not tell their unit, and those whose ending would tell a wrong one. First match wins.
UNITS_BY_NAME = (
    ("nv_trt_llm_runtime_memory_metrics", "bytes"),
    ("nv_trt_llm_kv_cache_block_metrics.fraction", "ratio"),
    ("nv_trt_llm_kv_cache_block_metrics.tokens_per", "tokens"),
    ("nv_trt_llm_kv_cache_block_metrics", "blocks"),
    ("nv_trt_llm_inflight_batcher_metrics.total_context_tokens", "tokens"),
    ("nv_trt_llm_inflight_batcher_metrics.micro_batch_id", "id"),
    ("nv_trt_llm_inflight_batcher_metrics", "requests"),
    ("nv_trt_llm_request_metrics", "requests"),
    ("nv_trt_llm_general_metrics.timestamp", "unknown"),  # microseconds or seconds, depending on the reporter
    ("nv_trt_llm_general_metrics", "count"),
    ("nv_trt_llm_disaggregated_serving_metrics.kv_cache_transfer_ms", "ms"),
    ("nv_gpu_power", "W"),
    ("nv_energy_consumption", "J"),
    ("nv_gpu_utilization", "ratio"),
    ("nv_cpu_utilization", "ratio"),
    ("nv_cache_hit_duration", "us"),
    ("nv_cache_miss_duration", "us"),
)
UNITS_BY_ENDING = (
    ("_bytes", "bytes"),
    ("_seconds", "s"),
    ("_ms", "ms"),
    ("_us", "us"),
    ("_tokens", "tokens"),
    ("_token_len", "tokens"),
    ("_rate", "ratio"),
    ("_ratio", "ratio"),
    ("_utilization", "ratio"),
)


class PrometheusSource:
    """Reads one page. Histogram buckets are read only at the edges of windows: they are many, and only differ there."""

    def __init__(
        self,
        url: str,
        *,
        name: str = NAME,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        period_s: float = PERIOD_S,
        timeout_s: float = TIMEOUT_S,
        now: Callable[[], int] = clock.now,
    ) -> None:
        self.name = name
        self.period_s = period_s
        self._request = urllib.request.Request(url, headers=dict(headers or {}))
        # Straight to the server: a proxy from the environment would add its own time, or not reach it.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
        )
        self._timeout_s = timeout_s
        self._now = now

    def read(self) -> list[Sample]:
        """All values of the page but histogram buckets. Raises ReadFailed."""
        return [sample for sample in self.read_edge() if "_bucket." not in sample.metric]

    def read_edge(self) -> list[Sample]:
        """All values of the page. Raises ReadFailed."""
        text, time_ns = self._fetch()
        try:
            samples = list(parse(text, time_ns, source=self.name))
        except ValueError as error:
            raise ReadFailed(f"{self._request.full_url} is no Prometheus page: {error}") from error
        if not samples:
            raise ReadFailed(f"{self._request.full_url} has no metric that begins with {' or '.join(PREFIXES)}")
        return samples

    def close(self) -> None:
        """Nothing to give back: each read opens and closes its connection."""

    def _fetch(self) -> tuple[str, int]:
        """The page and the instant at which it was complete."""
        url = self._request.full_url
        try:
            with self._opener.open(self._request, timeout=self._timeout_s) as reply:
                body = _read_within(reply, self._timeout_s)
                return body.decode("utf-8", errors="replace"), self._now()
        except urllib.error.HTTPError as error:
            error.close()
            raise ReadFailed(f"{url} answered with HTTP status {error.code}") from error
        except TimeoutError as error:
            raise ReadFailed(f"{url} did not answer within {self._timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise ReadFailed(f"{url} cannot be read: {getattr(error, 'reason', error)}") from error


def open_source(
    url: str,
    *,
    name: str = NAME,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    period_s: float = PERIOD_S,
    timeout_s: float = TIMEOUT_S,
    now: Callable[[], int] = clock.now,
) -> PrometheusSource:
    """The page at `url`. It need not answer yet: a failed read is a gap, and the page is asked again.

    `name` is the samples' source; give each page its own where there are several (replicas).
    """
    return PrometheusSource(url, name=name, headers=headers, tls=tls, period_s=period_s, timeout_s=timeout_s, now=now)


def parse(text: str, time_ns: int, *, source: str = NAME) -> Iterator[Sample]:
    """The samples of a page whose names begin with one of PREFIXES; NaN and infinity are gaps.

    Raises ValueError when the text is no such page.
    """
    written = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines()}
    for family in text_string_to_metric_families(text):
        if not family.name.startswith(PREFIXES):
            continue
        for row in family.samples:
            if math.isfinite(row.value) and not row.name.endswith("_created"):
                # The parser appends `_total` to counters that are written without it, as all of Triton's are.
                name = row.name if row.name in written else row.name.removesuffix("_total")
                entity, metric = place(name, row.labels)
                yield Sample(time_ns, source, entity, metric, float(row.value), unit_of(metric))


def place(name: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """Where a value goes: (entity, metric).

    The entity is the GPU's uuid, else `MODEL:VERSION` (`MODEL` where no version is told), else "server". Each label
    that is left, in order of names, is appended to the metric: `.VALUE` for a label that only tells which value of the
    family this is (KIND_LABELS), `.LABEL=VALUE` for any other. So
    `nv_trt_llm_request_metrics{model="tensorrt_llm",version="1",request_type="active"}` is the metric
    `nv_trt_llm_request_metrics.active` of `tensorrt_llm:1`.
    """
    gpu = _first(labels, GPU_LABELS)
    model, version = _first(labels, MODEL_LABELS), _first(labels, VERSION_LABELS)
    entity = gpu or (f"{model}:{version}" if model and version else model) or SERVER
    rest = sorted(label for label in labels if label not in (*GPU_LABELS, *MODEL_LABELS, *VERSION_LABELS))
    parts = [labels[label] if label in KIND_LABELS else f"{label}={labels[label]}" for label in rest]
    return entity, ".".join([name, *parts])


def unit_of(metric: str) -> str:
    """The unit that a metric's name tells; "count" for a name that tells none."""
    for beginning, unit in UNITS_BY_NAME:
        if metric.startswith(beginning):
            return unit
    name = metric.partition(".")[0]
    if name.endswith(("_bucket", "_count")):
        return "count"
    name = name.removesuffix("_sum").removesuffix("_total")
    return next((unit for ending, unit in UNITS_BY_ENDING if name.endswith(ending)), "count")


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _read_within(reply: http.client.HTTPResponse, limit_s: float) -> bytes:
    """The body; TimeoutError when it trickles in for longer than the limit (the socket's timeout is per piece)."""
    deadline = time.monotonic() + limit_s
    pieces, size = [], 0
    while piece := reply.read1(65536):
        pieces.append(piece)
        size += len(piece)
        if time.monotonic() > deadline:
            raise TimeoutError
        if size > LONGEST_PAGE_BYTES:
            raise OSError(f"the page is longer than {LONGEST_PAGE_BYTES} bytes")
    return b"".join(pieces)
