"""`python -m harness.truth`: the truth server as a process. Prints one JSON line when it listens, stops on SIGTERM."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.truth import behaviour
from harness.truth.server import TruthServer


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    try:
        server = _server(_arguments())
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.ending.code
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    gc.freeze()
    gc.disable()
    print(json.dumps({"port": server.port, "http_port": server.http_port, "pid": os.getpid()}), flush=True)
    server.run()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.truth", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="of gRPC; 0 takes a free one")
    parser.add_argument("--http-port", type=int, default=0, help="of HTTP/1.1; 0 takes a free one")
    parser.add_argument("--log", type=Path, help="JSON lines, one per inference request")
    parser.add_argument("--behaviour", default="{}", help="a JSON object of the fields of Behaviour")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; without one, words are counted")
    parser.add_argument("--tls-cert", type=Path, help="PEM file; needs --tls-key")
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--stop-with-stdin", action="store_true", help="also stop when standard input ends")
    return parser.parse_args()


def _server(arguments: argparse.Namespace) -> TruthServer:
    try:
        return TruthServer(
            behaviour.from_json(arguments.behaviour),
            host=arguments.host,
            port=arguments.port,
            http_port=arguments.http_port,
            log_path=arguments.log,
            tokenizer=arguments.tokenizer,
            tls=_tls(arguments.tls_cert, arguments.tls_key),
            stops_with=sys.stdin.fileno() if arguments.stop_with_stdin else None,
        )
    except OSError as error:
        raise UsageError(f"the truth server cannot start: {error}", hint="check the port and the paths") from error


def _tls(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("TLS needs a certificate and a key", hint="give both --tls-cert and --tls-key")
    return certificate, key


if __name__ == "__main__":
    sys.exit(main())
