"""Why a server did not start, out of real logs of tritonserver 2.51 (option tables cut, paths replaced)."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.target import server_log

LOGS = Path(__file__).with_name("logs")


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("model_raises", "model echo failed to load: RuntimeError: engine process did not start"),
        ("model_has_syntax_error", "model echo failed to load: SyntaxError: invalid syntax (model.py, line 1)"),
        (
            "config_has_unknown_field",
            'model echo failed to load: 6:9: Message type "inference.ModelConfig" has no field named "nonsense".',
        ),
        ("stub_dies", "model echo failed to load: Stub process 'echo_0' is not healthy."),
        ("libpython_missing", "Triton's Python backend cannot load libpython3.12.so.1.0"),
        ("http_port_in_use", "port 44735 is in use (Triton's HTTP service)"),
        ("grpc_port_in_use", "port 34389 is in use (Triton's GRPC service)"),
        ("metrics_port_in_use", "port 40859 is in use (Triton's Metrics service)"),
    ],
)
def test_the_reason_is_the_first_cause(log: str, reason: str) -> None:
    assert server_log.reason((LOGS / f"{log}.log").read_text()) == reason


def test_a_clean_stop_has_no_reason() -> None:
    text = (LOGS / "clean_stop.log").read_text()
    assert "Signal (15) received" in text
    assert server_log.reason(text) is None
    assert server_log.port_in_use(text) is None
    assert server_log.fatal(text) is None


@pytest.mark.parametrize("log", ["libpython_missing", "model_raises", "stub_dies", "config_has_unknown_field"])
def test_a_cause_that_cannot_pass_is_fatal_while_triton_still_runs(log: str) -> None:
    assert server_log.fatal((LOGS / f"{log}.log").read_text()) is not None


def test_the_lost_port_is_named() -> None:
    assert server_log.port_in_use((LOGS / "http_port_in_use.log").read_text()) == 44735


def test_last_lines_leave_out_tables_and_shorten_long_lines() -> None:
    lines = server_log.last_lines("+---+\n| a |\n\nfirst\n" + "x" * 400 + "\n", 6)
    assert lines == ["first", "x" * 297 + "…"]


def test_a_log_that_is_not_there_reads_as_empty(tmp_path: Path) -> None:
    assert server_log.read_tail(tmp_path / "none.log") == ""


def test_only_the_tail_of_a_long_log_is_read(tmp_path: Path) -> None:
    file = tmp_path / "long.log"
    file.write_text("a" * server_log.TAIL_BYTES + "end")
    assert server_log.read_tail(file).endswith("end")
    assert len(server_log.read_tail(file)) == server_log.TAIL_BYTES
