"""The nv_trt_llm_* metric families on Triton's metrics page, set from the engine's statistics.

Setting a gauge is a round trip to tritonserver, so a thread of its own does it, always with the latest message, and
only for values that changed: tokens never wait behind metrics. Names and labels are TensorRT-LLM's; all are gauges.
"""

from __future__ import annotations

import threading
from typing import Any

import triton_python_backend_utils as pb_utils
from wire import Message

# part of the statistics message → (family, label)
FAMILIES = {
    "request": ("nv_trt_llm_request_metrics", "request_type"),
    "runtime_memory": ("nv_trt_llm_runtime_memory_metrics", "memory_type"),
    "kv_cache_block": ("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type"),
    "inflight_batcher": ("nv_trt_llm_inflight_batcher_metrics", "inflight_batcher_specific_metric"),
    "general": ("nv_trt_llm_general_metrics", "general_type"),
}


class MetricFamilies:
    """Registered on first use; `show` may be called from any thread."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = {"model": model, "version": version}
        self._families = {
            part: pb_utils.MetricFamily(
                name=name, description=f"TRT LLM {part} metrics", kind=pb_utils.MetricFamily.GAUGE
            )
            for part, (name, _) in FAMILIES.items()
        }
        self._gauges: dict[tuple[str, str], Any] = {}
        self._shown: dict[tuple[str, str], float] = {}
        self._latest: Message | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def show(self, statistics: Message) -> None:
        with self._changed:
            self._latest = statistics
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._latest is not None or self._closing)
                statistics, self._latest = self._latest, None
                if self._closing:
                    return
            assert statistics is not None
            for part in FAMILIES:
                for value_name, value in statistics[part].items():
                    self._set(part, value_name, value)

    def _set(self, part: str, value_name: str, value: float) -> None:
        key = (part, value_name)
        if key not in self._gauges:
            labels = {**self._labels, FAMILIES[part][1]: value_name}
            self._gauges[key] = self._families[part].Metric(labels=labels)
        if self._shown.get(key) != value:
            self._gauges[key].set(value)
            self._shown[key] = value
