"""A server that answers as Anthropic's Messages API does, by its documentation of autumn 2026.

Where the documentation has no wording of an error, the wording is one that users of the API report.
Left out: streams, batches, server tools, messages with the role ``system``, and the pairing of tool calls and results.
"""

import base64
import json
import re
import uuid
from http.server import BaseHTTPRequestHandler


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
    "claude-opus-4-5-20251101": (words("thinking"), 200_000, 64_000, 4096),
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
IMAGES = {"jpeg": rb"\xff\xd8\xff", "png": rb"\x89PNG", "gif": rb"GIF8", "webp": rb"RIFF....WEBP"}  # their first bytes
MOST_BYTES, IMAGE_BYTES, IMAGE_TOKENS, THINKING_TOKENS = 32 * 1024 * 1024, 5_242_880, 1_600, 8
EFFORTS = ("low", "medium", "high", "xhigh", "max")
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
FORMATS = words("date-time time date duration email hostname uri ipv4 ipv6 uuid")
UNSUPPORTED = words(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength maxItems uniqueItems contains "
    "minContains maxContains prefixItems minProperties maxProperties patternProperties propertyNames"
)
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
        self.status, self.answer = status, answer


def reject(wrong, message=None, status=400):
    if wrong:
        raise Rejection(message, status)


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
    tokens, model = body.get("max_tokens", 0), ALIASES.get(body["model"], body["model"])
    reject(type(tokens) is not int, "max_tokens: Input should be a valid integer")
    reject(tokens < 0, "max_tokens: Input should be greater than or equal to 0")
    more = f"max_tokens: {tokens} > {most}, which is the maximum allowed number of output tokens for {model}"
    reject(tokens > most, more)
    for name in sorted(SAMPLING & body.keys()):
        reject(type(body[name]) not in (int, float), f"{name}: Input should be a valid number")
        reject(name in lacks, f"`{name}` is deprecated for this model.")
        reject(name != "top_k" and not 0 <= body[name] <= 1, f"{name}: range: 0..1")
    both = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    reject({"temperature", "top_p"} <= body.keys(), both)


