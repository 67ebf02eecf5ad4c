"""XID errors: the driver's reports of a GPU in trouble. Any of them makes a run worthless.

They are events, not values to poll: a queue collects them from the moment it is opened.
"""

from __future__ import annotations

from typing import Any

from harness.telemetry.nvml_library import offered
from harness.telemetry.nvml_readings import Value

MOST_AT_ONCE = 64


class XidQueue:
    """The XID errors of one GPU since `open_xid_queue`."""

    def __init__(self, nvml: Any, events: Any) -> None:
        self._nvml = nvml
        self._events = events
        self._seen = 0

    def read(self) -> list[Value]:
        """How many there were so far, and the code of each new one."""
        codes: list[Value] = []
        for _ in range(MOST_AT_ONCE):
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._events, 0)
            except self._nvml.NVMLError as error:
                if error.value == self._nvml.NVML_ERROR_TIMEOUT:  # nothing (more) in the queue
                    break
                raise
            codes.append(("xid_code", event.eventData, "code"))
        self._seen += len(codes)
        return [("xid_errors", self._seen, "count"), *codes]

    def close(self) -> None:
        """Stop collecting."""
        self._nvml.nvmlEventSetFree(self._events)


def open_xid_queue(nvml: Any, gpu: Any) -> XidQueue | None:
    """Begin to collect; None where the GPU or the container does not offer it."""
    events = offered(nvml, nvml.nvmlEventSetCreate)
    if events is None:
        return None
    # (the call returns None on success, hence the lambda's True)
    kind = nvml.nvmlEventTypeXidCriticalError
    if offered(nvml, lambda: (nvml.nvmlDeviceRegisterEvents(gpu, kind, events), True)[1]) is None:
        nvml.nvmlEventSetFree(events)
        return None
    return XidQueue(nvml, events)
