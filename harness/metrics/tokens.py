"""How many tokens a request took in and gave out, and who counted them: the server when it does, else the client.

The order is server, client (tokenizer), then for outputs the sum over the chunks, for inputs what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics.chunks import ChunkColumns
from harness.metrics.columns import MISSING, Flags, Floats, Ints, Rows, known


@dataclass(frozen=True)
class TokenCounts:
    """One count per request and the index of the source it came from."""

    tokens: Ints
    source: Ints  # index into `names`
    names: tuple[str, ...]

    def source_of(self, rows: Flags) -> str:
        """Who counted these requests, most frequent first, e.g. `server` or `server, chunks`."""
        used = np.bincount(self.source[rows], minlength=len(self.names))
        return ", ".join(self.names[i] for i in np.argsort(-used, kind="stable") if used[i])


def output_counts(rows: Rows, chunks: ChunkColumns) -> TokenCounts:
    """Output tokens of every request."""
    sources = (rows.output_tokens_server, rows.output_tokens_client, chunks.tokens)
    return _first_known(sources, ("server", "client", "chunks"))


def input_counts(rows: Rows) -> TokenCounts:
    """Input tokens of every request."""
    sources = (rows.input_tokens_server, rows.input_tokens_client, rows.input_tokens_asked)
    return _first_known(sources, ("server", "client", "asked"))


def _first_known(sources: Sequence[Ints], names: tuple[str, ...]) -> TokenCounts:
    tokens, source = np.full(sources[0].size, MISSING), np.full(sources[0].size, len(sources) - 1)
    for index, counts in enumerate(sources):
        take = ~known(tokens) & known(counts)
        tokens[take], source[take] = counts[take], index
    return TokenCounts(tokens, source, names)


def tokens_per_counted(output: TokenCounts, chunks: ChunkColumns) -> Floats:
    """The factor that makes the chunks of a request add up to its counted total; 1 where they do, or carry none.

    Where a client can only assume one token per chunk and the server counts more, its total is spread over them.
    """
    factor = np.ones(chunks.tokens.size)
    some = chunks.tokens > 0
    factor[some] = output.tokens[some] / chunks.tokens[some]
    return factor
