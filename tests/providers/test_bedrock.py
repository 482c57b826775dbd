"""Amazon Bedrock, as a double describes it that was written from its documentation alone."""

import json
import time

import pytest
from bedrock_double import BedrockDouble
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

import aiquery
from aiquery.errors import AIQueryError, MissingKey
from aiquery.providers.bedrock.signing import AWSKeys, Moment
from aiquery.secrets import Secret

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"
OPUS = "us.anthropic.claude-opus-5-5"
MISTRAL = "mistral.mistral-7b-instruct-v0:2"
TYPED = "SELECT ai_query('m', 'q' || i, returnType => 'STRUCT<a: INT, b: ARRAY<STRING>>') FROM range(30) t(i)"
ERROR = "SELECT ai_query('m', 'q', failOnError => false).errorMessage"


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMIEXAMPLE")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


def connect(double, model=HAIKU, **settings):
    endpoint = {"provider": "bedrock", "base_url": double.url, "model": model, "hedge": False, **settings}
    task = settings.get("task", "chat")
    return aiquery.connect(
        config={"endpoints": {"m": endpoint}, "defaults": {task: "m"}, "cache": {"store": "memory:"}}
    )


@pytest.mark.parametrize("model", [HAIKU, NOVA, LLAMA, PROFILE, MISTRAL])
def test_a_thousand_signed_rows(model):
    with BedrockDouble() as double, connect(double, model) as con:
        rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(1000) t(i)").fetchall()
    assert rows[7] == ("echo: q7",)
    assert double.statuses == {200: 1000}
    assert double.ignored == []


def test_temporary_credentials_and_a_profile(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-session-token")
    with BedrockDouble(token="a-session-token") as double, connect(double) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text("[profile work]\nregion = eu-west-1\n")
    keys = "[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = wJalrXUtnFEMIOTHER\n"
    (tmp_path / "credentials").write_text(keys)
    monkeypatch.setenv("AWS_PROFILE", "work")
    with BedrockDouble(access_key="AKIDWORK", secret_key="wJalrXUtnFEMIOTHER") as double, connect(double) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]


def test_a_bedrock_api_key_needs_no_signature(monkeypatch):
    monkeypatch.setenv("THE_KEY", "bedrock-api-key-abc")
    with BedrockDouble(bearer="bedrock-api-key-abc") as double, connect(double, api_key_env="THE_KEY") as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]


def test_missing_credentials_are_an_error_before_the_first_request(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    error = pytest.raises(MissingKey, match=r"no credentials of AWS were found\. Set AWS_PROFILE")
    with BedrockDouble() as double, connect(double) as con, error:
        con.sql("SELECT ai_query('m', 'q')").fetchall()
    assert double.requests == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_SECRET_ACCESS_KEY", "not-the-secret", "signature we calculated does not match"),
        ("AWS_ACCESS_KEY_ID", "AKIDOTHER", "security token included in the request is invalid"),
        ("AWS_SESSION_TOKEN", "expired", "security token included in the request is"),
    ],
)
def test_wrong_credentials_end_the_statement_and_are_not_shown(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    with BedrockDouble() as double, connect(double) as con:
        with pytest.raises(AIQueryError, match=words) as raised:
            con.sql("SELECT ai_query('m', 'q' || i) FROM range(1000) t(i)")
        assert len(double.requests) <= 64
    assert "not-the-secret" not in str(raised.value)


@pytest.mark.parametrize("model", [HAIKU, NOVA, LLAMA, MISTRAL, OPUS, "openai.gpt-oss-120b-1:0"])
def test_typed_answers_step_down_to_what_the_model_takes(model):
    def answer(*_):
        return json.dumps({"a": 1, "b": ["x"]})

    with BedrockDouble(answer) as double, connect(double, model) as con:
        assert con.sql(TYPED).fetchall() == [({"a": 1, "b": ["x"]},)] * 30
    assert double.statuses[200] == 30
    assert double.statuses[400] <= 4  # temperature, the schema, the tool, the system prompt


def test_a_model_without_a_system_prompt_gets_its_instructions_with_the_text():
    with BedrockDouble(lambda *_: json.dumps({"label": "bug"})) as double, connect(double, MISTRAL) as con:
        sql = "SELECT ai_classify('it crashes ' || i, ['bug', 'billing']) FROM range(100) t(i)"
        assert con.sql(sql).fetchall() == [("bug",)] * 100
    _, body = double.requests[-1]
    assert "system" not in body
    assert "The labels are" in body["messages"][0]["content"][0]["text"]


def test_tokens_are_counted_as_aws_bills_them():
    labels = ", ".join(f"'label {i} {'x' * 91}'" for i in range(20))
    price = {"input": 1.0, "cached_input": 0.1, "cache_write": 1.25, "output": 5.0}
    sql = "SELECT ai_classify('text ' || i, [{labels}]) FROM range({start}, {end}) t(i)"
    double = BedrockDouble(lambda *_: json.dumps({"label": f"label 3 {'x' * 91}"}))
    with double, connect(double, "us.anthropic.claude-opus-5", price=price, structured="prompt") as con:
        con.sql(sql.format(labels=labels, start=0, end=1)).fetchall()
        first = con.ledger.totals["m"]
        written = first.cost_usd - (first.tokens_in * 1.0 + first.tokens_out * 5.0) / 1e6
        assert first.tokens_cached == 0
        con.sql(sql.format(labels=labels, start=1, end=20)).fetchall()
        totals = con.ledger.totals["m"]
    assert {"cachePoint": {"type": "default"}} in double.requests[-1][1]["system"]
    assert totals.tokens_cached > 19 * 512
    assert written == pytest.approx(0.25 * totals.tokens_cached / 19 / 1e6)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"stop": "guardrail_intervened"}, "guardrail_intervened): 'I cannot answer this.'"),
        ({"stop": "content_filtered"}, "content_filtered"),
        ({"status": 400, "message": "Input is too long for requested model."}, "Input is too long"),
    ],
)
def test_no_answer_is_the_error_of_the_row(fault, words):
    double = BedrockDouble()
    double.faults.append(fault)
    with double, connect(double) as con:
        ((error,),) = con.sql(ERROR).fetchall()
    assert words in error
    assert len(double.requests) == 1


