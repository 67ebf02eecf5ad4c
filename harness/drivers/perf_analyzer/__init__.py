"""The perf_analyzer driver: NVIDIA's own client executes the same plan, and its time stamps become our records."""
