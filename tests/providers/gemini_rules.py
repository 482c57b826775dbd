"""What Google's Gemini API (v1beta, v1) and Vertex AI take, by their documentation of autumn 2026.

Where it has no wording of an error, the wording is one that users report; UNSEEN marks the few without a report.
"""

import base64
import json
import math
import re
from collections import Counter


def words(text):
    return frozenset(text.split())


LOW, ALL = words("LOW MEDIUM HIGH"), words("MINIMAL LOW MEDIUM HIGH")
MODELS = {  # the thinking levels that each takes, its default one, and what it does not take
    "gemini-4-argon": (LOW, "MEDIUM", words("budget prefill")),
    "gemini-3.8-flash": (LOW, "MEDIUM", words("prefill")),
    "gemini-3.6-flash": (ALL, "MEDIUM", words("budget_0 prefill")),
    "gemini-3.5-flash": (ALL, "MEDIUM", words("")),
    "gemini-3.5-flash-lite": (ALL, "MINIMAL", words("budget_0 prefill")),
    "gemini-3.1-pro-preview": (LOW, "HIGH", words("budget_0")),
    "gemini-3.1-flash-lite": (ALL, "MINIMAL", words("")),
}
ROUTED = {"gemini-3.7-flash": "gemini-3.8-flash", "gemini-flash-latest": "gemini-3.8-flash"}
RETIRED = words("gemini-2.5-flash gemini-2.5-flash-lite gemini-2.5-pro")
EMBEDDERS = {"gemini-embedding-2": (8_192, 3_072), "gemini-embedding-001": (2_048, 3_072)}  # tokens and dimensions
OLD_EMBEDDERS = dict.fromkeys(words("text-embedding-005 text-multilingual-embedding-002"), (2_048, 768))  # of Vertex
WINDOW, MOST_OUTPUT, MOST_BYTES, IMAGE_TOKENS, DEPTH, ITEMS = 1_048_576, 65_536, 104_857_600, 1_120, 32, 960
THOUGHTS = {"MINIMAL": 0, "LOW": 4, "MEDIUM": 8, "HIGH": 16}
IMAGES = {"png": rb"\x89PNG", "jpeg": rb"\xff\xd8\xff", "webp": rb"RIFF....WEBP", "heic": b"", "heif": b""}
FORMATS = words("text/plain application/json application/xml application/yaml text/x.enum")
ENUMS = {
    "Type": words("TYPE_UNSPECIFIED STRING NUMBER INTEGER BOOLEAN ARRAY OBJECT NULL"),
    "ThinkingConfig.ThinkingLevel": ALL | words("THINKING_LEVEL_UNSPECIFIED XHIGH"),
    "TaskType": words(
        "TASK_TYPE_UNSPECIFIED RETRIEVAL_QUERY RETRIEVAL_DOCUMENT SEMANTIC_SIMILARITY CLASSIFICATION CLUSTERING "
        "QUESTION_ANSWERING FACT_VERIFICATION CODE_RETRIEVAL_QUERY"
    ),
}
DATA = words("text inlineData fileData functionCall functionResponse executableCode codeExecutionResult")
FIELDS = """
GenerateContentRequest: str=model,cachedContent,serviceTier bool=store bytes=continuationToken Content*=contents
  Content=systemInstruction any=tools,toolConfig,labels,safetySettings GenerationConfig=generationConfig
Content: str=role Part*=parts
Part: str=text bool=thought bytes=thoughtSignature Blob=inlineData any=fileData,functionCall,functionResponse
  any=executableCode,codeExecutionResult,videoMetadata,mediaResolution,partMetadata
Blob: str=mimeType,displayName bytes=data
GenerationConfig: int=candidateCount,maxOutputTokens,seed,logprobs num=temperature,topP,topK,presencePenalty
  num=frequencyPenalty str=responseMimeType,mediaResolution str*=stopSequences,responseModalities
  bool=responseLogprobs,enableEnhancedCivicAnswers any=responseJsonSchema,speechConfig,imageConfig
  Schema=responseSchema ResponseFormat=responseFormat ThinkingConfig=thinkingConfig
ResponseFormat: TextResponseFormat=text any=audio,image
TextResponseFormat: str=mimeType any=schema
ThinkingConfig: bool=includeThoughts int=thinkingBudget ThinkingConfig.ThinkingLevel=thinkingLevel
Schema: Type=type str=format,title,description,pattern bool=nullable str*=enum,required,propertyOrdering Schema=items
  int=maxItems,minItems,minProperties,maxProperties,minLength,maxLength num=minimum,maximum any=example,default
  Schema{}=properties Schema*=anyOf
CountTokensRequest: str=model Content*=contents GenerateContentRequest=generateContentRequest
EmbedContentRequest: str=model,title Content=content TaskType=taskType int=outputDimensionality
  EmbedContentConfig=embedContentConfig
EmbedContentConfig: TaskType=taskType str=title int=outputDimensionality bool=autoTruncate,documentOcr
BatchEmbedContentsRequest: EmbedContentRequest*=requests
PredictRequest: any=instances,parameters
"""
VERTEX_FIELDS = FIELDS.replace("Schema: ", "Schema: any=additionalProperties str=ref Schema{}=defs ").replace(
    "CountTokensRequest: ", "CountTokensRequest: Content=systemInstruction any=tools,generationConfig "
)
METHODS = {name[0].lower() + name[1:]: f"{name}Request" for name in re.findall(r"(\w+)Request: ", FIELDS)}
OAUTH = "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
OAUTH += "See https://developers.google.com/identity/sign-in/web/devconsole-project."
NO_KEY = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
NO_KEY += "other form of API consumer identity to call this API."
NO_KEYS = "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials "
NO_KEYS += "that assert a principal. See https://cloud.google.com/docs/authentication"
RETRY = "Update the value and try again."
LEARN = "Learn more: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini"
LIMITS, USAGE = "https://ai.google.dev/gemini-api/docs/rate-limits", "https://ai.dev/rate-limit"
QUOTA = "You exceeded your current quota, please check your plan and billing details. For more information on this "
QUOTA += "error, head to: {}. To monitor your current usage, head to: {}. \n* Quota exceeded for metric: {}, "
QUOTA += "limit: {}, model: {}\nPlease retry in {}s."
BUSY = "This model is currently experiencing high demand. Spikes in demand are usually temporary. "
BUSY += "Please try again later."
ERRORS = {  # 503 said "The model is overloaded. Please try again later." until the end of 2025
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", f"Request had invalid authentication credentials. {OAUTH}"),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    404: ("NOT_FOUND", "Requested entity was not found."),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    500: ("INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", BUSY),
    504: ("DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
}


def snake(name):
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def table_of(text):
    """Give each message's fields, by both of their spellings, with their kinds: * repeats, {} is a map."""
    table = {}
    for message, fields in re.findall(r"^(\w+): ((?:.|\n )+)", text, re.MULTILINE):
        pairs = [(name, kind) for kind, names in re.findall(r"(\S+)=(\S+)", fields) for name in names.split(",")]
        table[message] = {spelling: pair for pair in pairs for spelling in (pair[0], snake(pair[0]))}
    return table


GEMINI, VERTEX = table_of(FIELDS), table_of(VERTEX_FIELDS)


class Rejection(Exception):
    """An error that the API answers: its message, its status and its details."""


def reject(wrong, message=None, status=400, *details):
    if wrong:
        raise Rejection(message, status, details)


def detail(kind, **fields):
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def scalar(value, kind):
    """Convert a value as protocol buffers read JSON, or raise ValueError."""
    if kind == "any":
        return value
    right = {"bool": bool, "int": int | float | str, "num": int | float | str}.get(kind, str)
    if not isinstance(value, right) or (isinstance(value, bool) and kind != "bool"):
        raise ValueError
    if kind == "bytes":  # in either alphabet
        return base64.b64decode(value.translate(str.maketrans("-_", "+/")) + "=" * (-len(value) % 4), validate=True)
    if kind in ("int", "num"):
        return float(value) if kind == "num" or not float(value).is_integer() else int(float(value))
    if kind not in ("str", "bool") and value.upper() not in ENUMS.get(kind, ()):
        raise ValueError
    return value.upper() if kind in ENUMS else value


def read(value, kind, table, path, found):
    """Read JSON as this kind of protocol buffer, with the fields' names in camelCase. ``found``: what is wrong."""
    if kind.endswith("*"):
        many = [(f"{path}[{i}]", each) for i, each in enumerate(value)] if isinstance(value, list) else [(path, value)]
        return [read(each, kind[:-1], table, where, found) for where, each in many]
    if kind.endswith("{}") and isinstance(value, dict):
        many = enumerate(value.items())
        return {name: read(each, kind[:-2], table, f"{path}[{i}].value", found) for i, (name, each) in many}
    if kind in table and isinstance(value, dict):
        message, at = {}, f" at '{path}'" if path else ""
        for name, each in value.items():
            field, want = table[kind].get(name, (name, None))
            lone = isinstance(each, list) and want not in (None, "any") and not want.endswith("*")
            why = "Cannot find field." if want is None else "Proto field is not repeating, cannot start list."
            if lone or want is None:
                found.append((path, f'Invalid JSON payload received. Unknown name "{name}"{at}: {why}'))
            elif each is not None:
                message[field] = read(each, want, table, f"{path}.{snake(field)}".strip("."), found)
        return message
    try:
        return scalar(value, kind)
    except ValueError:
        names = {"str": "STRING", "int": "INT32", "num": "FLOAT", "bool": "BOOL", "bytes": "BYTES"}
        name = f"type.googleapis.com/google.ai.generativelanguage.v1beta.{kind}"
        name = f"TYPE_{names[kind]}" if kind in names else name
        rest = f"Base64 decoding failed for {json.dumps(value)}" if kind == "bytes" else json.dumps(value)
        found.append((path, f"Invalid value at '{path}' ({name}), {rest}"))


def read_request(body, kind, *, vertex):
    root = 'Invalid JSON payload received. Unknown name "": Root element must be a message.'
    reject(not isinstance(body, dict), root)
    found = []
    request = read(body, kind, VERTEX if vertex else GEMINI, "", found)
    violations = [{**({"field": path} if path else {}), "description": text} for path, text in found]
    reject(found, "\n".join(text for _, text in found), 400, detail("BadRequest", fieldViolations=violations))
    return request


def size_of(text):
    return (len(text.encode()) + 3) // 4


def clip(text, tokens):
    return text.encode()[: tokens * 4].decode(errors="ignore")


def tokens_of(*contents):
    parts = [part for content in contents for part in (content or {}).get("parts", ())]
    return sum(size_of(part.get("text", "")) + IMAGE_TOKENS * ("inlineData" in part) for part in parts)


def check_content(content, path, vertex):
    role, parts, start = content.get("role", "").lower(), content.get("parts"), "Unable to submit request because"
    needs_role = vertex and path.startswith("contents")
    wrong = role not in ("user", "model", "function", "" if not needs_role else "user")
    reject(wrong, "Please use a valid role: user, model.")
    reject(not parts, f"* GenerateContentRequest.{path}.parts: contents.parts must not be empty.\n")
    for i, part in enumerate(parts):
        where, data = f"{path}.parts[{i}]", [name for name in part if name in DATA]
        need = "required oneof field 'data' must have one initialized field"
        reject(not data, f"* GenerateContentRequest.{where}.data: {need}\n")
        twice = f"Invalid value at '{where}' (oneof), oneof field 'data' is already set. Cannot set '{data[-1]}'"
        reject(data[1:], twice)
        empty = f"{start} it has an empty text parameter. Add a value to the parameter and try again. {LEARN}"
        reject(part.get("text") == "", empty)
        kind, _, name = part.get("inlineData", {}).get("mimeType", "").partition("/")
        reject(kind == "image" and name not in IMAGES, f"Unsupported MIME type: {kind}/{name}")
        whole = kind != "image" or re.match(IMAGES[name], part["inlineData"].get("data", b""), re.DOTALL)
        reject(not whole, "Unable to process input image.")


def check_openapi(node, path, depth=0):
    reject(depth > DEPTH, "A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth.")
    kind, properties, values, form = (node.get(name) for name in ("type", "properties", "enum", "format"))
    start = f"* GenerateContentRequest.{path}"
    reject(kind == "OBJECT" and not properties, f"{start}.properties: should be non-empty for OBJECT type\n")
    reject(kind == "ARRAY" and "items" not in node, f"{start}.items: missing field\n")
    reject(values and kind != "STRING", f"{start}.enum: only allowed for STRING type\n")
    for i, value in enumerate(values or ()):
        reject(not value, f"{start}.enum[{i}]: cannot be empty\n")
    wrong = kind == "STRING" and form not in (None, "enum", "date-time")
    reject(wrong, f"{start}.format: only 'enum' and 'date-time' are supported for STRING type\n")
    for i, name in enumerate(node.get("required", ())):
        reject(name not in (properties or ()), f"{start}.required[{i}]: property is not defined\n")
    children = [(f'.properties["{name}"]', child) for name, child in (properties or {}).items()]
    children += [(f".any_of[{i}]", child) for i, child in enumerate(node.get("anyOf", ()))]
    for name, child in [*children, *([(".items", node["items"])] if "items" in node else [])]:
        check_openapi(child, path + name, depth + 1)


def follow(reference, root):
    for name in reference.strip("#/").split("/"):
        root = root.get(name) if name and isinstance(root, dict) else root
    return root


def check_json_schema(node, root, found, trail=(), depth=0):
    """Reject what the API does, without naming a field. It ignores other keywords. ``found``: the sum of maxItems."""
    reject(depth > DEPTH, "A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth.")
    reject(not isinstance(node, dict))
    if "$ref" in node:
        reject(follow(node["$ref"], root) is None or any(not name.startswith("$") for name in node))
        if node["$ref"] not in trail:
            check_json_schema(follow(node["$ref"], root), root, found, (*trail, node["$ref"]), depth + 1)
        return
    found["maxItems"] += node.get("maxItems", 0)
    lists = [node.get(name, ()) for name in ("anyOf", "oneOf", "prefixItems")]
    items = [node["items"]] if isinstance(node.get("items"), dict) else []
    for child in [*node.get("properties", {}).values(), *items, *(child for each in lists for child in each)]:
        check_json_schema(child, root, found, trail, depth + 1)


def shape_of(config):
    """Give the MIME type of the answer and its schema, by whichever of the three fields has it."""
    text = config.get("responseFormat", {}).get("text", {})
    kind = text.get("mimeType", config.get("responseMimeType", "text/plain"))
    kind = {"APPLICATION_JSON": "application/json", "TEXT_PLAIN": "text/plain"}.get(kind, kind)
    return kind, text.get("schema", config.get("responseJsonSchema", config.get("responseSchema")))


def check_config(config, model, vertex):
    (levels, _, lacks), (kind, schema) = MODELS[model], shape_of(config)
    start = "* GenerateContentRequest.generation_config"
    for name, high in {"temperature": 2.0, "topP": 1.0}.items():
        inside = 0 <= config.get(name, 0) <= high
        reject(not inside, f"{start}.{snake(name)}: {snake(name)} must be in the range [0.0, {high}].\n")  # UNSEEN
    reject(config.get("topK", 0) < 0, f"{start}.top_k: top_k must be nonnegative.\n")  # UNSEEN
    stops = len(config.get("stopSequences", ()))
    reject(stops > 5, f"{start}.stop_sequences: at most 5 stop sequences are allowed\n")  # UNSEEN
    most = WINDOW if model == "gemini-4-argon" else MOST_OUTPUT
    for name, high in {"maxOutputTokens": most, "candidateCount": 8 if vertex else math.inf}.items():
        value, bounds = config.get(name, 1), f"supported range is from 1 (inclusive) to {high + 1} (exclusive)"
        text = f"Unable to submit request because it has a {name} value of {value} but the {bounds}. {RETRY}"
        reject(not 1 <= value <= high, text)
    several = config.get("candidateCount", 1) > 1 and not vertex
    reject(several, "Multiple candidates is not enabled for this model")
    penalty = config.get("presencePenalty") or config.get("frequencyPenalty")
    reject(penalty, "Penalty is not enabled for this model")
    reject(config.get("responseLogprobs") and not vertex, "Logprobs is not enabled for this model")
    allowed = "`text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`"
    reject(kind not in FORMATS, f"{start}.response_mime_type: allowed mimetypes are {allowed}.\n")
    both = {"responseSchema", "responseJsonSchema"} <= config.keys()
    reject(both, f"{start}: response_schema must not be set when response_json_schema is set.\n")
    plain = schema is not None and kind == "text/plain"
    reject(plain, f"{start}: a response schema needs the response_mime_type application/json.\n")  # UNSEEN
    found = Counter()
    if "responseSchema" in config:
        check_openapi(schema, "generation_config.response_schema")
    elif schema is not None:
        check_json_schema(schema, schema, found)
    reject(found["maxItems"] > ITEMS)
    level, budget = (config.get("thinkingConfig", {}).get(name) for name in ("thinkingLevel", "thinkingBudget"))
    both = level is not None and budget is not None
    reject(both, "You can only set only one of thinking budget and thinking level.")
    wrong = f"Thinking level {level} is not supported for this model. Please retry with other thinking level."
    reject(level and level not in levels, wrong)
    wrong = "Thinking budget is not supported for this model. Use thinking level instead."
    reject(budget is not None and "budget" in lacks, wrong)
    reject(budget == 0 and "budget_0" in lacks, "Budget 0 is invalid. This model only works in thinking mode.")
