"""Checks of single values, schemas and tools as OpenAI's API makes them, with its wordings of errors.

The wordings are those of its documentation and its users' reports of autumn 2026. Only those of the limits on a
schema's enum values and on the letters of its names are guessed.
"""

import json
import re
from collections import Counter


def words(text):
    return frozenset(text.split())


TYPES = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal", list: "an array", dict: "an object"}
NAME = r"^[a-zA-Z0-9_-]+$"
KEYWORDS = words(
    "type title description properties required additionalProperties items enum const anyOf $ref $defs definitions "
    "$schema $id pattern format multipleOf maximum exclusiveMaximum minimum exclusiveMinimum minItems maxItems"
)
FORMATS = words("date-time time date duration email hostname ipv4 ipv6 uuid")
DEPTH, PROPERTIES, ENUM, LETTERS, LONG_ENUM = 10, 5_000, 1_000, 120_000, (250, 15_000)


class Rejection(Exception):
    """An error of the API: the status and the body's fields. ``payload``: the whole body, where it has another form."""

    def __init__(
        self, message, param=None, code=None, status=400, kind="invalid_request_error", payload=None, headers=()
    ):
        super().__init__(message)
        self.status, self.headers = status, dict(headers)
        self.payload = payload or {"error": {"message": message, "type": kind, "param": param, "code": code}}


def reject(wrong, message, param=None, code=None, status=400, kind="invalid_request_error"):
    if wrong:
        raise Rejection(message, param, code, status, kind)


def listed(values):
    """Join quoted values as the API does: 'a', 'b', and 'c'."""
    quoted = [f"'{value}'" for value in values]
    return " and ".join(quoted) if len(quoted) < 3 else f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def check_type(value, kinds, param):
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    fits = type(value) in kinds or (type(value) is int and float in kinds)
    expected = TYPES[kinds[0]] if len(kinds) == 1 else "one of " + " or ".join(TYPES[kind] for kind in kinds)
    got = "null" if value is None else TYPES[type(value)]
    reject(not fits, f"Invalid type for '{param}': expected {expected}, but got {got} instead.", param, "invalid_type")


def check_choice(value, known, param):
    wrong = f"Invalid value: '{value}'. Supported values are: {listed(known)}."
    reject(value not in known, wrong, param, "invalid_value")


def check_known(value, known, param):
    for name in value.keys() - known:
        reject(name, f"Unknown parameter: '{param}.{name}'.", f"{param}.{name}", "unknown_parameter")


def check_needed(value, needed, param):
    for name in needed.split():
        path = f"{param}.{name}".strip(".")
        missing = f"Missing required parameter: '{path}'."
        reject(value.get(name) is None, missing, path, "missing_required_parameter")


def check_name(name, param):
    check_type(name, str, param)
    long = (
        f"string too long. Expected a string with maximum length 64, but got a string with length {len(name)} instead."
    )
    reject(len(name) > 64, f"Invalid '{param}': {long}", param, "string_above_max_length")
    pattern = f"string does not match pattern. Expected a string that matches the pattern '{NAME}'."
    reject(not re.match(NAME, name), f"Invalid '{param}': {pattern}", param, "invalid_value")


def where_of(trail):
    """Show a place in a schema as a Python tuple, as the API does."""
    return repr(tuple(trail))


def check_object(node, context, wrong):
    """Check that an object has exactly its properties, and all of them."""
    if node.get("additionalProperties") is not False:
        raise wrong(f"{context} 'additionalProperties' is required to be supplied and to be false.")
    required = "'required' is required to be supplied and to be an array including every key in properties."
    properties = node.get("properties", {})
    missing = [name for name in properties if name not in node.get("required", ())]
    if missing:
        raise wrong(f"{context} {required} Missing '{missing[0]}'.")
    extra = [name for name in node.get("required", ()) if name not in properties]
    if extra:
        raise wrong(f"{context} {required} Extra required key '{extra[0]}' supplied.")


