"""What a model named `tensorrt_llm` has beyond others: it starts the engine process, owns it, and ends it.

Runs in Triton's Python-backend stub.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import engine_launch
import lifeline
import triton_python_backend_utils as pb_utils
from channel import EngineGone
from settings import PLUMBING
from wire import Message


class EngineOwner:
    """The engine process and the connection to it. Raises TritonModelException when it cannot start."""

    def __init__(self, parameters: Mapping[str, str], on_statistics: Callable[[Message], None] | None = None) -> None:
        lifeline.exit_when_orphaned(os.getppid())
        settings = {name: text for name, text in parameters.items() if name not in PLUMBING}
        socket_path = parameters["socket_path"]
        self._process = engine_launch.start(socket_path, parameters["engine_dir"], settings)
        try:
            self.channel = engine_launch.open_channel(
                self._process, socket_path, model="tensorrt_llm", on_statistics=on_statistics
            )
        except EngineGone as gone:
            raise pb_utils.TritonModelException(str(gone)) from None

    def close(self) -> None:
        self.channel.close(shutdown=True)
        engine_launch.end(self._process)
