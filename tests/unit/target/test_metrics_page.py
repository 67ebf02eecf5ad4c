"""Where a server that we start shows its gauges."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.load import load_engine
from harness.engine.spec import EngineSpec
from harness.resources import find_named
from harness.target.native_target import metrics_page
from harness.target.ports import Ports

PORTS = Ports(grpc=1, http=2, metrics=3)
PERF = "  return_perf_metrics: "


def _serve(tmp_path: Path, told: str) -> EngineSpec:
    shipped = Path(find_named("engines", "llama-3.1-8b-fp8-h200-serve"))
    text = shipped.read_text()
    kept = [line for line in text.splitlines() if not line.startswith(PERF)]
    at = kept.index("llm:") + 1
    (tmp_path / shipped.name).write_text("\n".join([*kept[:at], f"{PERF}{told}", *kept[at:]]) + "\n")
    return load_engine(str(tmp_path / shipped.name)).spec


@pytest.mark.parametrize(("told", "page"), [("true", "http://127.0.0.1:2/prometheus/metrics"), ("false", None)])
def test_trtllm_serve_has_a_prometheus_page_where_it_is_told_to(tmp_path: Path, told: str, page: str | None) -> None:
    assert metrics_page(_serve(tmp_path, told), "openai_completions", PORTS) == page


def test_triton_has_its_own() -> None:
    spec = load_engine(str(find_named("engines", "cpu-tiny"))).spec
    assert metrics_page(spec, "triton_grpc", PORTS) == "http://127.0.0.1:3/metrics"
