"""A server that answers as Google's Gemini API (v1beta, v1) and Vertex AI do, by their documentation of autumn 2026.

What they reject of a request stands in gemini_rules.py. Left out: streams, tools, files, explicit caches, the
Interactions API and the OpenAI-compatible endpoints.
"""

import json
import math
import random
import re
import threading
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from gemini_rules import (
    EMBEDDERS,
    ERRORS,
    LEARN,
    LIMITS,
    METHODS,
    MODELS,
    MOST_BYTES,
    MOST_OUTPUT,
    NO_KEY,
    NO_KEYS,
    OAUTH,
    OLD_EMBEDDERS,
    QUOTA,
    RETIRED,
    ROUTED,
    THOUGHTS,
    USAGE,
    WINDOW,
    Rejection,
    check_config,
    check_content,
    clip,
    detail,
    follow,
    read_request,
    reject,
    shape_of,
    size_of,
    tokens_of,
)


def sample(node, text, root):
    """The simplest value that a schema allows, of either dialect. Its strings are ``text``."""
    if "$ref" in node:
        return sample(follow(node["$ref"], root), text, root)
    choices = node.get("anyOf") or node.get("oneOf")
    if choices or "const" in node or "enum" in node:
        return sample(choices[0], text, root) if choices else node.get("const", node.get("enum", [None])[0])
    kind, wanted = node.get("type", "object"), node.get("required", node.get("properties", {}))
    kind = (kind[0] if isinstance(kind, list) else kind).lower()
    values = {name: sample(child, text, root) for name, child in node.get("properties", {}).items() if name in wanted}
    items = [sample(node["items"], text, root)] if isinstance(node.get("items"), dict) else []
    numbers = {"integer": int(node.get("minimum", 1)), "number": node.get("minimum", 0.5)}
    return {"object": values, "array": items, "string": text, "boolean": True, **numbers}.get(kind)


def echo(prompt, config):
    kind, schema = shape_of(config)
    text = f"echo: {prompt}"
    value = sample(schema, text, schema) if schema is not None else {"echo": text}
    return text if kind == "text/plain" else value if kind == "text/x.enum" else json.dumps(value)