def check_node(node, trail, root, found, wrong, level=0):  # noqa: C901, PLR0912  one rule after the other
    """Check a part of a strict schema. ``found``: counts what is limited. ``wrong(text)`` gives the rejection."""
    context = f"In context={where_of(trail)},"
    if not isinstance(node, dict):
        raise wrong(f"{context} {json.dumps(node)} is not of type 'object', 'boolean'.")
    for keyword in node:
        if keyword not in KEYWORDS:
            raise wrong(f"{context} '{keyword}' is not permitted.")
    if "$ref" in node:
        others = node.keys() - {"$ref"}
        if others:
            raise wrong(f"context={where_of(trail)}, $ref cannot have keywords {others}.")
        if not re.match(r"#($|/\$defs/|/definitions/)", node["$ref"]):
            raise wrong(f"{context} reference can only point to definitions defined at the top level of the schema.")
        return
    kinds = node.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not kinds and "anyOf" not in node:
        raise wrong(f"{context} schema must have a 'type' key.")
    for kind in set(kinds) - words("object array string integer number boolean null"):
        raise wrong(f"{context} '{kind}' is not valid under any of the given schemas.")
    if node.get("format", "date") not in FORMATS:
        raise wrong(f"{context} '{node['format']}' is not a valid format.")
    values = node.get("enum", ())
    found["enum values"] += len(values)
    found["letters"] += sum(len(str(value)) for value in values) + len(str(node.get("const", "")))
    found["long enum"] |= len(values) > LONG_ENUM[0] and sum(len(str(value)) for value in values) > LONG_ENUM[1]
    inner = level + 1
    if {"object", "array"} & set(kinds):
        found["levels of nesting"] = max(found["levels of nesting"], level)
    properties = node.get("properties", {})
    if "object" in kinds:
        check_object(node, context, wrong)
    if "array" in kinds and "items" not in node:
        raise wrong(f"{context} array schema missing items.")
    found["parameters"] += len(properties)
    found["letters"] += sum(map(len, properties))
    for word, children in (
        ("properties", properties),
        ("$defs", node.get("$defs", {})),
        ("definitions", node.get("definitions", {})),
    ):
        for name, child in children.items():
            check_node(child, (*trail, word, name), root, found, wrong, inner if word == "properties" else 0)
    if "items" in node:
        check_node(node["items"], (*trail, "items"), root, found, wrong, inner)
    for i, child in enumerate(node.get("anyOf", ())):
        check_node(child, (*trail, "anyOf", str(i)), root, found, wrong, level)


def check_schema(schema, what, param, code, *, strict):
    """Check the schema of a response format or of a function's parameters, named by ``what``."""

    def wrong(text):
        return Rejection(f"Invalid schema for {what}: {text}", param, code)

    check_type(schema, dict, param)
    kind = schema.get("type")
    if kind != "object":
        raise wrong(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'.")
    if not strict:
        return
    found = Counter()
    check_node(schema, (), schema, found, wrong)
    limits = (
        ("levels of nesting", DEPTH),
        ("parameters", PROPERTIES),
        ("enum values", ENUM),
        ("letters", LETTERS),
    )
    for word, most in limits:
        if found[word] > most:
            raise wrong(f"{found[word]} {word} exceeds limit of {most}.")
    if found["long enum"]:
        raise wrong(f"the string length of enum values exceeds {LONG_ENUM[1]} characters.")


def check_format(form, param, text, *, flat):
    """Check what shape an answer shall have. ``text``: the messages, which must name JSON for the type json_object."""
    check_type(form, dict, param)
    check_needed(form, "type", param)
    check_choice(form["type"], ("json_object", "json_schema", "text"), f"{param}.type")
    chat = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
    response = (
        "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'."
    )
    unnamed = form["type"] == "json_object" and "json" not in text.lower()
    reject(unnamed, response if flat else chat, "input" if flat else "messages")
    if form["type"] != "json_schema":
        check_known(form, words("type"), param)
        return
    if not flat:
        check_known(form, words("type json_schema"), param)
        check_needed(form, "json_schema", param)
        form, param = form["json_schema"], f"{param}.json_schema"
        check_type(form, dict, param)
    check_known(form, words("name schema strict description") | ({"type"} if flat else set()), param)
    check_needed(form, "name schema" if flat or form.get("strict") else "name", param)
    check_name(form["name"], f"{param}.name")
    place, code = ("text.format.schema", "invalid_json_schema") if flat else ("response_format", None)
    schema = form.get("schema", {"type": "object"})
    check_schema(schema, f"response_format '{form['name']}'", place, code, strict=bool(form.get("strict")))


def check_tools(body, *, flat):
    tools, choice = body.get("tools"), body.get("tool_choice")
    names = set()
    for i, tool in enumerate(tools or ()):
        param = f"tools[{i}]"
        check_needed(tool, "type", param)
        check_choice(tool["type"], ("function", "custom"), f"{param}.type")
        check_needed(tool, "name" if flat else "function", param)
        check_known(tool, words("type name description parameters strict") if flat else words("type function"), param)
        function, param = (tool, param) if flat else (tool["function"], f"{param}.function")
        check_known(function, words("type name description parameters strict"), param)
        check_needed(function, "name", param)
        check_name(function["name"], f"{param}.name")
        names.add(function["name"])
        schema, place = function.get("parameters") or {"type": "object"}, f"{param}.parameters"
        what, strict = f"function '{function['name']}'", bool(function.get("strict"))
        check_schema(schema, what, place, "invalid_function_parameters", strict=strict)
    for name in ("tool_choice", "parallel_tool_calls"):
        alone = f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."
        reject(not flat and body.get(name) is not None and not tools, alone, name)
    if isinstance(choice, dict):
        check_known(choice, words("type name") if flat else words("type function"), "tool_choice")
        check_needed(choice, "type name" if flat else "type function", "tool_choice")
        name = choice["name"] if flat else choice["function"].get("name")
        unknown = f"Tool choice '{name}' not found in 'tools' parameter."
        reject(name not in names, unknown, "tool_choice")
    elif choice is not None:
        check_choice(choice, ("none", "auto", "required"), "tool_choice")
