"""The replies of OpenAI's API: chat completions, responses, embeddings and models, as its documentation shows them."""

import base64
import hashlib
import json
import re
import struct
import time
import uuid

from openai_checks import check_choice, check_needed, check_type, reject, words
from openai_rules import MODELS, SHUTDOWNS, texts_of

IMAGE_TOKENS = 255
FAILURE = "The server had an error while processing your request. Sorry about that!"


def identity(prefix):
    return prefix + uuid.uuid4().hex


def tokens_of(text):
    return (len(text.encode()) + 3) // 4


def count_input(body):
    """Count the tokens of a request. Each image has the same number."""
    texts = [*texts_of(body), body.get("instructions") or ""]
    tools = json.dumps([body.get("tools"), body.get("response_format"), body.get("text")])
    kinds = re.findall(r'"type": "(?:image_url|input_image)"', json.dumps(body))
    return 3 + sum(map(tokens_of, texts)) + tokens_of(tools) + IMAGE_TOKENS * len(kinds)


def sample(node, text, root, depth=0):  # noqa: PLR0911
    """The simplest value that a schema allows. Its strings are ``text``."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        target = root if node["$ref"] == "#" else root.get("$defs", root.get("definitions"))[name]
        return sample(target, text, root, depth + 1)
    if "anyOf" in node:
        return sample(node["anyOf"][-1 if depth > 3 else 0], text, root, depth)
    if "const" in node or "enum" in node:
        return node["const"] if "const" in node else node["enum"][0]
    kinds = node.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[-1 if depth > 3 else 0]
    if kind == "object":
        return {name: sample(child, text, root, depth + 1) for name, child in node.get("properties", {}).items()}
    if kind == "array":
        least = node.get("minItems", 0 if depth > 3 or node.get("maxItems") == 0 else 1)
        return [sample(node["items"], text, root, depth + 1) for _ in range(least)] if "items" in node else []
    if kind == "string":
        formats = {"date": "2026-11-27", "date-time": "2026-11-27T00:00:00Z", "uuid": str(uuid.UUID(int=1))}
        return formats.get(node.get("format"), text)
    number = max(node.get("minimum", 1), node.get("exclusiveMinimum", 0) + 1)
    number = min(number, node.get("maximum", number), node.get("exclusiveMaximum", number + 2) - 1)
    return {"integer": int(number), "number": float(number), "boolean": True}.get(kind)


def schema_of(body):
    """Give the schema that the answer shall have, if there is one."""
    form = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    return form.get("schema") or (form.get("json_schema") or {}).get("schema")


def echo(prompt, body):
    """Answer with the prompt, in the shape that the request asks for."""
    text, schema = f"echo: {prompt}", schema_of(body)
    return json.dumps(sample(schema, text, schema)) if schema else text


def tool_of(body, text):
    """Give the name and the arguments of the function that the request forces the model to call, if it does."""
    choice = body.get("tool_choice")
    if not body.get("tools") or choice in (None, "auto", "none"):
        return None
    functions = {tool.get("function", tool)["name"]: tool.get("function", tool) for tool in body["tools"]}
    name = choice.get("function", choice)["name"] if isinstance(choice, dict) else next(iter(functions))
    schema = functions[name].get("parameters") or {"type": "object"}
    return name, text if text.startswith("{") else json.dumps(sample(schema, text, schema))


def logprobs_of(text, most):
    """Split a text into tokens with made-up probabilities. ``most``: how many alternatives each has."""
    found = []
    for i, token in enumerate(re.findall(r"\s?\w{1,6}|\W", text)):
        options = [(token, -0.01 * (i % 7 + 1)), *((f"{token}{j}", -3.0 - j) for j in range(1, most))][:most]
        first, *_ = [*options, (token, -0.01)]
        entries = [{"token": name, "logprob": value, "bytes": list(name.encode())} for name, value in options]
        found.append({"token": token, "logprob": first[1], "bytes": list(token.encode()), "top_logprobs": entries})
    return found


def cut(body, text, most, spent):
    """Cut a text where the most tokens or a stop sequence end it. Give it, and whether it was too long."""
    stop = body.get("stop") or ()
    ends = [text.find(each) for each in ([stop] if isinstance(stop, str) else stop) if each in text]
    text = text[: min(ends)] if ends else text
    room = len(text) if most is None else max(most - spent, 0) * 4
    return text[:room], room < len(text)


def filters(flagged="", *, prompt=False):
    """The results of Azure's content filters. ``flagged``: the one that found something."""
    harms = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
    if prompt:
        harms["jailbreak"] = {"filtered": False, "detected": False}
    else:
        harms["protected_material_text"] = {"filtered": False, "detected": False}
    if flagged:
        harms[flagged] = {"filtered": True, "severity": "medium"}
    return dict(sorted(harms.items()))