def vector_of(text, dimensions, most, *, unit):
    """A vector that hangs on the text alone: the start of a longer one, scaled to length 1 if ``unit``."""
    source = random.Random(text)
    values = [source.gauss(0, 1) for _ in range(most)]
    length = math.hypot(*(values[:dimensions] if unit else values))
    return [round(value / length, 8) for value in values[:dimensions]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        status, payload = self.server.double.reply(self.command, self.path, self.headers, data)
        content = json.dumps(payload, indent=2).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=UTF-8")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_): ...


class GeminiDouble:
    """A context manager that runs the server.

    ``answer(prompt, body)`` gives the text of the answer. A fault is what the next request meets: ``status`` (with
    ``message``, ``details``, ``delay`` in seconds), ``block_prompt`` or ``block`` (a blockReason), ``finish`` (a
    finishReason), ``thoughts``, ``cached`` (numbers of tokens). Only ``api_key`` and ``token`` are let in.
    """

    api_key, token = "AIza-double", "ya29.double"

    def __init__(self, answer=None):
        self.answer, self.requests, self.statuses, self.faults = answer, [], Counter(), []
        self.lock = threading.Lock()
        self.server = type("Server", (ThreadingHTTPServer,), {"request_queue_size": 1024})(("127.0.0.1", 0), Handler)
        self.server.double = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def reply(self, method, path, headers, data):
        try:
            body = json.loads(data or b"{}")
        except ValueError:
            body = None
        with self.lock:
            self.requests.append((path, body))
            fault = self.faults.pop(0) if self.faults else {}
        try:
            status, payload = 200, self.route(method, urlsplit(path), headers, body, len(data), fault)
        except Rejection as rejection:
            message, status, details = rejection.args
            name, usual = ERRORS.get(status, ERRORS[500 if status >= 500 else 400])
            error = {"code": status, "message": message or usual, "status": name}
            payload = {"error": {**error, **({"details": details} if details else {})}}
        with self.lock:
            self.statuses[status] += 1
        return status, payload

    def route(self, method, url, headers, body, size, fault):
        place = "(projects/[^/]+/locations/[^/]+/publishers/google/)?models(?:/([^/:]+))?"
        path = re.fullmatch(rf"/(v1(?:beta1?)?)/{place}(?::(\w+))?", url.path)
        reject(not path, status=404)
        version, project, name, action = path.groups()
        self.check_key(headers, parse_qs(url.query), bool(project))
        self.fail(fault, name, vertex=bool(project))
        if method == "GET" and not project:
            return self.list_models(version, name)
        reject(action not in METHODS or (not project and action == "predict"), status=404)
        reject(size > MOST_BYTES, f"Request payload size exceeds the limit: {MOST_BYTES} bytes.")
        reject(body is None, "Invalid JSON payload received. Unexpected token.\n^")
        request = read_request(body, METHODS[action], vertex=bool(project))
        model, chats = ROUTED.get(name, name), action in ("generateContent", "countTokens")
        known = {**(MODELS if chats else {}), **(EMBEDDERS if action != "generateContent" else {})}
        known |= OLD_EMBEDDERS if project and not chats else {}
        text = f"This model models/{name} is no longer available to new users. Please update your code to use models/"
        text += "gemini-3.8-flash for the latest features and improvements."
        reject(name in RETIRED and not project, text, 404)
        text = f"models/{name} is not found for API version {version}, or is not supported for {action}. Call "
        text += "ModelService.ListModels to see the list of available models and their supported methods."
        if project:
            text = f"Publisher Model `{project}models/{name}` was not found or your project does not have access to it."
        reject(model not in known, text, 404)
        if action == "countTokens":
            return self.count(request)
        if action == "predict":
            return self.predict(request.get("instances") or [], request.get("parameters") or {}, model)
        embeds = action != "generateContent"
        return self.embed(request, model, project) if embeds else self.generate(request, body, model, project, fault)

    def check_key(self, headers, query, vertex):
        key = headers.get("x-goog-api-key") or query.get("key", [""])[0]
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        service = f"{'aiplatform' if vertex else 'generativelanguage'}.googleapis.com"
        facts = {"domain": "googleapis.com", "metadata": {"service": service}}
        missing = detail("ErrorInfo", reason="CREDENTIALS_MISSING", **facts)
        reject(vertex and key and not bearer, NO_KEYS, 401, missing)
        reject(vertex and not bearer, f"Request is missing required authentication credential. {OAUTH}", 401, missing)
        unsupported = detail("ErrorInfo", reason="ACCESS_TOKEN_TYPE_UNSUPPORTED", **facts)
        reject(bearer and bearer != self.token, None, 401, unsupported)
        reject(not key and not bearer, NO_KEY, 403)
        text = "API key not valid. Please pass a valid API key."
        invalid = detail("ErrorInfo", reason="API_KEY_INVALID", **facts)
        local = detail("LocalizedMessage", locale="en-US", message=text)
        reject(key and key != self.api_key, text, 400, invalid, local)

    def fail(self, fault, model, *, vertex):
        status, message, delay = fault.get("status", 200), fault.get("message"), fault.get("delay", 1)
        reject(status >= 400 and (status != 429 or message), message, status, *fault.get("details", ()))
        more = "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details."
        reject(status == 429 and vertex, f"Resource exhausted. Please try again later. Please refer to {more}", 429)
        metric = "generativelanguage.googleapis.com/generate_content_paid_tier_input_token_count"
        name, where = "GenerateContentPaidTierInputTokensPerModelPerMinute", {"location": "global", "model": model}
        quota = {"quotaMetric": metric, "quotaId": name, "quotaDimensions": where, "quotaValue": "4000000"}
        link = {"description": "Learn more about Gemini API quotas", "url": LIMITS}
        kinds = detail("Help", links=[link]), detail("QuotaFailure", violations=[quota])
        text = QUOTA.format(LIMITS, USAGE, metric, 4_000_000, model, delay)
        reject(status == 429, text, 429, *kinds, detail("RetryInfo", retryDelay=f"{delay}s"))

    def list_models(self, version, name):
        chats = {"outputTokenLimit": MOST_OUTPUT, "supportedGenerationMethods": ["generateContent", "countTokens"]}
        embeds = {"outputTokenLimit": 1, "supportedGenerationMethods": ["embedContent", "countTokens"]}
        models = {model: {"inputTokenLimit": WINDOW, **chats} for model in [*MODELS, *ROUTED]}
        models |= {model: {"inputTokenLimit": most, **embeds} for model, (most, _) in EMBEDDERS.items()}
        page = [{"name": f"models/{model}", "version": "001", **models[model]} for model in models]
        lost = name and name not in models
        reject(lost, f"Model is not found: models/{name} for api version {version}", 404)
        return page[list(models).index(name)] if name else {"models": page}

    def count(self, request):
        inner = request.get("generateContentRequest", request)
        reject(not inner.get("contents"), "* CountTokensRequest.contents: contents is not specified\n")
        total = tokens_of(inner.get("systemInstruction"), *inner["contents"])
        return {"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}

    def check(self, contents, rules, config, model, vertex):
        """Reject what the API rejects of a prompt, and count its tokens."""
        none = f"Unable to submit request because at least one contents field is required. {LEARN}"
        reject(not contents, none if vertex else "* GenerateContentRequest.contents: contents is not specified\n")
        for i, content in enumerate(contents):
            check_content(content, f"contents[{i}]", vertex)
        if rules:
            check_content({**rules, "role": ""}, "system_instruction", vertex)
        last = contents[-1].get("role", "").lower()
        ends = last == "model" and "prefill" in MODELS[model][2]
        reject(ends, "Requests ending with a model turn are not supported.")
        check_config(config, model, vertex)
        total = tokens_of(rules, *contents) + size_of(json.dumps(shape_of(config)[1] or ""))
        text = f"The input token count ({total}) exceeds the maximum number of tokens allowed ({WINDOW})."
        reject(total > WINDOW, text)
        return total

    def generate(self, request, body, model, vertex, fault):
        contents, config = request.get("contents") or [], request.get("generationConfig", {})
        total = self.check(contents, request.get("systemInstruction"), config, model, vertex)
        usage = {"promptTokenCount": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}
        message = {"usageMetadata": usage, "modelVersion": model, "responseId": uuid.uuid4().hex[:22]}
        reason, finish = fault.get("block_prompt") or fault.get("block"), fault.get("finish", "STOP")
        if reason:
            usage["totalTokenCount"] = total
            return {"promptFeedback": {"blockReason": reason, **self.ratings(reason)}, **message}
        prompt = "\n".join(part["text"] for content in contents for part in content["parts"] if "text" in part)
        text = self.answer(prompt, body) if self.answer else echo(prompt, config)
        ends = [text.find(stop) for stop in config.get("stopSequences", ()) if stop and stop in text]
        text = text[: min(ends, default=len(text))]
        thinking = config.get("thinkingConfig", {})
        most = min(config.get("maxOutputTokens", MOST_OUTPUT), 32_768 if model == "gemini-4-argon" else MOST_OUTPUT)
        usual = THOUGHTS[thinking.get("thinkingLevel", MODELS[model][1])] * (thinking.get("thinkingBudget") != 0)
        thoughts = min(fault.get("thoughts", usual), most)
        finish = "MAX_TOKENS" if finish == "STOP" and size_of(text) > most - thoughts else finish
        has_text = finish in ("STOP", "MAX_TOKENS", "CONTINUATION")
        half = len(text) // 2 if fault.get("finish") in ("MAX_TOKENS", "CONTINUATION") else len(text)
        text = clip(text, most - thoughts)[:half] if has_text else ""
        signed = {"thoughtSignature": "c2lnbmF0dXJl"} if thoughts else {}
        parts = [{"text": "A thought.", "thought": True}] * bool(thinking.get("includeThoughts") and thoughts)
        parts += [{"text": text, **signed}] if text else []
        said = {"parts": parts, "role": "model"} if parts else {"role": "model"}
        content = {"content": said} if has_text else self.ratings(finish)
        content |= {"continuationToken": "dG9rZW4="} if finish == "CONTINUATION" else {}
        content |= {"avgLogprobs": -0.1} if config.get("responseLogprobs") else {}
        candidates = [{**content, "finishReason": finish, "index": i} for i in range(config.get("candidateCount", 1))]
        written, cached = size_of(text) * len(candidates), min(fault.get("cached", 0), total)
        counts = {"candidatesTokenCount": written, "thoughtsTokenCount": thoughts, "cachedContentTokenCount": cached}
        usage |= {name: count for name, count in counts.items() if count}
        usage["totalTokenCount"] = total + written + thoughts
        return {"candidates": candidates, **message}

    def ratings(self, reason):
        harms = ("SEXUALLY_EXPLICIT", "HATE_SPEECH", "HARASSMENT", "DANGEROUS_CONTENT")
        kinds = [{"category": f"HARM_CATEGORY_{harm}", "probability": "NEGLIGIBLE"} for harm in harms]
        kinds[-1] |= {"probability": "HIGH", "blocked": True}
        return {"safetyRatings": kinds} if reason == "SAFETY" else {}

    def embed(self, request, model, vertex):
        (most, size), many = (EMBEDDERS | OLD_EMBEDDERS)[model], request.get("requests", [request])
        vectors, start = [], "* BatchEmbedContentsRequest.requests"
        reject(len(many) > 100, f"{start}: at most 100 requests can be in one batch\n")
        for i, each in enumerate(many):
            options, named = {**each, **each.get("embedContentConfig", {})}, each.get("model", "")
            if "requests" in request and not vertex:
                reject(not named, f"{start}[{i}].model: model is not specified\n")
                reject(not named.startswith("models/"), f"{start}[{i}].model: unexpected model name format\n")
            parts, wide = each.get("content", {}).get("parts"), options.get("outputDimensionality", size)
            reject(not parts, "* EmbedContentRequest.content: content is not specified\n")  # UNSEEN
            tokens = tokens_of(each["content"])
            reject(not 1 <= wide <= size or (named and named != f"models/{model}"))
            self.check_length(tokens, most if options.get("autoTruncate") is False else math.inf)
            text = clip("\n".join(part.get("text", str(part)) for part in parts), most)
            vectors.append({"values": vector_of(text, wide, size, unit=model != "gemini-embedding-001")})
        count = min(tokens, most) if vectors else 0
        usage = {"promptTokenCount": count, "promptTokenDetails": [{"modality": "TEXT", "tokenCount": count}]}
        more = {"truncated": tokens > most} if vertex and vectors else {}
        lone = {"embedding": vectors[0], "usageMetadata": usage, **more} if vectors else {}
        return {"embeddings": vectors} if "requests" in request else lone

    def check_length(self, tokens, most):
        text = f"the input token count is {tokens} but the model supports up to {most}. Reduce the input token count"
        reject(tokens > most, f"Unable to submit request because {text} and try again. {LEARN}")

    def predict(self, instances, options, model):
        (most, size), limit = (EMBEDDERS | OLD_EMBEDDERS)[model], 250 if model in OLD_EMBEDDERS else 1
        wide, texts = options.get("outputDimensionality", size), [each.get("content", "") for each in instances]
        reject(model == "gemini-embedding-2" or not instances or not 1 <= wide <= size)
        reject(len(instances) > limit, f"{limit} instance(s) is allowed per prediction. Actual: {len(instances)}")
        counts, rows = [size_of(text) for text in texts], []
        self.check_length(max(counts), most if options.get("autoTruncate") is False else math.inf)
        self.check_length(sum(counts), 20_000)
        for text, tokens in zip(texts, counts, strict=True):
            facts = {"truncated": tokens > most, "token_count": min(tokens, most)}
            values = vector_of(clip(text, most), wide, size, unit=True)
            rows.append({"embeddings": {"values": values, "statistics": facts}})
        return {"predictions": rows, "metadata": {"billableCharacterCount": sum(map(len, texts))}}
