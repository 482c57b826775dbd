"""A server that answers as Amazon Bedrock Runtime does: Converse, CountTokens, and InvokeModel for embeddings.

Written from AWS's documentation, botocore's model and users' reports until November 2026, whose wording errors have,
save where it says "inferred". Left out: streams, guardrails, documents, and InvokeModel with bodies of chat models.
"""

import hashlib
import hmac
import json
import re
import threading
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote

from botocore.session import Session


def words(text):
    return frozenset(text.split())


SERVICE = Session().get_service_model("bedrock-runtime")
ACTIONS = {"converse": "ConverseRequest", "count-tokens": "CountTokensRequest", "invoke": None}
CLAUDE_5 = words("bare temperature topP top_k prefill format strict count")
OPEN, NOVA = words("cache strict count"), words("outputConfig.textFormat strict count")
CHOICE = words("toolConfig.toolChoice.any toolConfig.toolChoice.tool")
MODELS = {  # what each model lacks, its limit of output tokens, its most input tokens, and the fewest that it caches
    "anthropic.claude-opus-5-5": (CLAUDE_5 | words("forced quiet"), 128_000, 1_000_000, 512),
    "anthropic.claude-sonnet-5-5": (CLAUDE_5 | words("forced quiet"), 128_000, 1_000_000, 512),
    "anthropic.claude-haiku-5-5": (CLAUDE_5, 128_000, 1_000_000, 512),
    "anthropic.claude-opus-5": (CLAUDE_5, 128_000, 1_000_000, 512),
    "anthropic.claude-sonnet-4-6": (words("bare both prefill"), 128_000, 1_000_000, 1024),
    "anthropic.claude-sonnet-4-5-20250929-v1:0": (words("bare both"), 64_000, 200_000, 1024),
    "anthropic.claude-haiku-4-5-20251001-v1:0": (words("bare both"), 64_000, 200_000, 4096),
    "amazon.nova-2-lite-v1:0": (NOVA | {"bare"}, 65_535, 1_000_000, 1024),
    "amazon.nova-pro-v1:0": (NOVA, 10_000, 300_000, 1024),
    "meta.llama3-3-70b-instruct-v1:0": (OPEN | words("bare image outputConfig.textFormat") | CHOICE, 8_192, 128_000, 0),
    "mistral.mistral-7b-instruct-v0:2": (OPEN | words("system image tools outputConfig.textFormat"), 8_192, 32_000, 0),
    "openai.gpt-oss-120b-1:0": (OPEN | words("image stopSequences"), 128_000, 128_000, 0),
}
PURPOSES = "search_document search_query classification clustering image"
OPAQUE = "anthropic.claude-sonnet-4-5-20250929-v1:0"  # what an application inference profile stands for here
BY_MODEL = "The model returned the following errors: "
FIELD = "This model doesn't support the {0} field. Remove {0} and try again."  # of any other that a model lacks
LACKS = {  # what the service says of a request that asks for what its model lacks
    "system": "This model doesn't support system messages. Try again without a system message or use a model that "
    "supports system messages.",
    "tools": "This model doesn't support tool use.",
    "image": "This model doesn't support the image content block that you provided. Update the content block and try "
    "again.",
    "forced": f'{BY_MODEL}tool_choice: type "tool" and "any" are not supported for this model.',
    "temperature": f"{BY_MODEL}`temperature` is deprecated for this model.",
    "topP": f"{BY_MODEL}`top_p` is deprecated for this model.",
    "top_k": f"{BY_MODEL}`top_k` is deprecated for this model.",
    "both": f"{BY_MODEL}`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    "prefill": f"{BY_MODEL}This model does not support assistant message prefill. The conversation must end with a "
    "user message.",
    "format": f"{BY_MODEL}output_config.format: Extra inputs are not permitted",
    "strict": f"{BY_MODEL}tools.0.custom.strict: Extra inputs are not permitted",
    "cache": "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for "
    "more information.",
}
EXTRA = {"anthropic": "thinking top_k anthropic_beta output_config", "amazon": "inferenceConfig reasoningConfig"}
UNKNOWN = "Malformed input request: #: extraneous key [{}] is not permitted, please reformat your input and try again."
NO_SCHEMA = words("minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength maxItems")
IMAGES = {"jpeg": "/9j/", "png": "iVBORw0KGgo", "gif": "R0lGOD", "webp": "UklGR"}  # how their base64 begins
MOST_IMAGE, IMAGE_TOKENS = 5_242_880, 1_600  # the size of an image is counted in base64
COHERE = ("texts input_type", "truncate embedding_types", (1024,), 2_048)
EMBEDDINGS = {  # the fields that must be there, the others, the dimensions and the most characters of a text
    "amazon.titan-embed-text-v2:0": ("inputText", "dimensions normalize embeddingTypes", (1024, 512, 256), 50_000),
    "amazon.nova-2-multimodal-embeddings-v1:0": ("taskType singleEmbeddingParams", "", (3072, 1024, 384, 256), 8_192),
    "cohere.embed-english-v3": COHERE,
    "cohere.embed-v4:0": (COHERE[0], f"{COHERE[1]} output_dimension max_tokens", (1536, 1024, 512, 256), 10**9),
}
INTERNAL = "The system encountered an unexpected error during processing. Try your request again."
ERRORS = {  # the usual error of each status
    400: ("ValidationException", "Malformed input request, please reformat your input and try again."),
    403: ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: ("ResourceNotFoundException", "Model not found."),
    408: ("ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    424: ("ModelErrorException", INTERNAL),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", INTERNAL),
    503: ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}
