"""What a scenario refers to outside of its file: variables, files, and what is kept of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.errors import ScenarioError
from harness.scenario.lengths import Empirical
from harness.scenario.loader import load, load_text, read_back
from harness.scenario.schema import Scenario
from harness.scenario.target import AttachTarget

ATTACHED = """\
version: 1
name: attached
target:
  attach:
    url: 127.0.0.1:8001
    {attach}
workload:
  input_tokens: {input_tokens}
  output_tokens: 8
load: {{kind: closed_loop, concurrency: 1}}
"""


def written(folder: Path, attach: str = "model: ensemble", input_tokens: str = "64") -> Path:
    file = folder / "attached.yaml"
    file.write_text(ATTACHED.format(attach=attach, input_tokens=input_tokens), encoding="utf-8")
    return file


def message(file: Path) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(file)
    return caught.value.message.removeprefix(f"{file}:")


def attach_of(scenario: Scenario) -> AttachTarget:
    assert isinstance(scenario.target, AttachTarget)
    return scenario.target


def test_a_variable_is_filled_in_and_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_TEST_TOKEN", "s3cret")
    loaded = load(written(tmp_path, 'headers: {authorization: "Bearer ${HARNESS_TEST_TOKEN}"}'))
    assert attach_of(loaded.scenario).attach.headers == {"authorization": "Bearer s3cret"}
    assert "${HARNESS_TEST_TOKEN}" in loaded.text
    for shown in (loaded.text, repr(loaded), str(loaded.scenario.model_dump()), loaded.scenario.model_dump_json()):
        assert "s3cret" not in shown


def test_an_unset_variable_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_TEST_TOKEN", raising=False)
    file = written(tmp_path, 'headers: {x-tenant: "${HARNESS_TEST_TOKEN}"}')
    assert message(file) == (
        "6:25: target.attach.headers.x-tenant: "
        "the environment variable HARNESS_TEST_TOKEN is not set: export it before the run"
    )


def test_a_variable_that_cannot_be_a_header_is_refused_without_showing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_TEST_TOKEN", "s3cret\nsecond line")
    said = message(written(tmp_path, 'headers: {authorization: "${HARNESS_TEST_TOKEN}"}'))
    assert "printable ASCII" in said
    assert "s3cret" not in said


def test_a_secret_written_into_the_file_is_refused_without_showing_it(tmp_path: Path) -> None:
    said = message(written(tmp_path, "headers: {authorization: Bearer s3cret}"))
    assert said == (
        "6:30: target.attach.headers.authorization: "
        "looks like a secret: write it as ${ENV_NAME} and export that variable"
    )


def test_header_names_are_lower_case(tmp_path: Path) -> None:
    assert message(written(tmp_path, "headers: {X-Tenant: a}")) == (
        "6:15: target.attach.headers.X-Tenant: not a name that is allowed here; "
        "names of headers are lower-case letters, digits, `.`, `_`, `-`"
    )


def test_variables_work_in_headers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_TEST_HOST", "example")
    file = written(tmp_path)
    file.write_text(file.read_text().replace("127.0.0.1", "${HARNESS_TEST_HOST}"), encoding="utf-8")
    assert message(file).startswith("5:10: target.attach.url: found '${HARNESS_TEST_HOST}:8001'; allowed: host:port")


def test_the_hash_is_that_of_the_text_as_written(tmp_path: Path) -> None:
    file = written(tmp_path)
    loaded = load(file)
    assert loaded.hash == hashlib.sha256(file.read_bytes()).hexdigest()
    assert loaded.short_hash == loaded.hash[:12]
    assert loaded.path == file


def test_a_relative_path_counts_from_the_folder_of_the_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "tokenizer.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    loaded = load(written(tmp_path / "own", "tokenizer: tokenizer.json"))
    assert attach_of(loaded.scenario).attach.tokenizer == (tmp_path / "own" / "tokenizer.json").resolve()


def test_a_file_that_is_not_there_is_named_with_its_line(tmp_path: Path) -> None:
    assert message(written(tmp_path, "tokenizer: gone/tokenizer.json")) == (
        "6:16: target.attach.tokenizer: there is no file 'gone/tokenizer.json'; "
        "a relative path counts from the folder of this file"
    )


def test_a_folder_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    said = message(written(tmp_path, "tls: {ca_file: folder}"))
    assert said == "6:20: target.attach.tls.ca_file: 'folder' is a folder, a file is needed"


def test_certificate_and_key_belong_together(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("")
    assert message(written(tmp_path, "tls: {cert_file: a.pem}")) == (
        "6:22: target.attach.tls.cert_file: cert_file and key_file belong together: give both or neither"
    )


@pytest.mark.parametrize("url", ["localhost", "http://localhost:8001", "localhost:0", "localhost:70000", "a b:1"])
def test_a_url_is_host_and_port(url: str, tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(file.read_text().replace("127.0.0.1:8001", url), encoding="utf-8")
    assert message(file).startswith("5:10: target.attach.url: ")


def test_an_engine_can_be_the_path_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("kind: cpu\n")
    text = ATTACHED.replace("  attach:\n    url: 127.0.0.1:8001\n    {attach}", "  engine: ./own.yaml")
    loaded = load_text(text.format(input_tokens=8), tmp_path / "s.yaml")
    assert loaded.scenario.target.engine == str((tmp_path / "own.yaml").resolve())  # type: ignore[union-attr]


CSV = "when,prompt\n1,20\n2,30\n"


@pytest.mark.parametrize(
    ("content", "column", "expected"),
    [
        (CSV, "promt", ".column: the file has no column 'promt', did you mean `prompt`? it has: when, prompt"),
        (CSV + "3,-4\n", "prompt", ".column: line 4 of the file: prompt is '-4', {}"),
        (CSV + "3\n", "prompt", ".column: line 4 of the file: prompt is None, {}"),
        (CSV + "3,\u0663\n", "prompt", ".column: line 4 of the file: prompt is '\u0663', {}"),
        ("prompt\n", "prompt", ".file: lengths.csv has no rows"),
        ("", "prompt", ".column: the file has no column 'prompt'; it has: none"),
    ],
)
def test_a_column_of_lengths_is_checked(content: str, column: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text(content, encoding="utf-8")
    lengths = f"{{distribution: empirical, file: lengths.csv, column: {column}}}"
    place, field, said = message(written(tmp_path, input_tokens=lengths)).split(": ", 2)
    assert place.startswith("8:")
    wanted = expected.format("but lengths are whole numbers above 0")
    assert f"{field}: {said}" == f"workload.input_tokens{wanted}"


def test_a_prefix_is_compared_with_the_shortest_length_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text(CSV)
    lengths = "{distribution: empirical, file: lengths.csv, column: prompt}"
    prefix = "\n  prompts: {kind: shared_prefix, prefixes: 1, prefix_tokens: 20}"
    assert "workload.prompts.prefix_tokens: 20 is not below" in message(
        written(tmp_path, input_tokens=lengths + prefix)
    )


def test_reading_back_a_stored_scenario_looks_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_TEST_TOKEN", raising=False)
    text = ATTACHED.format(
        attach='headers: {authorization: "${HARNESS_TEST_TOKEN}"}\n    tokenizer: gone.json',
        input_tokens="{distribution: empirical, file: gone.csv, column: a}",
    )
    scenario = read_back(text, Path("gone.yaml"))
    assert attach_of(scenario).attach.headers == {"authorization": "${HARNESS_TEST_TOKEN}"}
    assert attach_of(scenario).attach.tokenizer == Path("gone.json")
    lengths = scenario.workload[0].parts[0].input_tokens
    assert isinstance(lengths, Empirical)
    assert lengths.file == Path("gone.csv")


def test_short_forms_mean_their_long_forms() -> None:
    short = "version: 1\nname: a\ntarget: {engine: cpu-tiny}\nworkload: {input_tokens: 8, output_tokens: 4}\n"
    long = (
        "version: 1\nname: a\ntarget: {engine: cpu-tiny, on: embedded, model: ensemble}\n"
        "workload: [{name: all, parts: [{name: all, weight: 1, prompts: {kind: unique},\n"
        "  input_tokens: {distribution: fixed, tokens: 8}, output_tokens: {distribution: fixed, tokens: 4}}]}]\n"
    )
    scenario = read_back(short + "load: {kind: closed_loop, concurrency: 2}\n", Path("short.yaml"))
    assert scenario == read_back(long + "load: {kind: closed_loop, concurrency: [2]}\n", Path("long.yaml"))
    assert scenario.number_of_points == 1
    assert scenario.phases.window_length_s == 30


def test_a_scenario_never_changes_after_validation(tmp_path: Path) -> None:
    scenario = load(written(tmp_path)).scenario
    with pytest.raises(ValidationError):
        scenario.seed = 2  # type: ignore[misc]
