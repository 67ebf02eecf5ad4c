"""Every setting of TensorRT-LLM that the facts name, with its default; copied by hand from trtllm.md §2.1, §3, §4.

A row is `name=default`, or `name` where the facts give no default, or none that is one value. Defaults of trtllm-build
are those of 1.x, where `none` of a plugin is `disable`.
"""

from __future__ import annotations

# §2.1: the variables of the templates, and what BLS, pre- and postprocessing have beside them.
SERVING = """encoder_input_features_data_type prompt_embedding_table_data_type triton_backend triton_max_batch_size
decoupled_mode max_queue_delay_microseconds=0 max_queue_size=0 logits_datatype max_beam_width=1 batching_strategy
engine_dir encoder_engine_dir max_tokens_in_paged_kv_cache=none max_attention_window_size=none sink_token_length=none
batch_scheduler_policy=guaranteed_no_evict kv_cache_free_gpu_mem_fraction=0.9 cross_kv_cache_fraction
kv_cache_host_memory_bytes=0 kv_cache_onboard_blocks enable_trt_overlap=false exclude_input_in_output=false
cancellation_check_period_ms=100 stats_check_period_ms=100 recv_poll_period_ms iter_stats_max_iterations
request_stats_max_iterations enable_kv_cache_reuse normalize_log_probs=true enable_chunked_context=false
gpu_device_ids=none participant_ids num_nodes lora_cache_optimal_adapter_size lora_cache_max_adapter_size
lora_cache_gpu_memory_fraction lora_cache_host_memory_bytes lora_prefetch_dir decoding_mode executor_worker_path
lookahead_window_size lookahead_ngram_size lookahead_verification_set_size medusa_choices eagle_choices
gpu_weights_percent enable_context_fmha_fp32_acc multi_block_mode cuda_graph_mode cuda_graph_cache_size
speculative_decoding_fast_logits tokenizer_dir guided_decoding_backend=none xgrammar_tokenizer_info_path worker_path
gpt_model_type gpt_model_path encoder_model_path accumulate_tokens=false tensorrt_llm_model_name
tensorrt_llm_draft_model_name multimodal_encoders_name bls_instance_count add_special_tokens=true
multimodal_model_path max_num_images hf_model_path preprocessing_instance_count skip_special_tokens=true
postprocessing_instance_count"""

# §3.2: the flags of trtllm-build.
BUILD = """max_batch_size max_input_len max_seq_len max_decoder_seq_len max_num_tokens opt_num_tokens=none
max_beam_width=1 max_prompt_embedding_table_size max_multimodal_len max_encoder_input_len kv_cache_type=paged
paged_kv_cache tokens_per_block=32 use_paged_context_fmha=enable use_fp8_context_fmha multiple_profiles=disable
gemm_plugin=disable gpt_attention_plugin=auto gemm_swiglu_plugin=disable low_latency_gemm_plugin=disable
low_latency_gemm_swiglu_plugin=disable reduce_fusion=disable user_buffer=disable context_fmha=enable
remove_input_padding=enable use_fused_mlp=enable norm_quant_fusion pp_reduce_scatter=disable streamingllm
manage_weights logits_dtype gather_context_logits gather_generation_logits speculative_decoding_mode max_draft_len
lora_plugin lora_dir max_lora_rank weight_streaming=false strip_plan weight_sparsity fast_build workers=1
input_timing_cache output_timing_cache profiling_verbosity dry_run visualize_network monitor_memory log_level
build_config model_config checkpoint_dir output_dir"""

# §3.1: quantize.py.
QUANTIZE = """qformat kv_cache_dtype=none calib_dataset=cnn_dailymail calib_size=512 calib_max_seq_length=512
batch_size=1 awq_block_size=128 seed=1234 model_dir output_dir tp_size pp_size cp_size autoq_format auto_quantize_bits
export_format"""

# §3.4: the arguments of LLM().
LLM = """model tokenizer tokenizer_mode skip_tokenizer_init trust_remote_code=false dtype=auto revision
load_format=auto tensor_parallel_size=1 pipeline_parallel_size=1 context_parallel_size moe_tensor_parallel_size=none
moe_expert_parallel_size=none moe_cluster_parallel_size gpus_per_node enable_attention_dp=false max_batch_size=2048
max_num_tokens=8192 max_seq_len=none max_beam_width=1 max_input_len kv_cache_config enable_chunked_prefill=false
scheduler_config cuda_graph_config speculative_config disable_overlap_scheduler=false attn_backend=TRTLLM sampler_type
moe_config print_iter_log attention_dp_config stream_interval=1 enable_iter_perf_stats=false enable_iter_req_stats
iter_stats_max_iterations request_stats_max_iterations return_perf_metrics=false perf_metrics_max_requests
batch_wait_timeout_ms batch_wait_timeout_iters batch_wait_max_tokens_ratio torch_compile_config enable_autotuner=true
num_postprocess_workers=0 guided_decoding_backend sparse_attention_config orchestrator_type otlp_traces_endpoint
model_kwargs env_overrides backend=pytorch build_config decoding_config quant_config calib_config enable_build_cache
fast_build extended_runtime_perf_knob_config batching_type normalize_log_probs enable_prompt_adapter"""
KV_CACHE = """enable_block_reuse enable_partial_reuse copy_on_partial_reuse free_gpu_memory_fraction=0.9
max_tokens=none max_gpu_total_bytes host_cache_size=none dtype=auto tokens_per_block=32 max_attention_window
sink_token_length onboard_blocks event_buffer_max_size use_kv_cache_manager_v2"""
SCHEDULER = """capacity_scheduler_policy=GUARANTEED_NO_EVICT context_chunking_policy=none waiting_queue_policy
use_python_scheduler enable_prefix_aware_scheduling dynamic_batch_config"""
CUDA_GRAPHS = "batch_sizes=none max_batch_size enable_padding=false"

# §4.1: the flags of trtllm-serve (abridged there).
SERVE = """host port backend max_batch_size max_num_tokens max_seq_len max_beam_width tp_size tensor_parallel_size
pp_size ep_size cp_size gpus_per_node free_gpu_memory_fraction kv_cache_free_gpu_memory_fraction kv_cache_dtype
enable_chunked_prefill enable_attention_dp tokenizer trust_remote_code revision served_model_name config
extra_llm_api_options num_postprocess_workers reasoning_parser tool_parser log_level otlp_traces_endpoint grpc
telemetry"""


def settings(text: str) -> dict[str, str | None]:
    """Name → default as text; None where the facts give none."""
    rows = (row.partition("=") for row in text.split())
    return {name: default if given else None for name, given, default in rows}
