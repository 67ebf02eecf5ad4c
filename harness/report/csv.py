"""`requests.csv`: one row per request, without the lists of chunks, read and written batch by batch."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from harness.records.schemas import REQUESTS
from harness.records.store import RunFolder

FLAT = pa.schema([field for field in REQUESTS if not pa.types.is_list(field.type)])


def write(folder: RunFolder, path: Path) -> Path:
    """Write the requests of a run folder to `path`, replacing it at the end; returns `path`."""
    draft = path.with_name(f".{path.name}.tmp")
    with pyarrow.csv.CSVWriter(draft, FLAT) as writer:
        for batch in folder.request_batches(FLAT.names):
            writer.write_batch(batch)
    draft.replace(path)
    return path