def test_a_cut_answer_is_no_answer_to_a_typed_call_and_reasoning_is_none():
    double = BedrockDouble()
    double.faults.append({"reasoning": "let me think"})
    with double, connect(double) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]
        double.faults.append({"stop": "max_tokens"})
        con.sql("SELECT ai_query('m', 'r')").fetchall()
        assert con.ledger.totals["m"].truncated == 1


@pytest.mark.parametrize("status", [408, 424, 429, 500, 503])
def test_a_passing_error_is_tried_again(status):
    double = BedrockDouble()
    double.faults.append({"status": status})
    with double, connect(double) as con:
        assert con.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]
    assert double.statuses == {status: 1, 200: 1}


def test_an_image_is_sent_as_bytes(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    with BedrockDouble() as double, connect(double) as con:
        file = (tmp_path / "a.png").as_posix()
        con.sql(f"SELECT ai_query('m', 'what is it', files => content) FROM read_blob('{file}')").fetchall()
    text, image = double.requests[0][1]["messages"][0]["content"]
    assert text == {"text": "what is it"}
    assert image["image"]["format"] == "png"


@pytest.mark.parametrize(
    ("model", "length", "batch"),
    [
        ("amazon.titan-embed-text-v2:0", 256, 1),
        ("amazon.nova-2-multimodal-embeddings-v1:0", 384, 1),
        ("cohere.embed-english-v3", None, 96),
        ("cohere.embed-v4:0", 512, 96),
    ],
)
def test_embeddings(model, length, batch):
    with BedrockDouble() as double, connect(double, model, task="embedding", dimensions=length) as con:
        rows = con.sql("SELECT ai_embed('text number ' || i) FROM range(200) t(i)").fetchall()
        totals = con.ledger.totals["m"]
    assert {len(vector) for (vector,) in rows} == {length or 1024}
    assert len({tuple(vector) for (vector,) in rows}) > 100
    assert totals.tokens_in >= 200
    assert double.statuses[200] >= 200 / batch


@pytest.mark.parametrize("model", ["amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"])
def test_a_text_that_is_too_long_is_shortened_here(model):
    with BedrockDouble() as double, connect(double, model, task="embedding") as con:
        con.sql(f"SELECT ai_embed('{'word ' * 15_000}')").fetchall()
        assert con.ledger.totals["m"].truncated == 1
    assert double.statuses[400] >= 1


def test_tokens_can_be_counted():
    with BedrockDouble() as double, connect(double, "anthropic.claude-sonnet-4-6") as con:
        ((count,),) = con.sql("SELECT ai_count_tokens('m', 'one two three')").fetchall()
    assert count > 0


PART = st.text("abcXYZ019-_~: %éß", min_size=1, max_size=12)


@given(parts=st.lists(PART, min_size=1, max_size=4), body=st.binary(max_size=50), token=st.none() | st.just("t/o=k"))
def test_the_signature_is_that_of_botocore(parts, body, token):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    path = "/".join(URL.build(path=f"/{part}").raw_path.strip("/") for part in parts)
    url = URL(f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{path}", encoded=True)
    keys = AWSKeys("AKID", Secret("secret"), token and Secret(token))
    lines = Moment(keys, "us-east-1", url, int(time.time())).sign(body).decode().splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    request = AWSRequest("POST", str(url), data=body)
    request.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials("AKID", "secret", token), "bedrock", "us-east-1")
    request.headers["X-Amz-Date"] = headers["X-Amz-Date"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert headers["Authorization"].endswith(f"Signature={signer.signature(text, request)}")


def test_a_schema_that_is_not_closed_is_sent_in_another_way_and_others_as_before():
    def answer(_, body):
        return json.dumps({"a": 1} if "outputConfig" in body else {"k": 1})

    with BedrockDouble(answer) as double, connect(double) as con:
        for return_type, value in (("STRUCT<a: INT>", {"a": 1}), ("MAP<STRING, INT>", {"k": 1})):
            sql = f"SELECT ai_query('m', 'q' || i, returnType => '{return_type}') FROM range(9) t(i)"
            assert con.sql(sql).fetchall() == [(value,)] * 9
        con.sql("SELECT ai_query('m', 'r', returnType => 'STRUCT<a: INT>')").fetchall()
    assert double.statuses == {200: 19}
    assert "outputConfig" in double.requests[-1][1]
