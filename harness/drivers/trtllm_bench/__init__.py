"""trtllm-bench, for the engine level: its command, its data set from our plan, and its report as foreign results.

Built against the documented option and key lists (TensorRT-LLM 1.x); never run against the tool itself.
"""
