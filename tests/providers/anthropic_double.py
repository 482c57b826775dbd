"""A server that answers as Anthropic's Messages API does, by its documentation of autumn 2026.

Where it has no wording of an error, the wording is one that users of the API report. Left out: streams, batches,
server tools, messages with the role ``system`` after the first, and the pairing of tool calls and results.
"""

import base64
import json
import re
import threading
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def words(text):
    return frozenset(text.split())


SAMPLING = words("temperature top_p top_k")
NEW = SAMPLING | words("prefill thinking.type.enabled")
FIRM = NEW | words("forced_tools thinking.type.disabled")
LARGE, SMALL = (1_000_000, 128_000), (200_000, 64_000)
MODELS = {  # what each does not take, its most input and output tokens, and the fewest tokens that it caches
    **dict.fromkeys(("claude-fable-5-2", "claude-opus-5-5", "claude-sonnet-5-5"), (FIRM, LARGE, 512)),
    **dict.fromkeys(("claude-haiku-5-5", "claude-opus-5"), (NEW, LARGE, 512)),
    "claude-sonnet-5": (NEW, LARGE, 1024),
    "claude-opus-4-8": (NEW | {"thinking"}, LARGE, 1024),
    "claude-sonnet-4-6": (words("thinking prefill"), LARGE, 1024),
    "claude-opus-4-5-20251101": (words("thinking"), SMALL, 4096),
    "claude-haiku-4-5-20251001": (words("thinking effort"), SMALL, 4096),
}
ALIASES = {name[:-9]: name for name in MODELS if re.search(r"-\d{8}$", name)}
VERSIONS, RELEASED = ("2023-01-01", "2023-06-01", "2026-10-21"), "2026-01-01T00:00:00Z"
COUNTED = "cache_control output_config speed system thinking tool_choice tools"
FIELDS = f"{COUNTED} container diagnostics inference_geo metadata service_tier stop_sequences stream"
TOOL = "type description strict cache_control input_examples defer_loading allowed_callers eager_input_streaming"
BLOCKS = {  # the fields that each must have, and the others that it may
    "image": ("type source", "transformations cache_control"),
    "text": ("type text", "citations cache_control"),
    "thinking": ("type thinking signature", ""),
    "tool_result": ("type tool_use_id", "content is_error toolset_name cache_control"),
    "tool_use": ("type id name input", "caller toolset_name cache_control"),
}
SOURCES = {"base64": "type media_type data", "file": "type file_id", "url": "type url"}
IMAGES = {"jpeg": rb"\xff\xd8\xff", "png": rb"\x89PNG", "gif": rb"GIF8", "webp": rb"RIFF....WEBP"}  # their first bytes
MOST_BYTES, IMAGE_BYTES, IMAGE_TOKENS, THINKING_TOKENS = 32 * 1024 * 1024, 5_242_880, 1_600, 8
TYPES = words("object array string integer number boolean null")
FORMATS = words("date-time time date duration email hostname uri ipv4 ipv6 uuid")
UNSUPPORTED = words(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength maxItems uniqueItems contains "
    "minContains maxContains prefixItems minProperties maxProperties patternProperties propertyNames"
)
ERRORS = {
    400: ("invalid_request_error", "Error"),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    413: ("request_too_large", "Request exceeds the maximum allowed number of bytes."),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit of 4,000 requests per minute."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}
ENDPOINTS = {("GET", "/v1/models"), ("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens")}
LIMITS = {"requests": 4_000, "tokens": 2_400_000, "input-tokens": 2_000_000, "output-tokens": 400_000}


class Rejection(Exception):
    """An error that the API answers: its message, its status, and what a test puts in place of its other fields."""


def reject(wrong, message=None, status=400):
    if wrong:
        raise Rejection(message, status, {})


def check_fields(value, required, optional, where):
    """Reject an object that lacks a field, or that has one which the API does not know."""
    reject(not isinstance(value, dict), f"{where}: Input should be a valid dictionary")
    for name in [*required.split(), *value]:
        path = f"{where}.{name}".strip(".")
        reject(name not in value, f"{path}: Field required")
        reject(name not in words(f"{required} {optional}"), f"{path}: Extra inputs are not permitted")


def check_tag(value, known, where):
    tag = value.get("type") if isinstance(value, dict) else None
    reject(tag is None, f"{where}.type: Field required")
    expected = "does not match any of the expected tags: " + ", ".join(f"'{name}'" for name in known)
    reject(tag not in known, f"{where}: Input tag '{tag}' found using 'type' {expected}")
    return tag


def check_numbers(body, lacks, most):
    tokens, model = body.get("max_tokens", 0), ALIASES.get(body["model"], body["model"])
    reject(model not in MODELS, f"model: {body['model']}", 404)
    reject(type(tokens) is not int, "max_tokens: Input should be a valid integer")
    reject(tokens < 0, "max_tokens: Input should be greater than or equal to 0")
    limit = f"which is the maximum allowed number of output tokens for {model}"
    reject(tokens > most, f"max_tokens: {tokens} > {most}, {limit}")
    for name in sorted(SAMPLING & body.keys()):
        reject(type(body[name]) not in (int, float), f"{name}: Input should be a valid number")
        reject(name in lacks, f"`{name}` is deprecated for this model.")
        reject(name != "top_k" and not 0 <= body[name] <= 1, f"{name}: range: 0..1")
    both = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    reject({"temperature", "top_p"} <= body.keys(), both)


def check_schema(node, where, root, found, trail=()):
    """Check a JSON schema as structured outputs do. ``found``: counts what makes it complex."""
    reject(not isinstance(node, dict), f"{where}: Input should be a valid dictionary")
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        definitions = root.get("$defs", root.get("definitions", {}))
        circle = f"Invalid schema: Circular reference detected in schema definitions: {name} -> {name}."
        more = "Self-referencing or mutually-referencing definitions are not supported."
        reject(name in trail or name == "#", f"{where}: {circle} {more}")
        reject(name not in definitions, f"{where}: Invalid schema: $ref '{node['$ref']}' is not supported")
        check_schema(definitions[name], where, root, found, (*trail, name))
        return
    kinds = node.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    typed = kinds or node.keys() & words("anyOf allOf oneOf enum const")
    reject(not typed, f"{where}: Schema must have a 'type', 'anyOf', or 'allOf' field")
    for word in [*(node.keys() & words("oneOf not if dependentSchemas")), *(set(kinds) - TYPES)]:
        reject(word, f"{where}: Schema type '{word}' is not supported")
    names, least, form = sorted(node.keys() & UNSUPPORTED), node.get("minItems", 0), node.get("format", "date")
    what = f"properties {', '.join(names)} are" if names[1:] else f"property '{''.join(names)}' is"
    for kind in kinds:
        here = f"{where}: For '{kind}' type,"
        reject(names, f"{here} {what} not supported")
        is_open = kind == "object" and node.get("additionalProperties") is not False
        reject(is_open, f"{here} 'additionalProperties' must be explicitly set to false")
        reject(least not in (0, 1), f"{here} 'minItems' values other than 0 or 1 are not supported (got: {least})")
        reject(kind == "string" and form not in FORMATS, f"{here} format '{form}' is not supported")
    properties, items = node.get("properties", {}), [node["items"]] if "items" in node else []
    found["optional"] += len(properties.keys() - set(node.get("required", ())))
    found["unions"] += len(kinds) > 1 or "anyOf" in node
    for child in [*properties.values(), *items, *node.get("anyOf", ()), *node.get("allOf", ())]:
        check_schema(child, where, root, found, trail)


def check_shapes(body, lacks):
    config, tools = body.get("output_config") or {}, body.get("tools") or ()
    form, choice, found = config.get("format"), body.get("tool_choice"), Counter()
    check_fields(config, "", "effort format", "output_config")
    reject(config.get("effort") and "effort" in lacks, "This model does not support the effort parameter.")
    known = config.get("effort") in (None, "low", "medium", "high", "xhigh", "max")
    reject(not known, "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if form is not None:
        reject("structured_outputs" in lacks, "output_config.format: Extra inputs are not permitted")
        check_fields(form, "type schema", "", "output_config.format")
        reject(form["type"] != "json_schema", "output_config.format.type: Input should be 'json_schema'")
        check_schema(form["schema"], "output_config.format.schema", form["schema"], found)
    names, pattern = [tool.get("name") for tool in tools], r"^[a-zA-Z0-9_-]{1,128}$"
    for i, tool in enumerate(tools):
        check_tag({"type": "custom", **tool}, ("bash_20250124", "custom", "text_editor_20250728"), f"tools.{i}")
        where = f"tools.{i}.custom"
        check_fields(tool, "name input_schema", TOOL, where)
        reject(not re.match(pattern, tool["name"]), f"{where}.name: String should match pattern '{pattern}'")
        reject(tool["input_schema"].get("type") != "object", f"{where}.input_schema.type: Input should be 'object'")
        if tool.get("strict"):
            reject("structured_outputs" in lacks, f"{where}.strict: Extra inputs are not permitted")
            check_schema(tool["input_schema"], where, tool["input_schema"], found)
    reject(len(set(names)) < len(names), "tools: Tool names must be unique.")
    optional, unions = found["optional"], found["unions"]
    many = f"Schemas contains too many optional parameters ({optional}), which would make grammar compilation"
    advice = "inefficient. Reduce the number of optional parameters in your tool schemas (limit: 24)."
    reject(optional > 24, f"{many} {advice}")
    many = f"Schemas contains too many parameters with union types ({unions} parameters with type arrays or anyOf)."
    advice = "Reduce the number of nullable or union-typed parameters (limit: 16 parameters with unions)."
    reject(unions > 16, f"{many} This causes exponential compilation cost. {advice}")
    if choice is None:
        return
    kind = check_tag(choice, ("auto", "any", "tool", "none"), "tool_choice")
    check_fields(choice, "type name" if kind == "tool" else "type", "disable_parallel_tool_use", f"tool_choice.{kind}")
    reject(not names, "tool_choice may only be specified while providing tools.")
    forced = kind in ("any", "tool") and "forced_tools" in lacks
    reject(forced, 'tool_choice: type "tool" and "any" are not supported for this model.')
    reject(kind == "tool" and choice["name"] not in names, f"Tool '{choice.get('name')}' not found in provided tools")


def check_messages(messages, lacks):
    reject(not isinstance(messages, list) or not messages, "messages: at least one message is required")
    for i, message in enumerate(messages):
        check_fields(message, "role content", "", f"messages.{i}")
        role, content = message["role"], message["content"]
        place = 'accepts a top-level `system` parameter, not "system" as an input message role.'
        reject(role == "system", f'messages: Unexpected role "system". The Messages API {place}')
        reject(role not in ("user", "assistant"), f"messages.{i}.role: Input should be 'user' or 'assistant'")
        empty = not content and (role == "user" or message is not messages[-1])
        reject(empty, f"messages.{i}: {role} messages must have non-empty content")
        check_content(content, f"messages.{i}.content", "messages", lacks)
    prefill = "This model does not support assistant message prefill. The conversation must end with a user message."
    reject(messages[-1]["role"] == "assistant" and "prefill" in lacks, prefill)


def check_content(content, where, part, lacks):
    reject(not isinstance(content, (str, list)), f"{where}: Input should be a valid list")
    for i, block in enumerate(blocks_of(content)):
        kind = check_tag(block, ("text",) if part == "system" else BLOCKS, f"{where}.{i}")
        check_fields(block, *BLOCKS[kind], f"{where}.{i}.{kind}")
        if kind == "image":
            check_image(block["source"], f"{where}.{i}.image.source", lacks)
        elif kind == "text":
            text = block["text"]
            reject(not isinstance(text, str), f"{where}.{i}.text.text: Input should be a valid string")
            reject(not text, f"{part}: text content blocks must be non-empty")
            reject(not text.strip(), f"{part}: text content blocks must contain non-whitespace text")


def check_image(source, where, lacks):
    reject("images" in lacks, "This model does not support image input.")
    kind = check_tag(source, SOURCES, where)
    check_fields(source, SOURCES[kind], "", f"{where}.{kind}")
    if kind != "base64":
        return
    media_type, data, where = source["media_type"], source["data"], f"{where}.base64"
    known = media_type in {f"image/{name}" for name in IMAGES}
    reject(not known, f"{where}.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'")
    large = f"image exceeds 5 MB maximum: {len(data)} bytes > {IMAGE_BYTES} bytes"
    reject(len(data) > IMAGE_BYTES, f"{where}: {large}")
    is_base64 = re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", data) and len(data) % 4 == 0
    reject(not is_base64, f"{where}.data: invalid base64 data")
    found = [f"image/{name}" for name, start in IMAGES.items() if re.match(start, base64.b64decode(data), re.DOTALL)]
    reject(not found, "Could not process image")
    reject([media_type] != found, f"{where}.data: Image does not match the provided media type {media_type}")


def check(body, version, lacks, most, *, counts):
    """Reject a body that the API rejects. ``counts``: the request only asks for the number of its tokens."""
    reject("output_format" in body, "output_format: This field is deprecated. Use 'output_config.format' instead.")
    sampling = "" if counts or version == VERSIONS[-1] else " ".join(SAMPLING)
    required, optional = ("model messages", COUNTED) if counts else ("model max_tokens messages", FIELDS)
    check_fields(body, required, f"{optional} {sampling}", "")
    check_numbers(body, lacks, most)
    check_content(body.get("system", "Be brief.") or [{"type": "text", "text": ""}], "system", "system", lacks)
    check_messages(body["messages"], lacks)
    thinking = f"thinking.type.{(body.get('thinking') or {}).get('type')}"
    advice = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
    reject(thinking in lacks, f'"{thinking}" is not supported for this model. {advice}')
    check_shapes(body, lacks)
    marks = [part["cache_control"] for part in [body, *parts_of(body)] if part.get("cache_control")]
    for mark in marks:
        check_tag(mark, ("ephemeral",), "cache_control")
    reject(len(marks) > 4, f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
    reject(body.get("stream"), "This double does not stream.", 501)


def blocks_of(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else list(content or ())


def parts_of(body):
    """All that is cached, in the order in which the API caches it."""
    messages = [block for message in body["messages"] for block in blocks_of(message["content"])]
    return [*(body.get("tools") or ()), *blocks_of(body.get("system")), *messages]


def tokens_of(*parts):
    texts = [part["text"] if part.get("type") == "text" else json.dumps(part) for part in parts if "source" not in part]
    return IMAGE_TOKENS * (len(parts) - len(texts)) + sum((len(text.encode()) + 3) // 4 for text in texts)


def sample(node, text, root):
    """The simplest value that a schema allows. Its strings are ``text``."""
    if "$ref" in node:
        node = root.get("$defs", root.get("definitions"))[node["$ref"].rpartition("/")[2]]
    node = (node.get("anyOf") or node.get("allOf") or [node])[0]
    if "const" in node or "enum" in node:
        return node["const"] if "const" in node else node["enum"][0]
    kind = node["type"] if isinstance(node["type"], str) else node["type"][0]
    properties, required = node.get("properties", {}), node.get("required", ())
    names = sorted(properties, key=lambda name: name not in required)  # the API puts the required ones first
    values = {name: sample(properties[name], text, root) for name in names}
    items = [sample(node["items"], text, root)] if "items" in node else []
    return {"object": values, "array": items, "string": text, "integer": 1, "number": 0.5, "boolean": True}.get(kind)


def echo(body):
    """Answer with the last text of the request, in the shape that it asks for."""
    texts = [part["text"] for part in parts_of({"messages": body["messages"]}) if part.get("type") == "text"]
    text = f"echo: {texts[-1] if texts else ''}"
    form = (body.get("output_config") or {}).get("format")
    return json.dumps(sample(form["schema"], text, form["schema"])) if form else text


def message_of(body, model, answer, *, thinks):
    """Put together what the API answers. ``answer``: the text, or fields of the message."""
    text, choice, word = answer.get("text") or echo(body), body.get("tool_choice") or {}, None
    if choice.get("type") in ("any", "tool"):
        tool = next(tool for tool in body["tools"] if tool["name"] == choice.get("name", tool["name"]))
        given = json.loads(text) if text.startswith("{") else sample(tool["input_schema"], text, tool["input_schema"])
        content = [{"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", "name": tool["name"], "input": given}]
        stop = "tool_use"
    else:
        most = max(body["max_tokens"] - THINKING_TOKENS * thinks, 0) * 4
        found = [(text.find(each), each) for each in body.get("stop_sequences") or () if each in text]
        end, word = min([*found, (len(text), None)], key=lambda each: each[0])
        stop = "max_tokens" if end > most else "stop_sequence" if word else "end_turn"
        content = [{"type": "text", "text": text[: min(end, most)]}] if text and most else []
    if thinks:
        content.insert(0, {"type": "thinking", "thinking": "", "signature": "c2lnbmF0dXJl"})
    message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": model}
    message |= {"content": content, "stop_reason": stop, "stop_sequence": word, "stop_details": None, "container": None}
    return message | {name: answer[name] for name in answer.keys() & message.keys()}


def parse(data):
    """Give the body of a request, or why it is none."""
    try:
        body = json.loads(data or "null")
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        why = "no low surrogate in string" if isinstance(error, UnicodeEncodeError) else error
        return Rejection(f"The request body is not valid JSON: {why}")
    return body


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, headers, payload = self.server.double.reply(self.command, self.path, headers, data)
        content = json.dumps(payload).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_): ...


class AnthropicDouble:
    """A context manager that runs the server.

    ``answer(body)`` gives the text of the reply or a dictionary: fields of the message (``content``, ``stop_reason``,
    ``stop_details``), ``usage``, ``headers``; for an error ``status``, ``type``, ``message``, ``details``.
    ``without``: what no model takes: a parameter, ``structured_outputs``, ``forced_tools``, ``prefill``, ``effort``,
    ``images``; and ``thinking``, with which the replies of new models begin. ``window``: the most input tokens.
    """

    def __init__(self, answer=echo, *, api_key="sk-ant-double", without=(), window=None):
        self.answer, self.api_key, self.without, self.window = answer, api_key, frozenset(without), window
        self.requests, self.statuses, self.used = [], Counter(), Counter()
        self.cached, self.lock = set(), threading.Lock()
        self.server = type("Server", (ThreadingHTTPServer,), {"request_queue_size": 1024})(("127.0.0.1", 0), Handler)
        self.server.double = self
        self.base_url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def reply(self, method, path, headers, data):
        body, status, identity = parse(data), 200, f"req_{uuid.uuid4().hex[:24]}"
        self.requests.append({"path": path, "headers": headers, "body": data if isinstance(body, Rejection) else body})
        more = {"request-id": identity, "anthropic-organization-id": "00000000-0000-4000-8000-000000000000"}
        try:
            self.check_headers(method, headers, data)
            url, version = path.partition("?")[0], headers["anthropic-version"]
            reject((method, url) not in ENDPOINTS, status=404)
            data = [{"id": name, "type": "model", "display_name": name, "created_at": RELEASED} for name in MODELS]
            page = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
            payload = page if method == "GET" else self.create(body, version, counts=url.endswith("count_tokens"))
            more |= self.limits(payload.get("usage", {})) | payload.pop("headers", {})
        except Rejection as rejection:
            message, status, answer = rejection.args
            kind, usual = ERRORS.get(status, ERRORS[500 if status >= 500 else 400])
            error = {"type": answer.get("type", kind), "message": message or usual}
            error |= {"details": answer["details"]} if "details" in answer else {}
            payload = {"type": "error", "error": error, "request_id": identity}
            more |= {"x-should-retry": str(status == 429 or status >= 500).lower()}
            more |= {"retry-after": 1} if status == 429 and "details" not in answer else {}
            more |= (self.limits({}) if status != 401 else {}) | answer.get("headers", {})
        with self.lock:
            self.statuses[status] += 1
        return status, more, payload

    def check_headers(self, method, headers, data):
        key, bearer = headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer ")
        reject(len(data) > MOST_BYTES, status=413)
        reject(not key and not bearer, "x-api-key header is required", 401)
        reject(key and key != self.api_key, status=401)
        reject(not key and bearer != self.api_key, "Invalid bearer token", 401)
        version = headers.get("anthropic-version", "")
        reject(not version, "anthropic-version: header is required")
        reject(version not in VERSIONS, f'anthropic-version: "{version}" is not a valid version')
        is_json = method == "GET" or headers.get("content-type", "").startswith("application/json")
        reject(not is_json, "content-type: Input should be 'application/json'")

    def create(self, body, version, *, counts):
        reject(isinstance(body, Rejection), str(body))
        reject(not isinstance(body, dict), "Input should be a valid dictionary")
        model = ALIASES.get(body.get("model"), body.get("model"))
        lacks, (window, most), fewest = MODELS.get(model, (frozenset(), LARGE, 0))
        lacks, window = lacks | self.without, self.window or window
        check(body, version, lacks, most, counts=counts)
        form = (body.get("output_config") or {}).get("format") or {}
        total = 3 + tokens_of(form, *parts_of(body))
        reject(total > window, f"prompt is too long: {total} tokens > {window} maximum")
        if counts:
            return {"input_tokens": total}
        answer = self.answer(body)
        answer = {"text": answer} if isinstance(answer, str) else answer
        if answer.get("status", 200) >= 400:
            raise Rejection(answer.get("message"), answer["status"], answer)
        kind = (body.get("thinking") or {}).get("type")
        thinks = "thinking" not in lacks and kind not in ("disabled", "between_tools")
        message = message_of(body, model, answer, thinks=thinks)
        thought, written = THINKING_TOKENS * thinks, [block for block in message["content"] if "signature" not in block]
        usage = self.cache(model, body, total, fewest) | {"output_tokens": thought + tokens_of(*written)}
        usage |= {"output_tokens_details": {"thinking_tokens": thought}, "service_tier": "standard"}
        return message | {"usage": usage | answer.get("usage", {}), "headers": answer.get("headers", {})}

    def cache(self, model, body, total, fewest):
        """Count the input tokens that were read from the cache, that were written to it, and the others."""
        parts = parts_of(body)
        parts[-1] = {"cache_control": body.get("cache_control"), **parts[-1]}
        marked = max((i + 1 for i, part in enumerate(parts) if part.get("cache_control")), default=0)
        size, start = tokens_of(*parts[:marked]), json.dumps([model, parts[:marked]])
        with self.lock:
            read = size if start in self.cached else 0
            self.cached.update([start] if size >= fewest else [])
        new = size - read if size >= fewest else 0
        life = (parts[marked - 1].get("cache_control") or {}).get("ttl", "5m")
        ages = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0, f"ephemeral_{life}_input_tokens": new}
        counts = {"input_tokens": total - read - new, "cache_read_input_tokens": read}
        return counts | {"cache_creation_input_tokens": new, "cache_creation": ages}

    def limits(self, usage):
        used = {"requests": 1, "output-tokens": usage.get("output_tokens", 0)}
        used["input-tokens"] = usage.get("input_tokens", 0) + usage.get("cache_creation_input_tokens", 0)
        with self.lock:
            self.used.update({**used, "tokens": used["input-tokens"] + used["output-tokens"]})
            left = {of: round(most - self.used[of], 0 if of == "requests" else -3) for of, most in LIMITS.items()}
        reset = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        facts = {"limit": LIMITS, "remaining": left, "reset": dict.fromkeys(LIMITS, reset)}
        return {f"anthropic-ratelimit-{of}-{name}": facts[name][of] for of in LIMITS for name in facts}
