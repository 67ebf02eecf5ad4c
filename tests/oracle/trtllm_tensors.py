"""The tensors of TensorRT-LLM's Triton models, copied by hand from trtllm.md §1.2 to §1.5, never from our templates.

A row is `name TYPE dims flags`; flags of inputs: `!` required, `s` a scalar (dims [1], reshaped to []). Which inputs of
the classic `tensorrt_llm` may be ragged, and the tensors of pre- and postprocessing, are those of NVIDIA's own
config.pbtxt (the facts' C-TRT and C-PRE, without images and videos).
"""

from __future__ import annotations

import re

TEXT_IN = """text_input STRING 1 !;max_tokens INT32 1 !;decoder_text_input STRING 1;num_return_sequences INT32 1
bad_words STRING -1;stop_words STRING -1;exclude_input_in_output BOOL 1;end_id INT32 1;pad_id INT32 1;top_k INT32 1
top_p FP32 1;temperature FP32 1;length_penalty FP32 1;repetition_penalty FP32 1;presence_penalty FP32 1
frequency_penalty FP32 1;min_tokens INT32 1;seed UINT64 1;return_log_probs BOOL 1;return_context_logits BOOL 1
return_generation_logits BOOL 1;return_perf_metrics BOOL 1;return_num_input_tokens BOOL 1
return_num_output_tokens BOOL 1;beam_width INT32 1;stream BOOL 1;prompt_embedding_table FP16 -1,-1
prompt_vocab_size INT32 1;prompt_table_extra_id UINT64 1;embedding_bias_words STRING -1;embedding_bias_weights FP32 -1
lora_task_id UINT64 1;lora_weights FP16 -1,-1;lora_config INT32 -1,3;guided_decoding_guide_type STRING 1
guided_decoding_guide STRING 1"""
BLS_IN = (
    TEXT_IN
    + """;num_draft_tokens INT32 1;use_draft_logits BOOL 1;image_input FP16 -1,3,-1,-1
image_bytes_input UINT8 -1,-1,-1,-1;image_url_input STRING 1;video_bytes_input UINT8 -1,-1,-1,-1"""
)
SHARED_OUT = """cum_log_probs FP32 -1;output_log_probs FP32 -1,-1;context_logits FP32 -1,-1
generation_logits FP32 -1,-1,-1;batch_index INT32 1;sequence_index INT32 1;kv_cache_alloc_new_blocks INT32 1
kv_cache_reused_blocks INT32 1;kv_cache_alloc_total_blocks INT32 1;arrival_time_ns INT64 1
first_scheduled_time_ns INT64 1;first_token_time_ns INT64 1;last_token_time_ns INT64 1;acceptance_rate FP32 1
total_accepted_draft_tokens INT32 1;total_draft_tokens INT32 1;num_input_tokens INT32 1;num_output_tokens INT32 1"""
ENGINE_IN = """input_ids INT32 -1;input_lengths INT32 1 !s;request_output_len INT32 1 !s
encoder_input_features FP16 -1,-1;encoder_output_lengths INT32 1 s;decoder_input_ids INT32 -1
decoder_input_lengths INT32 1 s;cross_attention_mask BOOL -1,-1;skip_cross_attn_blocks BOOL 1;end_id INT32 1 s
pad_id INT32 1 s;stop_words_list INT32 2,-1;bad_words_list INT32 2,-1;embedding_bias FP32 -1;beam_width INT32 1 s
num_return_sequences INT32 1 s;temperature FP32 1 s;runtime_top_p FP32 1 s;runtime_top_p_min FP32 1 s
runtime_top_p_decay FP32 1 s;len_penalty FP32 1 s;repetition_penalty FP32 1 s;beam_search_diversity_rate FP32 1 s
presence_penalty FP32 1 s;frequency_penalty FP32 1 s;runtime_top_k INT32 1 s;runtime_top_p_reset_ids INT32 1 s
min_tokens INT32 1 s;early_stopping BOOL 1 s;seed UINT64 1 s;return_log_probs BOOL 1 s;return_context_logits BOOL 1 s
return_generation_logits BOOL 1 s;return_perf_metrics BOOL 1 s;return_num_input_tokens BOOL 1 s
return_num_output_tokens BOOL 1 s;exclude_input_in_output BOOL 1 s;stop BOOL 1 s;streaming BOOL 1 s
draft_input_ids INT32 -1;draft_logits FP32 -1,-1;draft_acceptance_threshold FP32 1 s
prompt_embedding_table FP16 -1,-1;prompt_table_extra_ids UINT64 -1;prompt_vocab_size INT32 1 s
mrope_rotary_cos_sin FP32 -1;mrope_position_deltas INT64 1;lora_task_id UINT64 1 s;lora_weights FP16 -1,-1
lora_config INT32 -1,3;context_phase_params UINT8 -1;retention_token_range_starts INT32 -1
retention_token_range_ends INT32 -1;retention_token_range_priorities INT32 -1
retention_token_range_durations_ms INT32 -1;retention_decode_priority INT32 1;retention_decode_duration_ms INT32 1
guided_decoding_guide_type STRING 1;guided_decoding_guide STRING 1;lookahead_window_size INT32 1
lookahead_ngram_size INT32 1;lookahead_verification_set_size INT32 1"""
LLM_IN = """text_input STRING -1 !;streaming BOOL 1;sampling_param_max_tokens INT32 1;sampling_param_top_k INT32 1
sampling_param_best_of INT32 1;sampling_param_temperature FP32 1;sampling_param_top_p FP32 1
sampling_param_frequency_penalty FP32 1;sampling_param_presence_penalty FP32 1;sampling_param_stop STRING -1
sampling_param_seed UINT64 1;sampling_param_exclude_input_from_output BOOL 1;sampling_param_return_perf_metrics BOOL 1
return_finish_reason BOOL 1;return_stop_reason BOOL 1;return_cumulative_logprob BOOL 1;stop BOOL 1"""
LLM_OUT = """text_output STRING -1;finish_reason STRING -1;stop_reason STRING -1;cumulative_logprob FP32 -1
kv_cache_reused_block INT32 -1;kv_cache_missed_block INT32 -1;kv_cache_alloc_new_blocks INT32 -1
kv_cache_alloc_total_blocks INT32 -1;kv_cache_hit_rate FP32 -1;arrival_time_ns INT64 1;first_scheduled_time_ns INT64 1
first_token_time_ns INT64 1;last_token_time_ns INT64 1;acceptance_rate FP32 1;total_accepted_draft_tokens INT32 1
total_draft_tokens INT32 1"""
PRE_IN = """QUERY STRING 1 !;REQUEST_OUTPUT_LEN INT32 1 !;DECODER_QUERY STRING 1;BAD_WORDS_DICT STRING -1
STOP_WORDS_DICT STRING -1;EMBEDDING_BIAS_WORDS STRING -1;EMBEDDING_BIAS_WEIGHTS FP32 -1;END_ID INT32 1;PAD_ID INT32 1
PROMPT_TABLE_EXTRA_ID UINT64 1"""
PRE_OUT = """INPUT_ID INT32 -1;REQUEST_INPUT_LEN INT32 1;DECODER_INPUT_ID INT32 -1;REQUEST_DECODER_INPUT_LEN INT32 1
BAD_WORDS_IDS INT32 2,-1;STOP_WORDS_IDS INT32 2,-1;EMBEDDING_BIAS FP32 -1;REQUEST_OUTPUT_LEN INT32 -1
OUT_END_ID INT32 1;OUT_PAD_ID INT32 1;OUT_PROMPT_TABLE_EXTRA_IDS UINT64 -1"""
CONTRACT = {
    "ensemble": (TEXT_IN, f"text_output STRING -1;{SHARED_OUT}"),
    "tensorrt_llm_bls": (BLS_IN, f"text_output STRING -1;{SHARED_OUT}"),
    "tensorrt_llm": (
        ENGINE_IN,
        f"output_ids INT32 -1,-1;sequence_length INT32 -1;{SHARED_OUT};context_phase_params UINT8 -1",
    ),
    "preprocessing": (PRE_IN, PRE_OUT),
    "postprocessing": ("TOKENS_BATCH INT32 -1,-1 !;SEQUENCE_LENGTH INT32 -1 !", "OUTPUT STRING -1"),
}

RAGGED = """input_ids encoder_input_features draft_input_ids decoder_input_ids draft_logits stop_words_list
bad_words_list embedding_bias prompt_embedding_table prompt_table_extra_ids cross_attention_mask lora_weights
lora_config context_phase_params skip_cross_attn_blocks retention_token_range_starts retention_token_range_ends
retention_token_range_priorities retention_token_range_durations_ms retention_decode_priority
retention_decode_duration_ms guided_decoding_guide_type guided_decoding_guide lookahead_window_size
lookahead_ngram_size lookahead_verification_set_size"""

# model → (platform or backend, decoupled as the spec says, Triton's batcher); §1.1, §1.4, §2.1.
MODELS = {
    "ensemble": ("ensemble", False, False),
    "preprocessing": ("python", False, True),
    "tensorrt_llm": ("tensorrtllm", True, True),
    "postprocessing": ("python", False, True),
    "tensorrt_llm_bls": ("python", True, False),
}


def table(text: str) -> dict[str, tuple[str, list[int], str]]:
    rows = [row.split() for row in re.split(r"[;\n]", text) if row.strip()]
    return {name: (kind, [int(d) for d in dims.split(",")], "".join(flags)) for name, kind, dims, *flags in rows}
