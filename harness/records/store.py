"""The run folder on disk: append-safe while a run goes on, Parquet afterwards.

Workers append finished requests to `parts/*.arrow` (Arrow IPC streams), the sampler likewise; `merge_*` turns the parts
into Parquet. A crash loses at most the last flush: a torn last batch is dropped, everything before it is kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.errors import RunFolderError
from harness.records import manifest as manifests
from harness.records.manifest import Manifest, Measurement
from harness.records.measuring import is_ours, measuring, require_at_rest
from harness.records.schemas import PLAN, REQUEST_ORDER, REQUESTS, ROW_GROUP_ROWS, SERVER_STATISTICS, TELEMETRY


class PartWriter:
    """Appends record batches to one Arrow IPC stream file; every `write` reaches the kernel before it returns."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = path.open("wb")
        self._stream = pa.ipc.new_stream(self._file, schema)
        self._file.flush()

    def write(self, table: pa.Table) -> None:
        """Append a table. Raises OSError (e.g. no space left) when it cannot be kept."""
        self._stream.write_table(table)
        self._file.flush()

    def close(self) -> None:
        """End the stream; a failure to write the end mark loses nothing."""
        with contextlib.suppress(OSError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self._file.close()

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class RunFolder:
    """One run on disk. Methods read or write whole files; nothing is cached."""

    path: Path

    @staticmethod
    def create(path: Path) -> RunFolder:
        """Make the folder (and `parts/`); it must not hold a run already."""
        try:
            path.mkdir(parents=True)
            (path / "parts").mkdir()
        except FileExistsError:
            raise RunFolderError(f"{path} exists already", hint="go on with it: harness run --resume") from None
        except OSError as error:
            raise RunFolderError(f"cannot create {path}: {error.strerror}") from error
        return RunFolder(path)

    @staticmethod
    def open(path: Path) -> RunFolder:
        """An existing run folder. Raises RunFolderError when it is none."""
        if not path.is_dir():
            raise RunFolderError(f"{path}: no such run folder", hint="runs lie in ./runs; list them with: ls -t runs")
        if not (path / "manifest.json").is_file():
            raise RunFolderError(f"{path} is not a run folder: it has no manifest.json")
        return RunFolder(path)

    def manifest(self) -> Manifest:
        """The manifest as it stands."""
        try:
            return manifests.from_json((self.path / "manifest.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise RunFolderError(f"cannot read {self.path / 'manifest.json'}: {error.strerror}") from error

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest atomically."""
        self.write_text("manifest.json", manifests.to_json(manifest))

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file of the folder atomically; returns its path."""
        path = self.path / name
        draft = path.with_name(f".{name}.tmp")
        try:
            draft.write_text(text, encoding="utf-8")
            os.replace(draft, path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise RunFolderError(
                f"cannot write {path}: {error.strerror or error}",
                hint="make room or allow writing, then: harness run --resume, or harness report",
            ) from error
        return path

    def measuring(self) -> AbstractContextManager[None]:
        """Hold the folder while measuring into it: nobody else may merge its parts. RunFolderError when it is held."""
        return measuring(self.path)

    def part_path(self, kind: str, *labels: object) -> Path:
        """Where a part of this kind lies, e.g. `part_path("requests", ordinal, repetition, attempt, worker)`."""
        (self.path / "parts").mkdir(exist_ok=True)
        return self.path / "parts" / f"{'-'.join([kind, *map(str, labels)])}.arrow"

    def write_plan(self, plan: pa.Table) -> None:
        """Store the plan (schema PLAN)."""
        _write_parquet(plan.cast(PLAN), self.path / "plan.parquet")

    def plan(self) -> pa.Table:
        """The plan (schema PLAN)."""
        return _read_parquet(self.path / "plan.parquet", PLAN)

    def requests(self) -> pa.Table:
        """All request records (schema REQUESTS), merged first if parts are left over from a crash."""
        if self._parts("requests") or not (self.path / "requests.parquet").exists():
            self.merge_requests(self.manifest().measurements)
        return _read_parquet(self.path / "requests.parquet", REQUESTS)

    def request_batches(self, columns: Sequence[str], rows: int = ROW_GROUP_ROWS) -> Iterator[pa.RecordBatch]:
        """Some columns of the request records, so many rows at a time: no table of the whole is made."""
        if self._parts("requests") or not (self.path / "requests.parquet").exists():
            self.merge_requests(self.manifest().measurements)
        wanted = pa.schema([REQUESTS.field(name) for name in columns])
        with pq.ParquetFile(self.path / "requests.parquet") as file:
            for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
                yield batch.select(list(columns)).cast(wanted)

    def telemetry(self) -> pa.Table:
        """All telemetry samples so far (schema TELEMETRY), sorted by time."""
        return self._gathered("telemetry", TELEMETRY)

    def server_statistics(self) -> pa.Table:
        """Triton's counters around each window so far (schema SERVER_STATISTICS)."""
        return self._gathered("server_statistics", SERVER_STATISTICS)

    def merge_requests(self, measurements: Sequence[Measurement]) -> int:
        """Merge parts and an earlier requests.parquet into one sorted file; returns the number of rows.

        Kept are the rows of the newest attempt at each repetition; older ones of the same repetition are dropped.
        Parts are removed once the merged file has been written and can be read back.
        """
        require_at_rest(self.path)
        parts = self._parts("requests")
        tables = [_read_stream(part, REQUESTS) for part in _current(parts, measurements)]
        path = self.path / "requests.parquet"
        if path.exists():
            tables.insert(0, _without_remeasured(_read_parquet(path, REQUESTS), tables))
        merged = pa.concat_tables([REQUESTS.empty_table(), *tables]).sort_by(
            [(name, "ascending") for name in REQUEST_ORDER]
        )
        _write_parquet(merged, path)
        _remove(parts)
        return int(merged.num_rows)

    def merge_parts(self) -> None:
        """Merge all parts into their Parquet files, once no observer writes any more."""
        self.requests()
        self._gathered("telemetry", TELEMETRY, at_rest=True)
        self._gathered("server_statistics", SERVER_STATISTICS, at_rest=True)

    def _gathered(self, kind: str, schema: pa.Schema, *, at_rest: bool = False) -> pa.Table:
        """Merged file and parts together. Unlike those of requests, these parts stay open for as long as a target is:
        who measures into the folder (a search, pairs) and looks at what there is must not take them away."""
        path, parts = self.path / f"{kind}.parquet", self._parts(kind)
        tables = [_read_parquet(path, schema)] if path.exists() else []
        if not parts:
            return tables[0] if tables else schema.empty_table()
        require_at_rest(self.path)
        merged = pa.concat_tables([*tables, *(_read_stream(part, schema) for part in parts)])
        merged = merged.sort_by([("time_ns", "ascending")])
        if at_rest or not is_ours(self.path):
            _write_parquet(merged, path)
            _remove(parts)
        return merged

    def _parts(self, kind: str) -> list[Path]:
        return sorted((self.path / "parts").glob(f"{kind}-*.arrow"))


def requests_part_labels(ordinal: int, repetition: int, attempt: int, worker: int) -> tuple[str, ...]:
    """The labels of a worker's part file; `merge_requests` reads them back to know what a part belongs to."""
    return (f"p{ordinal}", f"r{repetition}", f"a{attempt}", f"w{worker}")


def read_part(path: Path, schema: pa.Schema) -> pa.Table:
    """The whole batches of one part file; empty when there is none."""
    return _read_stream(path, schema)


def _current(parts: Sequence[Path], measurements: Sequence[Measurement]) -> list[Path]:
    """The parts whose rows no later attempt at the same repetition has replaced; parts without rows are left out."""
    attempts = {part: (first, int(part.stem.split("-")[3][1:])) for part in parts if (first := _first_row(part))}
    newest: dict[tuple[str, int, str | None], int] = {}
    for measured in measurements:
        newest[measured.point_id, measured.repetition, measured.arm] = measured.attempt
    for first, attempt in attempts.values():
        newest[first] = max(attempt, newest.get(first, attempt))
    return [part for part, (first, attempt) in attempts.items() if attempt == newest[first]]


def _first_row(part: Path) -> tuple[str, int, str | None] | None:
    table = _read_stream(part, REQUESTS).slice(0, 1)
    if table.num_rows == 0:
        return None
    row = table.select(["point_id", "repetition", "arm"]).to_pylist()[0]
    return row["point_id"], row["repetition"], row["arm"]


def _without_remeasured(old: pa.Table, new: Sequence[pa.Table]) -> pa.Table:
    """The rows of `old` whose repetition does not occur in `new`."""
    keep = pa.array([True] * old.num_rows, pa.bool_())
    for table in new:
        if table.num_rows == 0:
            continue
        row = table.slice(0, 1).to_pylist()[0]
        same = pc.and_(pc.equal(old["point_id"], row["point_id"]), pc.equal(old["repetition"], row["repetition"]))
        arm = pc.is_null(old["arm"]) if row["arm"] is None else pc.equal(pc.fill_null(old["arm"], ""), row["arm"])
        keep = pc.and_(keep, pc.invert(pc.and_(same, arm)))
    return old.filter(keep)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The whole batches of a stream file; a torn tail ends it."""
    try:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
            while True:
                yield reader.read_next_batch()
    except (StopIteration, pa.ArrowInvalid, OSError, EOFError):
        return


def _read_stream(path: Path, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(list(_batches(path)), schema=schema)


def _write_parquet(table: pa.Table, path: Path) -> None:
    draft = path.with_name(f".{path.name}.tmp")
    try:
        pq.write_table(table, draft, row_group_size=ROW_GROUP_ROWS, compression="zstd")
        if pq.read_metadata(draft).num_rows != table.num_rows:
            raise OSError(5, "the written file lacks rows")
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise RunFolderError(
            f"cannot write {path}: {error.strerror or error}",
            hint="what was measured is still in parts/: free some space, then `harness report` merges it",
        ) from error


def _read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = _by_row_group(path)
    except FileNotFoundError:
        raise RunFolderError(f"{path} is missing") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise RunFolderError(
            f"{path} is damaged: {str(error).splitlines()[0]}", hint="copy the run folder again, or measure again"
        ) from error
    for field in schema:
        if field.name not in table.column_names:  # an older run: a column that was added since is empty there
            if not field.nullable:
                raise RunFolderError(f"{path} lacks the column {field.name!r}")
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(schema.names).cast(schema)


def _by_row_group(path: Path) -> pa.Table:
    """The whole file, one row group after the other: all at once would take nearly twice the memory of the table."""
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
        return pa.concat_tables(groups) if groups else file.schema_arrow.empty_table()


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
