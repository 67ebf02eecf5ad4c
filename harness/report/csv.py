"""`requests.csv`: one row per request, without the lists of chunks, written batch by batch."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv

BATCH_ROWS = 50_000


def write(requests: pa.Table, path: Path) -> Path:
    """Write the table (schema REQUESTS) to `path`, replacing it at the end; returns `path`."""
    flat = requests.select([field.name for field in requests.schema if not pa.types.is_list(field.type)])
    draft = path.with_name(f".{path.name}.tmp")
    with pyarrow.csv.CSVWriter(draft, flat.schema) as writer:
        for batch in flat.to_batches(max_chunksize=BATCH_ROWS):
            writer.write_batch(batch)
    draft.replace(path)
    return path
