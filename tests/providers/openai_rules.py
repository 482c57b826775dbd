"""What the models of OpenAI's API accept, by its documentation and its users' reports of autumn 2026.

Two endpoints word the same fault differently: Chat Completions and Responses. ``check_chat`` and ``check_responses``
raise a ``Rejection`` for the first thing that the API would reject. Left out: audio, files, streams, built-in tools.
"""

import base64
import json
import re
from collections import namedtuple

from openai_checks import (
    check_choice,
    check_format,
    check_known,
    check_needed,
    check_tools,
    check_type,
    listed,
    reject,
    words,
)

Model = namedtuple("Model", "efforts effort window most api snapshot")  # noqa: PYI024


def model(efforts="", effort="medium", window=922_000, most=128_000, api="both", snapshot=""):
    """``efforts``: the efforts of reasoning that it takes, none if it does not reason. ``api``: where it answers."""
    return Model(tuple(efforts.split()), effort if efforts else None, window, most, api, snapshot)


FULL, FIRM = "none low medium high xhigh max", "low medium high xhigh max"  # "max" is for Responses only
MODELS = {
    **dict.fromkeys(("gpt-6.2-astra", "gpt-6.2-sol", "gpt-6.1-sol", "gpt-6-astra"), model(FIRM)),
    **dict.fromkeys(("gpt-6.1-terra", "gpt-6-sol", "gpt-6-luna"), model(FULL)),
    **dict.fromkeys(("gpt-5.6", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna"), model(FULL)),
    "gpt-5.5": model("none low medium high xhigh", snapshot="2026-04-23"),
    "gpt-5.4": model("none low medium high xhigh", "none", snapshot="2026-03-05"),
    **dict.fromkeys(
        ("gpt-5.4-mini", "gpt-5.4-nano"), model("none low medium high xhigh", "none", 272_000, snapshot="2026-03-17")
    ),
    "gpt-5.2": model("none low medium high xhigh", "none", 272_000, snapshot="2025-12-11"),
    "gpt-5.1": model("none low medium high", "none", 272_000, snapshot="2025-11-13"),
    **dict.fromkeys(
        ("gpt-5", "gpt-5-mini", "gpt-5-nano"),
        model("minimal low medium high", "medium", 272_000, snapshot="2025-08-07"),
    ),
    "o3": model("low medium high", "medium", 200_000, 100_000, snapshot="2025-04-16"),
    **dict.fromkeys(("gpt-4.1", "gpt-4.1-mini"), model("", "", 1_047_576, 32_768, snapshot="2025-04-14")),
    "gpt-4o": model("", "", 128_000, 16_384, snapshot="2024-08-06"),
    "gpt-4o-mini": model("", "", 128_000, 16_384, snapshot="2024-07-18"),
    **dict.fromkeys(("gpt-5.5-pro", "gpt-5.4-pro"), model("medium high xhigh", "medium", api="other")),
    "gpt-5.2-pro": model("medium high xhigh", "medium", 272_000, api="responses", snapshot="2025-12-11"),
    "gpt-5-pro": model("high", "high", 272_000, 272_000, "responses", "2025-10-06"),
    "gpt-5.3-codex": model("low medium high xhigh", "medium", 272_000, api="responses"),
    "o1-pro": model("low medium high", "medium", 200_000, 100_000, "other", "2025-03-19"),
    "o3-pro": model("low medium high", "medium", 200_000, 100_000, "responses", "2025-06-10"),
    "o3-deep-research": model("medium", "medium", 200_000, 100_000, "responses", "2025-06-26"),
    **dict.fromkeys(("text-embedding-3-small", "text-embedding-ada-002"), model("", "", 8_192, 1_536, "embeddings")),
    "text-embedding-3-large": model("", "", 8_192, 3_072, "embeddings"),
}
RETIRED = words(
    "gpt-4.1-nano gpt-4 gpt-4-turbo gpt-3.5-turbo o1 o1-mini o1-preview o3-mini o4-mini chatgpt-4o-latest gpt-5-codex "
    "gpt-5.1-codex gpt-5.1-codex-max gpt-5.2-codex gpt-5-chat-latest gpt-5.1-chat-latest gpt-5.2-chat-latest"
)
SNAPSHOTS = {f"{name}-{it.snapshot}": name for name, it in MODELS.items() if it.snapshot}
SHUTDOWNS = {"gpt-5": "2026-12-11", "o3": "2026-12-11", "gpt-4.1": "2027-01-14", "gpt-4o": "2027-01-14"}
ALL_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
COMMON = (
    "metadata model moderation parallel_tool_calls prompt_cache_key prompt_cache_options prompt_cache_retention "
    "safety_identifier service_tier store stream stream_options temperature tool_choice tools top_logprobs top_p user"
)
CHAT_FIELDS = words(
    f"{COMMON} audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens "
    "messages modalities n prediction presence_penalty reasoning_effort response_format seed stop verbosity "
    "web_search_options"
)
RESPONSE_FIELDS = words(
    f"{COMMON} access_programs background background_options context_management conversation image include input "
    "instructions max_output_tokens max_tool_calls previous_response_id prompt reasoning text truncation"
)
MOVED = {  # parameters of Chat Completions that have another name in Responses
    "messages": "input",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
}
NUMBERS = {  # the type of each, its least and its greatest value
    "temperature": (float, 0, 2),
    "top_p": (float, 0, 1),
    "frequency_penalty": (float, -2, 2),
    "presence_penalty": (float, -2, 2),
    "n": (int, 1, 128),
    "top_logprobs": (int, 0, 20),
    "seed": (int, -(2**63), 2**63 - 1),
    "max_tokens": (int, 1, None),
    "max_completion_tokens": (int, 1, None),
    "max_output_tokens": (int, 16, None),
}
FLAGS = ("logprobs", "store", "stream", "parallel_tool_calls", "background")
CHOICES = {
    "service_tier": ("auto", "default", "flex", "scale", "priority", "fast"),
    "verbosity": ("low", "medium", "high"),
    "truncation": ("auto", "disabled"),
    "prompt_cache_retention": ("in_memory", "24h"),
}
INCLUDABLE = (
    "file_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
ROLES = ("system", "assistant", "user", "function", "tool", "developer")
MESSAGE_FIELDS = {
    "assistant": words("role content name refusal audio annotations function_call tool_calls"),
    "tool": words("role content tool_call_id"),
    "function": words("role content name"),
}
CHAT_PARTS = ("text", "image_url", "input_audio", "refusal", "audio", "file")
INPUT_PARTS = (
    "input_text",
    "input_image",
    "output_text",
    "refusal",
    "input_file",
    "computer_screenshot",
    "summary_text",
)
ITEMS = words("message reasoning function_call function_call_output item_reference")
IMAGES = {"png": rb"\x89PNG", "jpeg": rb"\xff\xd8\xff", "gif": rb"GIF8", "webp": rb"RIFF"}  # their first bytes


def check_numbers(body):
    for name in NUMBERS.keys() & body.keys():
        value, (kind, least, most) = body[name], NUMBERS[name]
        if value is None:
            continue
        check_type(value, kind, name)
        word = "integer" if kind is int else "decimal"
        low = f"{word} below minimum value. Expected a value >= {least}, but got {json.dumps(value)} instead."
        high = f"{word} above maximum value. Expected a value <= {most}, but got {json.dumps(value)} instead."
        reject(value < least, f"Invalid '{name}': {low}", name, f"{word}_below_min_value")
        reject(most is not None and value > most, f"Invalid '{name}': {high}", name, f"{word}_above_max_value")
    for name in FLAGS:
        if body.get(name) is not None:
            check_type(body[name], bool, name)
    for name, known in CHOICES.items():
        if body.get(name) is not None:
            check_choice(body[name], known, name)


def check_image(url, param):
    check_type(url, str, param)
    if re.match(r"https?://", url):
        return
    found = re.match(r"data:([^;,]*);base64,(.*)$", url, re.DOTALL)
    example = "a base64-encoded data URL with an image MIME type (e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU=')"
    reject(
        not found,
        f"Invalid '{param}'. Expected a valid URL, but got a value with an invalid format.",
        param,
        "invalid_value",
    )
    kind, data = found.groups()
    other = f"Invalid '{param}'. Expected {example}, but got unsupported MIME type '{kind}'."
    reject(not kind.startswith("image/"), other, param, "invalid_value")
    is_base64 = re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", data) and len(data) % 4 == 0
    reject(
        not is_base64,
        f"Invalid '{param}'. Expected {example}, but got an invalid base64-encoded value.",
        param,
        "invalid_value",
    )
    known = any(re.match(start, base64.b64decode(data), re.DOTALL) for start in IMAGES.values())
    formats = "Please make sure your image has of one the following formats: ['png', 'jpeg', 'gif', 'webp']."
    reject(not known, f"You uploaded an unsupported image. {formats}", None, "invalid_image_format")


def check_messages(messages):
    check_type(messages, list, "messages")
    empty = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
    reject(not messages, empty, "messages", "empty_array")
    open_calls = []
    for i, message in enumerate(messages):
        param = f"messages[{i}]"
        check_type(message, dict, param)
        check_needed(message, "role", param)
        role, content = message["role"], message.get("content")
        check_choice(role, ROLES, f"{param}.role")
        check_known(message, MESSAGE_FIELDS.get(role, words("role content name")), param)
        unasked = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
        is_asked = message.get("tool_call_id") in open_calls
        reject(role == "tool" and not is_asked, f"Invalid parameter: {unasked}", f"messages.[{i}].role")
        must = "must be followed by tool messages responding to each 'tool_call_id'."
        ids = f"The following tool_call_ids did not have response messages: {', '.join(open_calls)}"
        lost = f"An assistant message with 'tool_calls' {must} {ids}"
        reject(role != "tool" and open_calls, lost, f"messages.[{i}].role")
        open_calls = [name for name in open_calls if name != message.get("tool_call_id")]
        open_calls += [call["id"] for call in message.get("tool_calls") or ()]
        if content is None and role == "assistant":
            continue
        reject(content is None, "Invalid value for 'content': expected a string, got null.", f"messages.[{i}].content")
        check_type(content, (str, list), f"{param}.content")
        for j, part in enumerate(content if isinstance(content, list) else ()):
            check_chat_part(part, f"{param}.content[{j}]", role)


def check_chat_part(part, param, role):
    check_type(part, dict, param)
    check_needed(part, "type", param)
    check_choice(part["type"], CHAT_PARTS, f"{param}.type")
    kind = part["type"]
    check_needed(part, kind, param)
    check_known(part, {"type", kind, "prompt_cache_breakpoint"}, param)
    if kind == "text":
        check_type(part["text"], str, f"{param}.text")
    if kind == "image_url":
        only = "Image URLs are only allowed for messages with role 'user', but this message with role"
        wrong = f"Invalid '{param}'. {only} '{role}' contains an image URL."
        reject(role != "user", wrong, param, "invalid_value")
        check_type(part["image_url"], dict, f"{param}.image_url")
        check_needed(part["image_url"], "url", f"{param}.image_url")
        check_known(part["image_url"], words("url detail"), f"{param}.image_url")
        check_image(part["image_url"]["url"], f"{param}.image_url.url")


def check_input(items):
    check_type(items, (str, list), "input")
    for i, item in enumerate(items if isinstance(items, list) else ()):
        param = f"input[{i}]"
        check_type(item, dict, param)
        kind = item.get("type", "message")
        check_choice(kind, sorted(ITEMS), param)
        if kind != "message":
            needed = {"function_call": "call_id name arguments", "function_call_output": "call_id output"}
            check_needed(item, needed.get(kind, "id"), param)
            continue
        check_needed(item, "role content", param)
        check_known(item, words("type role content id status phase"), param)
        role, content = item["role"], item["content"]
        check_choice(role, ("assistant", "system", "developer", "user"), f"{param}.role")
        check_type(content, (str, list), f"{param}.content")
        for j, part in enumerate(content if isinstance(content, list) else ()):
            check_input_part(part, f"{param}.content[{j}]", role)


def check_input_part(part, param, role):
    check_type(part, dict, param)
    check_needed(part, "type", param)
    kind = part["type"]
    check_choice(kind, ("output_text", "refusal") if role == "assistant" else INPUT_PARTS, param)
    if kind == "input_text":
        check_needed(part, "text", param)
        check_known(part, words("type text prompt_cache_breakpoint"), param)
        check_type(part["text"], str, f"{param}.text")
    if kind == "input_image":
        check_known(part, words("type image_url detail file_id prompt_cache_breakpoint"), param)
        check_needed(part, "image_url", param)
        check_image(part["image_url"], f"{param}.image_url")


def text_of(content):
    """Join the texts of a message's content."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if isinstance(part.get("text"), str))


def texts_of(body):
    """Give the texts of a request: those of its messages or of its input. Instructions are not among them."""
    items = body.get("messages", body.get("input", ""))
    if isinstance(items, str):
        return [items]
    return [text_of(item.get("content") or item.get("output") or "") for item in items]


def check_model(name, endpoint):
    """Give the name of a model without its date. ``endpoint``: chat, responses or embeddings."""
    check_type(name, str, "model")
    known = SNAPSHOTS.get(name, name)
    replaced = f"The model `{name}` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations"
    reject(known in RETIRED, replaced, None, "model_not_found", 404)
    chat, response = (
        f"The model `{name}` does not exist or you do not have access to it.",
        f"The requested model '{name}' does not exist.",
    )
    if endpoint == "responses":
        reject(known not in MODELS, response, "model", "model_not_found")
        reject(
            MODELS[known].api == "embeddings",
            f"The requested model '{name}' cannot be used with the Responses API.",
            "model",
        )
        return known
    reject(known not in MODELS, chat, None, "model_not_found", 404)
    kind = MODELS[known].api
    if endpoint == "embeddings":
        other = "You are not allowed to generate embeddings from this model"
        reject(kind != "embeddings", other, None, None, 403)
        return known
    no_chat = "This is not a chat model and thus not supported in the v1/chat/completions endpoint."
    reject(kind in ("other", "embeddings"), f"{no_chat} Did you mean to use v1/completions?", "model", None, 404)
    only = "This model is only supported in v1/responses and not in v1/chat/completions."
    reject(kind == "responses", only, "model", None, 404)
    return known


def unsupported(name, advice=""):
    return f"Unsupported parameter: '{name}' is not supported with this model.{advice}", name, "unsupported_parameter"


def check_chat_reasoning(body, name):
    """Check what a model that reasons does not take in Chat Completions. Give its effort."""
    it, effort = MODELS[name], body.get("reasoning_effort")
    if not it.efforts:
        reject("reasoning_effort" in body, "Unrecognized request argument supplied: reasoning_effort")
        verbosity = body.get("verbosity") or "medium"
        fixed = f"'verbosity' does not support '{verbosity}' with this model. Supported values are: 'medium'."
        reject(verbosity != "medium", f"Unsupported value: {fixed}", "verbosity", "unsupported_value")
        return "none"
    reject(body.get("max_tokens") is not None, *unsupported("max_tokens", " Use 'max_completion_tokens' instead."))
    efforts = [value for value in it.efforts if value != "max"]
    if effort is not None:
        check_choice(effort, ALL_EFFORTS, "reasoning_effort")
        wrong = (
            f"'reasoning_effort' does not support '{effort}' with this model. Supported values are: {listed(efforts)}."
        )
        reject(effort not in efforts, f"Unsupported value: {wrong}", "reasoning_effort", "unsupported_value")
    effort = effort or it.effort
    for field in ("stop", "logit_bias", "prediction", "presence_penalty", "frequency_penalty"):
        reject(body.get(field), *unsupported(field))
    newest = "none" in it.efforts or "max" in it.efforts
    if effort != "none":
        value = body.get("temperature")
        only = "Only the default (1) value is supported."
        wrong = f"'temperature' does not support {json.dumps(value)} with this model. {only}"
        reject(value not in (None, 1), f"Unsupported value: {wrong}", "temperature", "unsupported_value")
        reject(body.get("top_p") not in (None, 1), *unsupported("top_p"))
        asked, older = body.get("logprobs"), "You are not allowed to request logprobs from this model"
        reject(asked and not newest, older, None, None, 403)
        reject(asked, "logprobs are not supported with reasoning models.", "logprobs")
    advice = "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
    no_tools = f"Function tools with reasoning_effort are not supported for {name} in /v1/chat/completions. {advice}"
    separate = re.match(r"gpt-(5\.[456]|6)", name) and effort != "none"
    reject(body.get("tools") and separate, no_tools, "reasoning_effort")
    return effort


def check_chat(body, name):
    """Check a request to Chat Completions. ``name``: its model without a date. Give the effort of its reasoning."""
    others = sorted(body.keys() - CHAT_FIELDS)
    reject(others, f"Unrecognized request argument{'s' * (len(others) > 1)} supplied: {', '.join(others)}")
    check_needed(body, "messages", "")
    check_messages(body["messages"])
    check_numbers(body)
    alone = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
    reject(body.get("top_logprobs") is not None and not body.get("logprobs"), alone, "top_logprobs")
    stop = body.get("stop")
    if stop is not None:
        check_type(stop, (str, list), "stop")
        many = f"Expected an array with maximum length 4, but got an array with length {len(stop)} instead."
        reject(
            isinstance(stop, list) and len(stop) > 4,
            f"Invalid 'stop': array too long. {many}",
            "stop",
            "array_above_max_length",
        )
    both = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
    reject({"max_tokens", "max_completion_tokens"} <= body.keys(), both, "max_tokens", "invalid_parameter_combination")
    effort = check_chat_reasoning(body, name)
    for field in ("max_tokens", "max_completion_tokens"):
        asked, most = body.get(field) or 0, MODELS[name].most
        large = f"{field} is too large: {asked}. This model supports at most {most} completion tokens"
        reject(asked > most, f"{large}, whereas you provided {asked}.", field, "invalid_value")
    if body.get("response_format") is not None:
        check_format(body["response_format"], "response_format", "\n".join(texts_of(body)), flat=False)
    check_tools(body, flat=False)
    reject(body.get("stream"), "This double does not stream.", status=501)
    return effort


def check_response_reasoning(body, name):
    """Check what a model takes of reasoning and of sampling in Responses. Give its effort."""
    it, reasoning = MODELS[name], body.get("reasoning") or {}
    check_type(reasoning, dict, "reasoning")
    check_known(reasoning, words("effort summary generate_summary mode context"), "reasoning")
    effort = reasoning.get("effort")
    if not it.efforts:
        reject(effort is not None, *unsupported("reasoning.effort"))
        return "none"
    if effort is not None:
        check_choice(effort, ALL_EFFORTS, "reasoning.effort")
        wrong = f"'{effort}' is not supported with the '{name}' model. Supported values are: {listed(it.efforts)}."
        reject(effort not in it.efforts, f"Unsupported value: {wrong}", "reasoning.effort", "unsupported_value")
    effort = effort or it.effort
    if effort != "none":
        for field in ("temperature", "top_p"):
            reject(body.get(field) is not None, *unsupported(field)[:2])
        reject(body.get("top_logprobs"), *unsupported("top_logprobs")[:2])
        asked = "message.output_text.logprobs" in (body.get("include") or ())
        reject(asked, "logprobs are not supported with reasoning models.", "include")
    return effort


def check_responses(body, name):
    """Check a request to Responses. ``name``: its model without a date. Give the effort of its reasoning."""
    for field in body.keys() - RESPONSE_FIELDS:
        page = "https://platform.openai.com/docs/api-reference/responses/create"
        more = f"Try again with the new parameter. See the API documentation for more information: {page}."
        moved = f"In the Responses API, this parameter has moved to '{MOVED.get(field)}'. {more}"
        reject(field in MOVED, f"Unsupported parameter: '{field}'. {moved}", None, "unsupported_parameter")
        reject(field, f"Unknown parameter: '{field}'.", field, "unknown_parameter")
    check_needed(body, "input", "")
    check_input(body["input"])
    check_numbers(body)
    if body.get("instructions") is not None:
        check_type(body["instructions"], str, "instructions")
    for i, value in enumerate(body.get("include") or ()):
        check_choice(value, INCLUDABLE, f"include[{i}]")
    effort = check_response_reasoning(body, name)
    text = body.get("text") or {}
    check_type(text, dict, "text")
    check_known(text, words("format verbosity"), "text")
    if text.get("format") is not None:
        check_format(text["format"], "text.format", "\n".join(texts_of(body)), flat=True)
    check_tools(body, flat=True)
    reject(body.get("stream") or body.get("background"), "This double does neither stream nor wait.", status=501)
    return effort
