"""A server that answers as Anthropic's Messages API does, by its documentation of autumn 2026.

Where the documentation has no wording of an error, the wording is one that users of the API report.
Left out: streams, batches, server tools, messages with the role ``system``, and the pairing of tool calls and results.
"""

import base64
import json
import re
import threading
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def words(text):
    return frozenset(text.split())


SAMPLING = words("temperature top_p top_k")
NEW = SAMPLING | words("prefill thinking.type.enabled")
FIRM = NEW | words("forced_tools thinking.type.disabled")
OLD = words("thinking effort")
MODELS = {  # what each does not take, its most input and output tokens, the fewest tokens that it caches
    "claude-fable-5-2": (FIRM, 1_000_000, 128_000, 512),
    "claude-mythos-5-2": (FIRM, 1_000_000, 128_000, 512),
    "claude-haiku-5-5": (NEW, 1_000_000, 128_000, 512),
    "claude-sonnet-5-5": (FIRM, 1_000_000, 128_000, 512),
    "claude-opus-5-5": (FIRM, 1_000_000, 128_000, 512),
    "claude-fable-5-1": (FIRM, 1_000_000, 128_000, 512),
    "claude-opus-5": (NEW, 1_000_000, 128_000, 512),
    "claude-sonnet-5": (NEW, 1_000_000, 128_000, 1024),
    "claude-opus-4-8": (NEW | {"thinking"}, 1_000_000, 128_000, 1024),
    "claude-opus-4-7": (NEW | {"thinking"}, 1_000_000, 128_000, 2048),
    "claude-opus-4-6": (words("thinking prefill"), 1_000_000, 128_000, 4096),
    "claude-sonnet-4-6": (words("thinking prefill"), 1_000_000, 128_000, 1024),
    "claude-opus-4-5-20251101": (OLD - {"effort"}, 200_000, 64_000, 4096),
    "claude-sonnet-4-5-20250929": (OLD, 200_000, 64_000, 1024),
    "claude-haiku-4-5-20251001": (OLD, 200_000, 64_000, 4096),
}
ALIASES = {name[:-9]: name for name in MODELS if re.search(r"-\d{8}$", name)}
VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")
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
IMAGES = {  # how the bytes of each begin
    "image/jpeg": rb"\xff\xd8\xff",
    "image/png": rb"\x89PNG",
    "image/gif": rb"GIF8",
    "image/webp": rb"RIFF....WEBP",
}
MOST_BYTES, IMAGE_BYTES, IMAGE_TOKENS, THINKING_TOKENS = 32 * 1024 * 1024, 5_242_880, 1_600, 8
CHOICES = ("auto", "any", "tool", "none")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
FORMATS = words("date-time time date duration email hostname uri ipv4 ipv6 uuid")
BOUNDS = words("minimum maximum exclusiveMinimum exclusiveMaximum multipleOf")
UNSUPPORTED = {  # of each type, in a schema
    "object": words("minProperties maxProperties patternProperties propertyNames"),
    "array": words("maxItems uniqueItems contains minContains maxContains prefixItems"),
    "string": words("minLength maxLength"),
    **dict.fromkeys(("integer", "number"), BOUNDS),
    **dict.fromkeys(("boolean", "null"), frozenset()),
}
ERRORS = {
    400: ("invalid_request_error", "Error"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There's an issue with your billing or payment information."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    413: ("request_too_large", "Request exceeds the maximum allowed number of bytes."),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit of 4,000 requests per minute."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
LIMITS = {"requests": 4_000, "tokens": 2_400_000, "input-tokens": 2_000_000, "output-tokens": 400_000}


class Rejection(Exception):
    """An error that the API answers."""

    def __init__(self, message=None, status=400, **answer):
        self.kind, usual = ERRORS.get(status, ERRORS[500 if status >= 500 else 400])
        super().__init__(message or usual)
        self.status = status
        self.answer = answer


def reject(wrong, message=None, status=400):
    if wrong:
        raise Rejection(message, status)


def one_of(values):
    quoted = [f"'{value}'" for value in values]
    return f"Input should be {', '.join(quoted[:-1])} or {quoted[-1]}"


def check_fields(value, required, optional, where):
    """Reject an object that lacks a field, or that has one which the API does not know."""
    reject(not isinstance(value, dict), f"{where}: Input should be a valid dictionary")
    for name in [*required.split(), *value]:
        path = f"{where}.{name}".strip(".")
        reject(name not in value, f"{path}: Field required")
        reject(name not in words(f"{required} {optional}"), f"{path}: Extra inputs are not permitted")


def check_tag(value, known, where):
    """Give the type of an object, and reject one that the API does not know."""
    tag = value.get("type") if isinstance(value, dict) else None
    reject(tag is None, f"{where}.type: Field required")
    expected = "does not match any of the expected tags: " + ", ".join(f"'{name}'" for name in known)
    reject(tag not in known, f"{where}: Input tag '{tag}' found using 'type' {expected}")
    return tag


def check_numbers(body, lacks, most):
    tokens = body.get("max_tokens", 0)
    reject(type(tokens) is not int, "max_tokens: Input should be a valid integer")
    reject(tokens < 0, "max_tokens: Input should be greater than or equal to 0")
    limit = f"which is the maximum allowed number of output tokens for {ALIASES.get(body['model'], body['model'])}"
    reject(tokens > most, f"max_tokens: {tokens} > {most}, {limit}")
    for name in sorted(SAMPLING & body.keys()):
        reject(type(body[name]) not in (int, float), f"{name}: Input should be a valid number")
        reject(name in lacks, f"`{name}` is deprecated for this model.")
        reject(name != "top_k" and not 0 <= body[name] <= 1, f"{name}: range: 0..1")
    both = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    reject({"temperature", "top_p"} <= body.keys(), both)
    blank = any(not text.strip() for text in body.get("stop_sequences", ()))
    reject(blank, "stop_sequences: each stop sequence must contain non-whitespace")


class Schema:
    """Checks a JSON schema as structured outputs do."""

    def __init__(self, root, where):
        self.where = where
        self.definitions = root.get("$defs", root.get("definitions", {})) if isinstance(root, dict) else {}
        self.seen = set()
        self.optional = self.unions = 0
        self.check(root, ())

    def reject(self, wrong, message):
        reject(wrong, f"{self.where}: {message}")

    def check(self, node, trail):
        self.reject(not isinstance(node, dict), "Input should be a valid dictionary")
        for word in sorted(node.keys() & words("oneOf not if dependentSchemas")):
            self.reject(wrong=True, message=f"Schema type '{word}' is not supported")
        if "$ref" in node:
            self.follow(node["$ref"], trail)
            return
        kinds = node.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        typed = kinds or node.keys() & words("anyOf allOf enum const")
        self.reject(not typed, "Schema must have a 'type', 'anyOf', or 'allOf' field")
        for kind in kinds:
            self.check_kind(node, kind)
        properties = node.get("properties", {})
        self.optional += len(properties.keys() - set(node.get("required", ())))
        self.unions += len(kinds) > 1 or "anyOf" in node
        items = [node["items"]] if "items" in node else []
        for child in [*properties.values(), *items, *node.get("anyOf", ()), *node.get("allOf", ())]:
            self.check(child, trail)

    def check_kind(self, node, kind):
        self.reject(kind not in UNSUPPORTED, f"Schema type '{kind}' is not supported")
        found = sorted(node.keys() & UNSUPPORTED[kind])
        what = f"properties {', '.join(found)} are" if found[1:] else f"property '{''.join(found)}' is"
        self.reject(found, f"For '{kind}' type, {what} not supported")
        is_open = kind == "object" and node.get("additionalProperties") is not False
        self.reject(is_open, "For 'object' type, 'additionalProperties' must be explicitly set to false")
        fewest = node.get("minItems", 0) if kind == "array" else 0
        few = f"'minItems' values other than 0 or 1 are not supported (got: {fewest})"
        self.reject(fewest not in (0, 1), f"For 'array' type, {few}")
        form = node.get("format", "date") if kind == "string" else "date"
        self.reject(form not in FORMATS, f"For 'string' type, format '{form}' is not supported")

    def follow(self, reference, trail):
        name = reference.rpartition("/")[2]
        circle = f"Circular reference detected in schema definitions: {name} -> {name}."
        more = "Self-referencing or mutually-referencing definitions are not supported."
        self.reject(name in trail or reference == "#", f"Invalid schema: {circle} {more}")
        known = reference.startswith("#/") and name in self.definitions
        self.reject(not known, f"Invalid schema: $ref '{reference}' is not supported")
        if name not in self.seen:
            self.check(self.definitions[name], (*trail, name))
        self.seen.add(name)


def check_output(config, lacks):
    """Check ``output_config``, and give the schema in it."""
    check_fields(config, "", "effort format", "output_config")
    effort = config.get("effort") or "high"
    reject(config.get("effort") and "effort" in lacks, "This model does not support the effort parameter.")
    reject(effort not in EFFORTS, f"output_config.effort: {one_of(EFFORTS)}")
    if config.get("format") is None:
        return []
    reject("structured_outputs" in lacks, "output_config.format: Extra inputs are not permitted")
    check_fields(config["format"], "type schema", "", "output_config.format")
    is_schema = config["format"]["type"] == "json_schema"
    reject(not is_schema, "output_config.format.type: Input should be 'json_schema'")
    return [Schema(config["format"]["schema"], "output_config.format.schema")]


def check_tools(tools, lacks):
    """Check the tools, and give the schemas of the strict ones."""
    schemas = []
    for i, tool in enumerate(tools):
        check_tag({"type": "custom", **tool}, ("bash_20250124", "custom", "text_editor_20250728"), f"tools.{i}")
        where = f"tools.{i}.custom"
        check_fields(tool, "name input_schema", TOOL, where)
        pattern = r"^[a-zA-Z0-9_-]{1,128}$"
        reject(not re.match(pattern, tool["name"]), f"{where}.name: String should match pattern '{pattern}'")
        is_object = tool["input_schema"].get("type") == "object"
        reject(not is_object, f"{where}.input_schema.type: Input should be 'object'")
        if tool.get("strict"):
            reject("structured_outputs" in lacks, f"{where}.strict: Extra inputs are not permitted")
            schemas.append(Schema(tool["input_schema"], where))
    reject(len({tool["name"] for tool in tools}) < len(tools), "tools: Tool names must be unique.")
    return schemas


def check_choice(choice, names, lacks):
    kind = check_tag(choice, CHOICES, "tool_choice")
    check_fields(choice, "type name" if kind == "tool" else "type", "disable_parallel_tool_use", f"tool_choice.{kind}")
    reject(not names, "tool_choice may only be specified while providing tools.")
    forced = kind in ("any", "tool") and "forced_tools" in lacks
    reject(forced, 'tool_choice: type "tool" and "any" are not supported for this model.')
    unknown = kind == "tool" and choice["name"] not in names
    reject(unknown, f"Tool '{choice.get('name')}' not found in provided tools")


def check_schemas(schemas):
    optional = sum(schema.optional for schema in schemas)
    advice = "Reduce the number of optional parameters in your tool schemas (limit: 24)."
    many = f"optional parameters ({optional}), which would make grammar compilation inefficient. {advice}"
    reject(optional > 24, f"Schemas contains too many {many}")
    unions = sum(schema.unions for schema in schemas)
    advice = "Reduce the number of nullable or union-typed parameters (limit: 16 parameters with unions)."
    many = f"parameters with union types ({unions} parameters with type arrays or anyOf)."
    reject(unions > 16, f"Schemas contains too many {many} This causes exponential compilation cost. {advice}")


def check_messages(messages, lacks):
    reject(not isinstance(messages, list) or not messages, "messages: at least one message is required")
    for i, message in enumerate(messages):
        check_fields(message, "role content", "", f"messages.{i}")
        place = 'accepts a top-level `system` parameter, not "system" as an input message role.'
        reject(message["role"] == "system", f'messages: Unexpected role "system". The Messages API {place}')
        known = message["role"] in ("user", "assistant")
        reject(not known, f"messages.{i}.role: Input should be 'user' or 'assistant'")
        empty = not message["content"] and (message["role"] == "user" or message is not messages[-1])
        reject(empty, f"messages.{i}: {message['role']} messages must have non-empty content")
        check_content(message["content"], f"messages.{i}.content", "messages", lacks)
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
            text, mark = block["text"], block.get("cache_control")
            reject(not isinstance(text, str), f"{where}.{i}.text.text: Input should be a valid string")
            reject(not text and mark, f"{where}.{i}.text: cache_control cannot be set for empty text blocks")
            reject(not text, f"{part}: text content blocks must be non-empty")
            reject(not text.strip(), f"{part}: text content blocks must contain non-whitespace text")


def check_image(source, where, lacks):
    reject("images" in lacks, "This model does not support image input.")
    kind = check_tag(source, SOURCES, where)
    where = f"{where}.{kind}"
    check_fields(source, SOURCES[kind], "", where)
    if kind != "base64":
        return
    media_type, data = source["media_type"], source["data"]
    reject(media_type not in IMAGES, f"{where}.media_type: {one_of(IMAGES)}")
    size = f"{len(data)} bytes > {IMAGE_BYTES} bytes"
    reject(len(data) > IMAGE_BYTES, f"{where}: image exceeds 5 MB maximum: {size}")
    is_base64 = re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", data) and len(data) % 4 == 0
    reject(not is_base64, f"{where}.data: invalid base64 data")
    found = [name for name, start in IMAGES.items() if re.match(start, base64.b64decode(data), re.DOTALL)]
    reject(not found, "Could not process image")
    reject(media_type not in found, f"{where}.data: Image does not match the provided media type {media_type}")


def check(body, version, lacks, most, *, counts):
    """Reject a body that the API rejects. ``counts``: the request only asks for the number of its tokens."""
    moved = "output_format: This field is deprecated. Use 'output_config.format' instead."
    reject("output_format" in body, moved)
    sampling = "" if counts or version == VERSIONS[-1] else " ".join(SAMPLING)
    required, optional = ("model messages", COUNTED) if counts else ("model max_tokens messages", FIELDS)
    check_fields(body, required, f"{optional} {sampling}", "")
    check_numbers(body, lacks, most)
    if "system" in body:
        check_content(body["system"] or [{"type": "text", "text": ""}], "system", "system", lacks)
    check_messages(body["messages"], lacks)
    thinking = f"thinking.type.{(body.get('thinking') or {}).get('type')}"
    advice = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
    reject(thinking in lacks, f'"{thinking}" is not supported for this model. {advice}')
    tools = body.get("tools", ())
    check_schemas([*check_output(body.get("output_config") or {}, lacks), *check_tools(tools, lacks)])
    if "tool_choice" in body:
        check_choice(body["tool_choice"], [tool["name"] for tool in tools], lacks)
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
    return [*body.get("tools", ()), *blocks_of(body.get("system")), *messages]


def tokens_of(part):
    if part.get("type") == "image":
        return IMAGE_TOKENS
    text = part["text"] if part.get("type") == "text" else json.dumps(part)
    return (len(text.encode()) + 3) // 4


def sample(node, text, root):
    """The simplest value that a schema allows. Its strings are ``text``."""
    if "$ref" in node:
        node = root.get("$defs", root.get("definitions"))[node["$ref"].rpartition("/")[2]]
    node = (node.get("anyOf") or node.get("allOf") or [node])[0]
    if "const" in node or "enum" in node:
        return node["const"] if "const" in node else node["enum"][0]
    kind = node["type"] if isinstance(node["type"], str) else node["type"][0]
    if kind == "object":
        properties, required = node.get("properties", {}), node.get("required", ())
        names = sorted(properties, key=lambda name: name not in required)  # the API puts the required ones first
        return {name: sample(properties[name], text, root) for name in names}
    if kind == "array":
        return [sample(node["items"], text, root)] if "items" in node else []
    return {"string": text, "integer": 1, "number": 0.5, "boolean": True}.get(kind)


def echo(body):
    """Answer with the last text of the request, in the shape that it asks for."""
    texts = [part["text"] for part in parts_of({"messages": body["messages"]}) if part.get("type") == "text"]
    text = f"echo: {texts[-1] if texts else ''}"
    form = (body.get("output_config") or {}).get("format")
    return json.dumps(sample(form["schema"], text, form["schema"])) if form else text


def forced_tool(body):
    choice = body.get("tool_choice", {})
    tools = body.get("tools", ()) if choice.get("type") in ("any", "tool") else ()
    return next((tool for tool in tools if tool["name"] == choice.get("name", tool["name"])), None)


def cut(text, body, tokens):
    """Give a text as far as the model writes it, and why it stops there."""
    found = [(text.find(word), word) for word in body.get("stop_sequences", ()) if word in text]
    end, word = min(found, default=(len(text), None))
    if (end + 3) // 4 > tokens:
        return text[: tokens * 4], "max_tokens", None
    return text[:end], "stop_sequence" if word else "end_turn", word


def message_of(body, model, answer, *, thinks):
    """Put together what the API answers. ``answer``: the text, or any fields of the message."""
    text = answer.get("text") or echo(body)
    tool = forced_tool(body)
    if tool:
        given = json.loads(text) if text.startswith("{") else sample(tool["input_schema"], text, tool["input_schema"])
        content = [{"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", "name": tool["name"], "input": given}]
        stop, word = "tool_use", None
    else:
        text, stop, word = cut(text, body, max(body["max_tokens"] - THINKING_TOKENS * thinks, 0))
        content = [{"type": "text", "text": text}] if text else []
    if thinks:
        content.insert(0, {"type": "thinking", "thinking": "", "signature": "c2lnbmF0dXJl"})
    message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": model}
    message |= {"content": content, "stop_reason": stop, "stop_sequence": word, "stop_details": None, "container": None}
    return message | {name: answer[name] for name in answer.keys() & message.keys()}


def models_of(path, query):
    """Answer a request for a model, or for a page of all models."""
    name = path.removeprefix("/v1/models").strip("/")
    names = [ALIASES.get(name, name)] if name else list(MODELS)
    reject(names[0] not in MODELS, f"model: {name}", 404)
    start = names.index(query["after_id"][0]) + 1 if "after_id" in query else 0
    end = start + int(query.get("limit", ["20"])[0])
    page = [
        {
            "type": "model",
            "id": each,
            "display_name": each.replace("-", " ").title(),
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
            "max_input_tokens": MODELS[each][1],
            "max_tokens": MODELS[each][2],
            "capabilities": {"effort": {"supported": "effort" not in MODELS[each][0]}},
        }
        for each in names[start:end]
    ]
    ids = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return page[0] if name else {"data": page, "has_more": end < len(names), **ids}


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
    wbufsize = -1

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

    do_GET = do_POST

    def log_message(self, *_):
        """Print nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 1024


class AnthropicDouble:
    """A context manager that runs the server.

    ``answer(body)`` gives the text of the reply, or a dictionary: fields of the message (``content``,
    ``stop_reason``, ``stop_details``), ``usage``, ``headers``; for an error ``status``, ``type``, ``message``, ``details``.
    ``without``: what no model takes: a parameter, or ``structured_outputs``, ``forced_tools``, ``prefill``,
    ``effort``, ``images``; and ``thinking``, with which a reply begins on the models that think when not asked.
    ``window``: the most input tokens, instead of the model's.
    """

    def __init__(self, answer=echo, *, api_key="sk-ant-double", without=(), window=None):
        self.answer, self.api_key, self.without, self.window = answer, api_key, frozenset(without), window
        self.requests, self.statuses, self.used = [], Counter(), Counter()
        self.cached, self.lock = set(), threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.double = self
        self.base_url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def reply(self, method, path, headers, data):
        body = parse(data)
        self.requests.append({"path": path, "headers": headers, "body": data if isinstance(body, Rejection) else body})
        status, identity = 200, f"req_{uuid.uuid4().hex[:24]}"
        more = {"request-id": identity, "anthropic-organization-id": "00000000-0000-4000-8000-000000000000"}
        try:
            self.check_headers(method, headers, data)
            payload = self.route(method, urlsplit(path), headers, body)
            more |= self.limits() | payload.pop("headers", {})
        except Rejection as rejection:
            status, answer = rejection.status, rejection.answer
            error = {"type": answer.get("type", rejection.kind), "message": str(rejection)}
            error |= {"details": answer["details"]} if "details" in answer else {}
            payload = {"type": "error", "error": error, "request_id": identity}
            more |= {"x-should-retry": str(status == 429 or status >= 500).lower()}
            more |= self.limits() if status != 401 else {}
            more |= {"retry-after": 1} if status == 429 and "details" not in answer else {}
            more |= answer.get("headers", {})
        with self.lock:
            self.statuses[status] += 1
        return status, more, payload

    def check_headers(self, method, headers, data):
        key, bearer = headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer ")
        reject(len(data) > MOST_BYTES, status=413)
        reject(not key and not bearer, "x-api-key header is required", 401)
        reject(key and key != self.api_key, status=401)
        reject(not key and bearer != self.api_key, "Invalid bearer token", 401)
        version = headers.get("anthropic-version")
        reject(version is None, "anthropic-version: header is required")
        reject(version not in VERSIONS, f"anthropic-version: {version} is not a valid version")
        for beta in headers.get("anthropic-beta", "").split(","):
            what = f"Unexpected value(s) `{beta.strip()}` for the `anthropic-beta` header."
            advice = "Please consult our documentation at platform.claude.com/docs or try again without the header."
            reject(not re.fullmatch(r"([a-z0-9-]+-20\d\d-\d\d-\d\d)?", beta.strip()), f"{what} {advice}")
        is_json = method == "GET" or headers.get("content-type", "").startswith("application/json")
        reject(not is_json, "content-type: Input should be 'application/json'")

    def route(self, method, url, headers, body):
        if method == "GET" and url.path.startswith("/v1/models"):
            return models_of(url.path, parse_qs(url.query))
        reject(url.path not in ("/v1/messages", "/v1/messages/count_tokens"), status=404)
        reject(method != "POST", "Method Not Allowed", 405)
        if isinstance(body, Rejection):
            raise body
        return self.create(body, headers["anthropic-version"], counts=url.path.endswith("count_tokens"))

    def create(self, body, version, *, counts):
        name = body.get("model") if isinstance(body, dict) else None
        model = ALIASES.get(name, name)
        lacks, window, most, fewest = MODELS.get(model, (frozenset(), 0, 0, 0))
        lacks, window = lacks | self.without, self.window or window
        reject(name is not None and model not in MODELS, f"model: {name}", 404)
        check(body, version, lacks, most, counts=counts)
        form = (body.get("output_config") or {}).get("format") or {}
        total = 3 + tokens_of(form) + sum(map(tokens_of, parts_of(body)))
        reject(total > window, f"prompt is too long: {total} tokens > {window} maximum")
        if counts:
            return {"input_tokens": total}
        answer = self.answer(body)
        answer = {"text": answer} if isinstance(answer, str) else answer
        if answer.get("status", 200) >= 400:
            raise Rejection(**answer)
        thinks = "thinking" not in lacks and (body.get("thinking") or {}).get("type") not in (
            "disabled",
            "between_tools",
        )
        message = message_of(body, model, answer, thinks=thinks)
        written = sum(map(tokens_of, message["content"]))
        usage = self.cache(model, body, total, fewest) | {"output_tokens": written, "service_tier": "standard"}
        usage |= {"output_tokens_details": {"thinking_tokens": THINKING_TOKENS * thinks}, "inference_geo": "global"}
        return message | {"usage": usage | answer.get("usage", {}), "headers": answer.get("headers", {})}

    def cache(self, model, body, total, fewest):
        """Count the input tokens that were read from the cache, that were written to it, and the others."""
        parts = parts_of(body)
        marks = [part.get("cache_control") for part in parts]
        marks[-1] = marks[-1] or body.get("cache_control")
        texts = [json.dumps({**part, "cache_control": None}) for part in parts]
        keys = [(model, *texts[: i + 1]) for i in range(len(parts))]
        sizes = [sum(map(tokens_of, parts[: i + 1])) for i in range(len(parts))]
        marked = [i for i, mark in enumerate(marks) if mark and sizes[i] >= fewest]
        with self.lock:
            read = max((sizes[i] for i in range(max(marked, default=-1) + 1) if keys[i] in self.cached), default=0)
            self.cached.update(keys[i] for i in marked)
        new = sizes[marked[-1]] - read if marked else 0
        hour = new if marked and marks[marked[-1]].get("ttl") == "1h" else 0
        lives = {"ephemeral_5m_input_tokens": new - hour, "ephemeral_1h_input_tokens": hour}
        counts = {"input_tokens": total - read - new, "cache_read_input_tokens": read}
        return counts | {"cache_creation_input_tokens": new, "cache_creation": lives}

    def limits(self):
        with self.lock:
            self.used["requests"] += 1
            left = {name: limit - self.used[name] for name, limit in LIMITS.items()}
        reset = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        names = {"limit": LIMITS, "remaining": left, "reset": dict.fromkeys(LIMITS, reset)}
        return {f"anthropic-ratelimit-{of}-{name}": names[name][of] for of in LIMITS for name in names}