class Schema:
    """Checks a JSON schema as structured outputs do."""

    def __init__(self, root, where):
        self.where, self.seen, self.optional, self.unions = where, set(), 0, 0
        self.definitions = root.get("$defs", root.get("definitions", {})) if isinstance(root, dict) else {}
        self.check(root, ())

    def reject(self, wrong, message):
        reject(wrong, f"{self.where}: {message}")

    def check(self, node, trail):
        self.reject(not isinstance(node, dict), "Input should be a valid dictionary")
        if "$ref" in node:
            self.follow(node["$ref"], trail)
            return
        kinds = node.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        typed = kinds or node.keys() & words("anyOf allOf oneOf enum const")
        self.reject(not typed, "Schema must have a 'type', 'anyOf', or 'allOf' field")
        for word in [*(node.keys() & words("oneOf not if dependentSchemas")), *(set(kinds) - set(TYPES))]:
            self.reject(word, f"Schema type '{word}' is not supported")
        for kind in kinds:
            self.check_kind(node, kind)
        properties, items = node.get("properties", {}), [node["items"]] if "items" in node else []
        self.optional += len(properties.keys() - set(node.get("required", ())))
        self.unions += len(kinds) > 1 or "anyOf" in node
        for child in [*properties.values(), *items, *node.get("anyOf", ()), *node.get("allOf", ())]:
            self.check(child, trail)

    def check_kind(self, node, kind):
        found = sorted(node.keys() & UNSUPPORTED)
        what = f"properties {', '.join(found)} are" if found[1:] else f"property '{''.join(found)}' is"
        self.reject(found, f"For '{kind}' type, {what} not supported")
        is_open = kind == "object" and node.get("additionalProperties") is not False
        self.reject(is_open, "For 'object' type, 'additionalProperties' must be explicitly set to false")
        few = f"'minItems' values other than 0 or 1 are not supported (got: {node.get('minItems')})"
        self.reject(node.get("minItems", 0) not in (0, 1), f"For 'array' type, {few}")
        unknown = kind == "string" and node.get("format", "date") not in FORMATS
        self.reject(unknown, f"For 'string' type, format '{node.get('format')}' is not supported")

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
    reject(config.get("effort") and "effort" in lacks, "This model does not support the effort parameter.")
    known = (config.get("effort") or "high") in EFFORTS
    reject(not known, "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if config.get("format") is None:
        return []
    reject("structured_outputs" in lacks, "output_config.format: Extra inputs are not permitted")
    check_fields(config["format"], "type schema", "", "output_config.format")
    is_schema = config["format"]["type"] == "json_schema"
    reject(not is_schema, "output_config.format.type: Input should be 'json_schema'")
    return [Schema(config["format"]["schema"], "output_config.format.schema")]


def check_tools(tools, lacks):
    """Check the tools, and give the schemas of the strict ones."""
    schemas, pattern = [], r"^[a-zA-Z0-9_-]{1,128}$"
    for i, tool in enumerate(tools):
        check_tag({"type": "custom", **tool}, ("bash_20250124", "custom", "text_editor_20250728"), f"tools.{i}")
        where = f"tools.{i}.custom"
        check_fields(tool, "name input_schema", TOOL, where)
        reject(not re.match(pattern, tool["name"]), f"{where}.name: String should match pattern '{pattern}'")
        is_object = tool["input_schema"].get("type") == "object"
        reject(not is_object, f"{where}.input_schema.type: Input should be 'object'")
        if tool.get("strict"):
            reject("structured_outputs" in lacks, f"{where}.strict: Extra inputs are not permitted")
            schemas.append(Schema(tool["input_schema"], where))
    reject(len({tool["name"] for tool in tools}) < len(tools), "tools: Tool names must be unique.")
    return schemas


def check_choice(choice, names, lacks):
    kind = check_tag(choice, ("auto", "any", "tool", "none"), "tool_choice")
    check_fields(choice, "type name" if kind == "tool" else "type", "disable_parallel_tool_use", f"tool_choice.{kind}")
    reject(not names, "tool_choice may only be specified while providing tools.")
    forced = kind in ("any", "tool") and "forced_tools" in lacks
    reject(forced, 'tool_choice: type "tool" and "any" are not supported for this model.')
    unknown = kind == "tool" and choice["name"] not in names
    reject(unknown, f"Tool '{choice.get('name')}' not found in provided tools")


def check_schemas(schemas):
    optional, unions = (sum(getattr(schema, name) for schema in schemas) for name in ("optional", "unions"))
    many = f"optional parameters ({optional}), which would make grammar compilation inefficient."
    advice = "Reduce the number of optional parameters in your tool schemas (limit: 24)."
    reject(optional > 24, f"Schemas contains too many {many} {advice}")
    many = f"parameters with union types ({unions} parameters with type arrays or anyOf)."
    advice = "Reduce the number of nullable or union-typed parameters (limit: 16 parameters with unions)."
    reject(unions > 16, f"Schemas contains too many {many} This causes exponential compilation cost. {advice}")


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
            text, mark = block["text"], block.get("cache_control")
            reject(not isinstance(text, str), f"{where}.{i}.text.text: Input should be a valid string")
            reject(not text and mark, f"{where}.{i}.text: cache_control cannot be set for empty text blocks")
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
    found = [name for name, start in IMAGES.items() if re.match(start, base64.b64decode(data), re.DOTALL)]
    reject(not found, "Could not process image")
    other = f"image/{found[0]}" != media_type
    reject(other, f"{where}.data: Image does not match the provided media type {media_type}")


def check(body, version, lacks, most, *, counts):
    """Reject a body that the API rejects. ``counts``: the request only asks for the number of its tokens."""
    moved = "output_format: This field is deprecated. Use 'output_config.format' instead."
    reject("output_format" in (body or ()), moved)
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


def tokens_of(*parts):
    texts = [part["text"] if part.get("type") == "text" else json.dumps(part) for part in parts]
    images = [part.get("type") == "image" for part in parts]
    return sum(IMAGE_TOKENS if images[i] else (len(text.encode()) + 3) // 4 for i, text in enumerate(texts))


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


def message_of(body, model, answer, *, thinks):
    """Put together what the API answers. ``answer``: the text, or fields of the message."""
    text, choice, word = answer.get("text") or echo(body), body.get("tool_choice", {}), None
    if choice.get("type") in ("any", "tool"):
        tool = next(tool for tool in body["tools"] if tool["name"] == choice.get("name", tool["name"]))
        given = json.loads(text) if text.startswith("{") else sample(tool["input_schema"], text, tool["input_schema"])
        content = [{"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", "name": tool["name"], "input": given}]
        stop = "tool_use"
    else:
        most = max(body["max_tokens"] - THINKING_TOKENS * thinks, 0) * 4
        found = [(text.find(each), each) for each in body.get("stop_sequences", ()) if each in text]
        end, word = min(found, default=(len(text), None))
        end, word, stop = (
            (most, None, "max_tokens") if end > most else (end, word, "stop_sequence" if word else "end_turn")
        )
        content = [{"type": "text", "text": text[:end]}] if end else []
    if thinks:
        content.insert(0, {"type": "thinking", "thinking": "", "signature": "c2lnbmF0dXJl"})
    message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": model}
    message |= {"content": content, "stop_reason": stop, "stop_sequence": word, "stop_details": None, "container": None}
    return message | {name: answer[name] for name in answer.keys() & message.keys()}


def models_of(path, query):
    """Answer a request for a model, or for a page of the models."""
    name = path.removeprefix("/v1/models").strip("/")
    reject(name and ALIASES.get(name, name) not in MODELS, f"model: {name}", 404)
    models = []
    for each, (lacks, window, most, _) in MODELS.items():
        facts = {"type": "model", "id": each, "display_name": each.title(), "created_at": "2026-01-01T00:00:00Z"}
        facts |= {"max_input_tokens": window, "max_tokens": most, "lifecycle": "active"}
        models.append(facts | {"capabilities": {"effort": {"supported": "effort" not in lacks}}})
    names = list(MODELS)
    if name:
        return models[names.index(ALIASES.get(name, name))]
    start = names.index(query["after_id"][0]) + 1 if "after_id" in query else 0
    end = start + int(query.get("limit", ["20"])[0])
    ends = [*names[start:end][:1], *names[start:end][-1:]] or [None, None]
    return {"data": models[start:end], "has_more": end < len(names), "first_id": ends[0], "last_id": ends[1]}


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

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_):
        """Print nothing."""