STOPS = {"guardrail_intervened": "I cannot answer this.", "content_filtered": "Blocked by our content filters."}
STATUSES = {kind: status for status, (kind, _) in ERRORS.items()} | {"SerializationException": 400}


class Rejection(Exception):
    """An error that the service answers: its message, its type, its status, and the field of the message."""


def reject(wrong, message, kind="ValidationException", field="message"):
    if wrong:
        raise Rejection(message, kind, STATUSES.get(kind, 403), field)


def check_shape(value, shape, path, found, ignored):
    """Check a value against botocore's model. ``found``: what breaks a rule; ``ignored``: unknown members."""
    kinds = {"list": [list], "integer": [int], "float": [int, float], "boolean": [bool], "string": [str], "blob": [str]}
    name, get = shape.type_name, shape.metadata.get
    if getattr(shape, "is_document_type", False):
        return
    reject(type(value) not in kinds.get(name, [dict]), f"The value at {path} is no {name}", "SerializationException")
    noun, size = ("value", value) if isinstance(value, (int, float)) else ("length", len(value))
    must = {
        f"have {noun} greater than or equal to {get('min')}": size >= get("min", size),
        f"have {noun} less than or equal to {get('max')}": size <= get("max", size),
        f"satisfy regular expression pattern: {get('pattern')}": re.fullmatch(get("pattern", "(?s).*"), str(value)),
        f"satisfy enum value set: [{', '.join(get('enum', ()))}]": value in get("enum", [value]),
    }
    broken = [rule for rule, holds in must.items() if not holds]
    found += [f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {rule}" for rule in broken]
    for number, item in enumerate(value if name == "list" else (), 1):
        check_shape(item, shape.member, f"{path}.{number}.member", found, ignored)
    members = {each: member for each, member in getattr(shape, "members", {}).items() if each != "modelId"}
    given = {each: item for each, item in value.items() if item is not None} if members else {}
    ignored += [f"{path}.{each}".strip(".") for each in given.keys() - members.keys()]
    where = re.sub(r"\.(\d+)\.member", lambda match: f".{int(match[1]) - 1}", path)
    union = members and shape.is_tagged_union and len(given.keys() & members.keys()) != 1
    reject(union, f"{shape.name} object at {where} must set one of the following keys: {', '.join(members)}.")
    for each, member in members.items():
        here = f"{path}.{each}".strip(".")
        if each in given:
            check_shape(given[each], member, here, found, ignored)
        elif each in shape.required_members:
            found.append(f"Value at '{here}' failed to satisfy constraint: Member must not be null")


def check_schema(node, where, root, trail=()):
    if "$ref" in node:
        name, known = node["$ref"].rpartition("/")[2], root.get("$defs", root.get("definitions", {}))
        circle = f"Invalid schema: Circular reference detected in schema definitions: {name} -> {name}."
        reject(name in trail or name == "#", f"{BY_MODEL}{where}: {circle}")
        reject(name not in known, f"{BY_MODEL}{where}: Invalid schema: $ref '{node['$ref']}' is not supported")
        check_schema(known[name], where, root, (*trail, name))
        return
    names, kinds = sorted(node.keys() & NO_SCHEMA), node.get("type", [])
    what = f"properties {', '.join(names)} are" if names[1:] else f"property '{''.join(names)}' is"
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        here, closed = f"{where}: For '{kind}' type,", "'additionalProperties' must be explicitly set to false"
        reject(names, f"{BY_MODEL}{here} {what} not supported")
        reject(kind == "object" and node.get("additionalProperties") is not False, f"{BY_MODEL}{here} {closed}")
    items = [node["items"]] if "items" in node else []
    for child in [*node.get("properties", {}).values(), *items, *node.get("anyOf", ()), *node.get("allOf", ())]:
        check_schema(child, where, root, trail)


class Conversation:
    def __init__(self, body):
        self.messages, self.system = body.get("messages") or [], body.get("system") or []
        self.given, self.extra = body.get("inferenceConfig") or {}, body.get("additionalModelRequestFields") or {}
        tools = body.get("toolConfig") or {}
        self.tools, self.choice = tools.get("tools", []), tools.get("toolChoice") or {}
        self.specs = [tool["toolSpec"] for tool in self.tools if "toolSpec" in tool]
        self.form = (body.get("outputConfig") or {}).get("textFormat")
        self.schema = json.loads(self.form["structure"]["jsonSchema"]["schema"]) if self.form else {}
        self.parts = [*self.tools, *self.system, *(block for message in self.messages for block in message["content"])]

    def blocks(self, kind):
        for at, message in enumerate(self.messages):
            yield from ((f"messages.{at}.content.{n}", b[kind]) for n, b in enumerate(message["content"]) if kind in b)

    def asked(self):
        forms, given = self.form or (self.extra.get("output_config") or {}).get("format"), self.given.keys()
        asked = {"system": self.system, "tools": self.tools, "outputConfig.textFormat": forms, "format": forms}
        asked |= {"strict": any("strict" in spec for spec in self.specs), "top_k": "top_k" in self.extra}
        asked |= {"forced": self.choice.keys() & {"any", "tool"}, "both": {"temperature", "topP"} <= given}
        asked |= {"prefill": self.messages[-1]["role"] == "assistant", "image": [*self.blocks("image")]}
        asked |= {"cache": any("cachePoint" in part for part in self.parts)}
        choices = (f"toolConfig.toolChoice.{name}" for name in self.choice)
        return [*(name for name, value in asked.items() if value), *choices, *given]

    def check(self, lacks, most, family):
        self.check_messages()
        for name in self.asked():
            kind = "AccessDeniedException" if name == "cache" else "ValidationException"
            reject(name in lacks, LACKS.get(name, FIELD.format(name)), kind)
        self.check_blocks()
        self.check_tools()
        least = f"{most}. Try again with a maximum tokens value that is lower than {most}."  # not even the limit itself
        many = f"The maximum tokens you requested exceeds the model limit of {least}"
        reject(self.given.get("maxTokens", 0) >= most, many)
        unknown = sorted(self.extra.keys() - words(EXTRA.get(family, " ".join(self.extra))))
        says = "{}: Extra inputs are not permitted" if family == "anthropic" else UNKNOWN
        reject(unknown, BY_MODEL + says.format("".join(unknown[:1])))
        check_schema(self.schema, "output_config.format.schema", self.schema)
        marks = sum("cachePoint" in part for part in self.parts)
        reject(marks > 4, f"{BY_MODEL}A maximum of 4 blocks with cache_control may be provided. Found {marks}.")

    def check_messages(self):
        start = "A conversation must start with a user message. Try again with a conversation that starts with a user "
        reject(not self.messages or self.messages[0]["role"] != "user", f"{start}message.")
        turns = "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
        broken = any(each["role"] != ("user", "assistant")[at % 2] for at, each in enumerate(self.messages))
        reject(broken, f"{turns}between user and assistant roles and try again.")
        before = []
        for at, message in enumerate(self.messages):
            empty = f"The content field in the Message object at messages.{at} is empty. Add a ContentBlock object to "
            reject(not message["content"], f"{empty}the content field and try again.")
            results = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
            lost = ", ".join(sorted({*before} ^ {*results}))
            reject(lost, f"Expected toolResult blocks at messages.{at}.content for the following Ids: {lost}")
            before = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]

    def check_blocks(self):
        for where, text in self.blocks("text"):
            blank = f"The text field in the ContentBlock object at {where} is blank. Add text to the text field, and "
            reject(not text.strip(), f"{blank}try again.")
        images = [*self.blocks("image")]
        reject(len(images) > 20, f"{BY_MODEL}messages: too many images: {len(images)} > 20")
        for where, image in images:
            data = image["source"].get("bytes", "")
            large = f"{where}.image.source.bytes: image exceeds 5 MB maximum: {len(data)} bytes > {MOST_IMAGE} bytes"
            reject(len(data) > MOST_IMAGE, BY_MODEL + large)
            found = [name for name, start in IMAGES.items() if data.startswith(start)]
            differs = "The provided image does not match the specified image format."
            reject(image["format"] not in found, BY_MODEL + (differs if found else "Could not process image"))

    def check_tools(self):
        used = [*self.blocks("toolUse"), *self.blocks("toolResult")]
        why = "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        reject(used and not self.tools, why)
        for at, spec in enumerate(self.specs):
            schema, where = spec["inputSchema"]["json"], f"toolConfig.tools.{at}.toolSpec.inputSchema.json"
            is_object = isinstance(schema, dict) and schema.get("type") == "object"
            reject(not is_object, f"The value at {where}.type must be one of the following: object.")
            check_schema(schema if spec.get("strict") else {}, f"tools.{at}.custom", schema)

    def answer(self, text, fault):
        stop, known = fault.get("stop"), [word for word in self.given.get("stopSequences") or () if word in text]
        if self.specs and not stop and (self.choice.keys() & {"any", "tool"} or text.startswith("{")):
            name, value = (self.choice.get("tool") or self.specs[0])["name"], text if text.startswith("{") else "{}"
            call = {"toolUseId": f"tooluse_{uuid.uuid4().hex[:22]}", "name": name, "input": json.loads(value)}
            return [{"toolUse": call}], "tool_use"
        end = min([text.find(word) for word in known], default=len(text))
        most = len(text) // 2 if stop not in (None, *STOPS) else self.given.get("maxTokens", len(text)) * 4
        usual = "max_tokens" if end > most else "stop_sequence" if known else "end_turn"
        text = STOPS.get(stop, text[: min(end, most)])
        return [{"text": text}] if text else [], stop or usual