def reply_chat(body, name, spent, text, fault):
    """Put together what Chat Completions answer. ``spent``: the tokens of the reasoning for one choice."""
    most, call, choices = body.get("max_completion_tokens", body.get("max_tokens")), tool_of(body, text), []
    shown, too_long = cut(body, text, most, spent)
    reason = fault.get("finish", "length" if too_long else "stop")
    shown = shown[: len(text) // 2] if "finish" in fault and reason != "stop" else shown
    for i in range(body.get("n") or 1):
        message = {"role": "assistant", "content": shown, "refusal": None, "annotations": []}
        end, tokens = reason, logprobs_of(shown, min(body.get("top_logprobs") or 0, 5 if MODELS[name].efforts else 20))
        if "refusal" in fault:
            message |= {"content": None, "refusal": fault["refusal"]}
        elif call:
            function = {"name": call[0], "arguments": call[1]}
            message |= {
                "content": None,
                "tool_calls": [{"id": identity("call_"), "type": "function", "function": function}],
            }
            end = "tool_calls" if body["tool_choice"] == "required" else "stop"
        logprobs = {"content": tokens, "refusal": None} if body.get("logprobs") else None
        choices.append({"index": i, "message": message, "logprobs": logprobs, "finish_reason": end})
    written = tokens_of(fault.get("refusal") or (call[1] if call else shown))
    given, out = count_input(body), len(choices) * (written + spent)
    details = {"reasoning_tokens": len(choices) * spent, "audio_tokens": 0}
    details |= {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
    read = {"cached_tokens": min(fault.get("cached", 0), given), "audio_tokens": 0}
    if re.match(r"gpt-(5\.6|6)", name):
        read["cache_write_tokens"] = 0
    usage = {"prompt_tokens": given, "completion_tokens": out, "total_tokens": given + out}
    usage |= {"prompt_tokens_details": read, "completion_tokens_details": details}
    answer = {"id": identity("chatcmpl-"), "object": "chat.completion", "created": int(time.time())}
    answer |= {"choices": choices, "usage": usage, "service_tier": "default", "system_fingerprint": None}
    return answer


def reply_response(body, name, spent, text, fault):
    """Put together what Responses answer. ``spent``: the tokens of the reasoning."""
    effort, call = (body.get("reasoning") or {}).get("effort") or MODELS[name].effort, tool_of(body, text)
    shown, too_long = cut(body, text, body.get("max_output_tokens"), spent)
    finish = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(fault.get("finish"))
    reason = fault.get("incomplete", finish or ("max_output_tokens" if too_long else None))
    shown = shown[: len(text) // 2] if reason and not too_long else shown
    status = "failed" if "failed" in fault else "incomplete" if reason else "completed"
    most = body.get("top_logprobs") or 0
    asked = "message.output_text.logprobs" in (body.get("include") or ())
    tokens = logprobs_of(shown, most) if asked else []
    part = {"type": "output_text", "text": shown, "annotations": [], "logprobs": tokens}
    if "refusal" in fault:
        part = {"type": "refusal", "refusal": fault["refusal"]}
    item = {"id": identity("msg_"), "type": "message", "status": status, "role": "assistant", "content": [part]}
    if call:
        item = {"id": identity("fc_"), "type": "function_call", "status": status, "call_id": identity("call_")}
        item |= {"name": call[0], "arguments": call[1]}
    output = [item] if shown or call or "refusal" in fault else []
    if effort not in (None, "none"):
        thought = {"id": identity("rs_"), "type": "reasoning", "summary": [], "encrypted_content": "gAAAAABdouble"}
        output.insert(0, thought)
    given, out = count_input(body), spent + tokens_of(fault.get("refusal") or (call[1] if call else shown))
    read = {"cached_tokens": min(fault.get("cached", 0), given), "cache_write_tokens": 0}
    usage = {"input_tokens": given, "input_tokens_details": read, "output_tokens": out}
    usage |= {"output_tokens_details": {"reasoning_tokens": spent}, "total_tokens": given + out}
    error = {"code": fault.get("failed"), "message": fault.get("message", FAILURE)}
    failed, now = status == "failed", int(time.time())
    answer = {"id": identity("resp_"), "object": "response", "created_at": now, "status": status}
    answer |= {"completed_at": now if status == "completed" else None, "error": error if failed else None}
    answer |= {"incomplete_details": {"reason": reason} if status == "incomplete" else None}
    answer |= {"output": [] if failed else output, "usage": None if failed else usage, "background": False}
    same = "instructions max_output_tokens max_tool_calls previous_response_id prompt_cache_key safety_identifier user"
    answer |= {field: body.get(field) for field in same.split()}
    form = (body.get("text") or {}).get("format") or {"type": "text"}
    answer |= {
        "text": {"format": form, "verbosity": "medium"},
        "reasoning": {"effort": effort or None, "summary": None},
    }
    answer |= {"temperature": body.get("temperature", 1.0), "top_p": body.get("top_p", 1.0), "top_logprobs": most}
    answer |= {"tools": [{"strict": True, **tool} for tool in body.get("tools") or ()]}
    answer |= {"tool_choice": body.get("tool_choice") or "auto", "truncation": body.get("truncation") or "disabled"}
    answer |= {"parallel_tool_calls": body.get("parallel_tool_calls", True), "metadata": body.get("metadata") or {}}
    return answer | {"service_tier": "default", "store": body.get("store", True)}


def vector_of(text, size):
    """A vector of length 1 that only the text decides."""
    digest = hashlib.sha256(str(text).encode()).digest()
    values = [digest[i % 32] / 255 - 0.5 + i % 7 / 100 for i in range(size)]
    norm = sum(value * value for value in values) ** 0.5
    return [value / norm for value in values]


def embed(body, name):
    others = sorted(body.keys() - words("input model dimensions encoding_format user"))
    reject(others, f"Unrecognized request argument{'s' * (len(others) > 1)} supplied: {', '.join(others)}")
    check_needed(body, "input", "")
    given, most = body["input"], MODELS[name].most
    check_type(given, (str, list), "input")
    inputs = [given] if isinstance(given, str) or (given and type(given[0]) is int) else given
    page = "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
    fits = 0 < len(inputs) <= 2048 and all(inputs) and len({type(each) for each in inputs}) == 1
    reject(not fits or type(inputs[0]) not in (str, list), page)
    counts = [tokens_of(each) if isinstance(each, str) else len(each) for each in inputs]
    for i, count in enumerate(counts):
        reject(count > 8_192, f"Invalid 'input[{i}]': maximum input length is 8192 tokens.")
    total, code = sum(counts), "max_tokens_per_request"
    reject(total > 300_000, f"Requested {total} tokens, max 300000 tokens per request", None, code, kind=code)
    size = body.get("dimensions")
    if size is not None:
        reject(name.endswith("ada-002"), "This model does not support specifying dimensions.")
        check_type(size, int, "dimensions")
        range_ = f"Must be less than or equal to {most}." if size > most else "Must be greater than or equal to 1."
        reject(not 1 <= size <= most, f"Invalid value for 'dimensions' = {size}. {range_}")
    form = body.get("encoding_format") or "float"
    check_choice(form, ("float", "base64"), "encoding_format")
    data = []
    for i, each in enumerate(inputs):
        vector = vector_of(each, size or most)
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if form == "base64" else vector
        data.append({"object": "embedding", "index": i, "embedding": packed})
    return {"object": "list", "data": data, "usage": {"prompt_tokens": total, "total_tokens": total}}


def models_of(name):
    made = {"object": "model", "created": 1_767_225_600, "owned_by": "system"}
    data = [{"id": each, **made, "shutdown_date": SHUTDOWNS.get(each)} for each in MODELS]
    if not name:
        return {"object": "list", "data": data}
    reject(name not in MODELS, f"The model '{name}' does not exist", "model", "model_not_found", 404)
    return next(each for each in data if each["id"] == name)
