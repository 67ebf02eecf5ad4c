"""Telemetry: what GPU, server and host did while a point ran, on the run's clock. It reads; it computes no metric."""