def tokens_of(parts):
    texts = [part.get("text") or json.dumps(part) for part in parts if not part.keys() & {"image", "cachePoint"}]
    return IMAGE_TOKENS * sum("image" in part for part in parts) + sum((len(text.encode()) + 3) // 4 for text in texts)


def check_embedding(body, model):
    required, optional, sizes, most = EMBEDDINGS[model]
    inner, extra = body.get("singleEmbeddingParams") or {}, sorted(body.keys() - words(f"{required} {optional}"))
    found = [f"#: required key [{name}] not found" for name in required.split() if name not in body]
    found += [f"#: extraneous key [{name}] is not permitted" for name in extra]
    size = body.get("dimensions", body.get("output_dimension", inner.get("embeddingDimension", sizes[0])))
    enums = {"dimensions": (size, sizes), "input_type": (body.get("input_type", "image"), words(PURPOSES))}
    enums["truncate"] = body.get("truncate", "NONE"), words("NONE LEFT RIGHT" if "v4" in model else "NONE START END")
    found += [f"#/{name}: {each} is not a valid enum value" for name, (each, of) in enums.items() if each not in of]
    texts = body.get("texts", [body.get("inputText", (inner.get("text") or {}).get("value"))])
    found += [f"#/texts: expected maximum item count: 96, found: {len(texts)}"] if len(texts) > 96 else []
    for at, text in enumerate(texts if not found else ()):
        where, is_text = f"#/texts/{at}" if "texts" in body else "#/inputText", isinstance(text, str)
        found += [] if is_text else [f"{where}: expected type: String, found: {type(text).__name__}"]
        found += [f"{where}: expected minLength: 1, actual: 0"] if text == "" and "texts" not in body else []
        found += [f"{where}: expected maxLength: {most}, actual: {len(text)}"] if is_text and len(text) > most else []
    reject(found, f"Malformed input request: {''.join(found)}, please reformat your input and try again.")
    return texts, size


def embed(body, model):
    (texts, size), tokens, vectors = check_embedding(body, model), [], []
    for text in texts:
        seen = Counter(int(hashlib.sha256(word.encode()).hexdigest(), 16) % size for word in text.lower().split())
        length = sum(count**2 for count in seen.values()) ** 0.5 if seen and body.get("normalize", True) else 1
        vectors.append([seen[at] / length for at in range(size)])
        tokens.append(tokens_of([{"text": text}]))
    if model.startswith("amazon.titan"):
        many = f"Too many input tokens. Max input tokens: 8192, request input token count: {tokens[0]} "
        reject(tokens[0] > 8192, f"400 Bad Request: {many}")
        kinds = dict.fromkeys(body.get("embeddingTypes", ["float"]), vectors[0])
        return {"embedding": vectors[0], "inputTextTokenCount": tokens[0], "embeddingsByType": kinds}, tokens[0]
    if model.startswith("amazon.nova"):
        return {"embeddings": [{"embeddingType": "TEXT", "embedding": vectors[0]}]}, tokens[0]
    kinds = body.get("embedding_types", ["float"] if "v4" in model else [])
    kind, values = "embeddings_by_type" if kinds else "embeddings_floats", dict.fromkeys(kinds, vectors) or vectors
    return {"id": str(uuid.uuid4()), "texts": texts, "embeddings": values, "response_type": kind}, sum(tokens)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, more, payload = self.server.double.reply(self.path, headers, data)
        content = json.dumps(payload).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **more}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_): ...


class BedrockDouble:
    """A context manager that runs the server. ``answer(prompt_text, body)`` gives the text or JSON object to answer.

    ``prompt_text``: the last text of the messages. ``token``: the session token (``expired`` is an expired one).
    ``bearer``: an API key. ``faults``, one a request: ``status`` (``type``, ``message``), ``stop``, ``reasoning``.
    """

    def __init__(
        self, answer=None, access_key="AKIDEXAMPLE", secret_key="wJalrXUtnFEMIEXAMPLE", token=None, bearer=None
    ):
        self.answer, self.keys, self.bearer = answer, (access_key, secret_key, token), bearer
        self.requests, self.statuses, self.faults, self.ignored = [], Counter(), [], []  # ignored: unknown members
        self.cached, self.lock = set(), threading.Lock()
        self.server = type("Server", (ThreadingHTTPServer,), {"request_queue_size": 1024})(("127.0.0.1", 0), Handler)
        self.server.double = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def reply(self, target, headers, data):
        path, status, more = target.partition("?")[0].split("/"), 200, {"x-amzn-RequestId": uuid.uuid4()}
        payload = {"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}, "Version": "1.0"}
        try:
            with self.lock:
                fault = self.faults.pop(0) if self.faults else {}
                self.requests.append((target, json.loads(data)))
            if len(path) == 4 and path[1] == "model" and path[3] in ACTIONS:
                self.check_keys(target, headers, data)
                kind, message = ERRORS.get(fault.get("status"), ERRORS[500])
                if "status" in fault:
                    raise Rejection(fault.get("message", message), fault.get("type", kind), fault["status"], "message")  # noqa: TRY301
                payload = self.answer_to(path[3], unquote(path[2]), json.loads(data), fault, more)
        except (Rejection, ValueError) as error:  # inferred: what the service says of broken JSON
            broken = str(error), "SerializationException", 400, "message"
            message, kind, status, field = error.args if isinstance(error, Rejection) else broken
            payload = {field: message} | ({"originalStatusCode": 500} if status == 424 else {})
            more["x-amzn-ErrorType"] = f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"
        with self.lock:
            self.statuses[status] += 1
        return status, more, payload

    def check_keys(self, target, headers, data):
        way, _, given = headers.get("authorization", "").partition(" ")
        if way == "AWS4-HMAC-SHA256":
            self.check_signature(target, headers, data)
            return
        reject(way != "Bearer", "Missing Authentication Token", "MissingAuthenticationTokenException")
        kind, known = "AccessDeniedException", given == self.bearer or given.startswith(("ABSK", "bedrock-api-key-"))
        reject(not known, "Invalid API Key format: Must start with pre-defined prefix", kind, "Message")
        reject(given != self.bearer, "Authentication failed: Please make sure your API Key is valid.", kind, "Message")

    def check_signature(self, target, headers, data):
        fields = dict(re.findall(r"(\w+)=([^,\s]+)", headers["authorization"]))
        missing = ", ".join(sorted(words("Credential SignedHeaders Signature") - fields.keys()))
        reject(missing, f"Authorization header requires '{missing}' parameter.", "IncompleteSignatureException")
        identity, *scope = fields["Credential"].split("/")
        stamp, names, invalid = headers.get("x-amz-date", ""), fields["SignedHeaders"], "UnrecognizedClientException"
        token, own = headers.get("x-amz-security-token"), (self.keys[0], self.keys[2])
        reject(token == "expired", "The security token included in the request is expired", "ExpiredTokenException")
        reject((identity, token) != own, "The security token included in the request is invalid.", invalid)
        kind, now, life = "InvalidSignatureException", datetime.now(UTC), timedelta(minutes=5)
        first, at = (f"{time:%Y%m%dT%H%M%SZ}" for time in (now - life, now))
        scoped = scope[2:] == ["bedrock", "aws4_request"] and scope[0] == stamp[:8]
        reject(not scoped, "Credential should be scoped to correct service: 'bedrock'. ", kind)
        reject(stamp < first, f"Signature expired: {stamp} is now earlier than {first} ({at} - 5 min.)", kind)
        unsigned = [name for name in headers if name.startswith(("host", "x-amz-")) and name not in names.split(";")]
        reject(unsigned, f"'{', '.join(unsigned)}' must be a 'SignedHeader' in the AWS Authorization.", kind)
        path, _, query = target.partition("?")
        lines = ["POST", quote(path, "/-_.~"), "&".join(sorted(query.split("&")))]  # a second encoding of the path
        lines += [f"{name}:{' '.join(headers.get(name, '').split())}" for name in names.split(";")]
        canonical = "\n".join([*lines, "", names, hashlib.sha256(data).hexdigest()])
        text = ["AWS4-HMAC-SHA256", stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()]
        key = f"AWS4{self.keys[1]}".encode()
        for part in [*scope, "\n".join(text)]:
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        wrong = "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
        wrong += "Access Key and signing method. Consult the service documentation for details.\n\n"
        wrong += f"The Canonical String for this request should have been\n'{canonical}'\n"
        reject(not hmac.compare_digest(key.hex(), fields["Signature"]), wrong, kind)

    def model_of(self, action, name):
        last = name.rpartition("/")[2]
        base = OPAQUE if ":application-" in name else re.sub(r"^(us|eu|apac|jp|au|ca|global)\.", "", last)
        unknown, gone = base not in MODELS and base not in EMBEDDINGS, "The specified resource ARN was not found."
        reject(unknown and name.startswith("arn:"), gone, "ResourceNotFoundException")
        reject(unknown, "The provided model identifier is invalid.")
        chat = "This action doesn't support the model that you provided. Try again with a supported text or chat model."
        reject(action != "invoke" and base in EMBEDDINGS, chat)
        bare, lacks = base == last, MODELS.get(base, ((),))[0]
        counts = action != "count-tokens" or (bare and "count" not in lacks)
        reject(not counts, "The provided model doesn't support counting tokens.")
        why = f"Invocation of model ID {last} with on-demand throughput isn\u2019t supported. Retry your request with "
        why += "the ID or ARN of an inference profile that contains this model."
        reject(bare and "bare" in lacks and action == "converse", why)
        return base

    def answer_to(self, action, name, body, fault, more):
        model = self.model_of(action, name)
        if action == "invoke":
            reject(model not in EMBEDDINGS, "This double has no native bodies of chat models.")
            payload, more["X-Amzn-Bedrock-Input-Token-Count"] = embed(body, model)
            return payload
        found = []
        check_shape(body, SERVICE.shape_for(ACTIONS[action]), "", found, self.ignored)
        reject(found, f"{len(found)} validation error{'s' * (len(found) > 1)} detected: {'; '.join(found)}")
        if action == "count-tokens":
            return {"inputTokens": 3 + tokens_of(Conversation(body["input"].get("converse") or {}).parts)}
        conversation, (lacks, most, window, fewest) = Conversation(body), MODELS[model]
        conversation.check(lacks, most, model.partition(".")[0])
        total = 3 + tokens_of(conversation.parts)
        reject(total > window, "Input is too long for requested model.")
        prompt = "".join([text for _, text in conversation.blocks("text")][-1:])
        text = self.answer(prompt, body) if self.answer else "{}" if conversation.form else f"echo: {prompt}"
        content, stop = conversation.answer(text, fault)
        usage, thought = self.cache(model, conversation.parts, total, fewest), fault.get("reasoning", "")
        usage["outputTokens"] = tokens_of([*content, {"text": thought}])
        usage["totalTokens"] = sum(usage.values())
        if "reasoning" in fault or "quiet" in lacks:  # such a model always thinks, and hides the text
            content.insert(0, {"reasoningContent": {"reasoningText": {"text": thought, "signature": "c2lnbmF0dXJl"}}})
        output = {"message": {"role": "assistant", "content": content}}
        return {"output": output, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 1}}

    def cache(self, model, parts, total, fewest):
        marked = max((at for at, part in enumerate(parts) if "cachePoint" in part), default=0)
        size, start = tokens_of(parts[:marked]), json.dumps([model, parts[:marked]])
        with self.lock:
            read = size if start in self.cached else 0
            self.cached.update([start] if marked and size >= fewest else [])
            new = size - read if start in self.cached else 0
        return {"inputTokens": total - read - new, "cacheReadInputTokens": read, "cacheWriteInputTokens": new}
