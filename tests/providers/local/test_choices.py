"""Labels by score: the tree of tokens, the calibration, and the choice by similarity."""

import asyncio
import math
from types import SimpleNamespace

import pytest

import aiquery
from aiquery.config.settings import Config
from aiquery.functions.ai_analyze_sentiment import AI_ANALYZE_SENTIMENT
from aiquery.functions.ai_classify import AI_CLASSIFY
from aiquery.functions.ai_filter import AI_FILTER
from aiquery.functions.ai_query import AI_QUERY
from aiquery.providers.local.llama_server import SavedPrompt
from aiquery.providers.local.shared_prompt import SharedPrompts
from aiquery.providers.local.slots import Slots
from aiquery.providers.local.token_scores import CALIBRATION_TEXTS, TokenChooser, score_paths, split_paths
from aiquery.requests.closed_reply import list_closed_replies
from aiquery.requests.request import Request

MODEL = "local:smollm2-135m-instruct"


class LetterServer:
    """A model whose tokens are letters. It prefers the letters of the text, and always ``x``."""

    can_save_prompts = True

    def __init__(self):
        self.calls = []
        self.saved = []

    def tokenize_chat(self, messages):
        return self.tokenize(messages[-1]["content"] + "\n")

    def tokenize(self, text):
        return [ord(letter) for letter in text]

    def save_prompt(self, slot, tokens):
        self.saved.append(tokens)
        return SavedPrompt(f"by slot {slot}", len(tokens))

    def restore_prompt(self, slot, saved):
        pass

    def score_tokens(self, prompt, tokens, *, slot=-1):  # noqa: ARG002
        self.calls.append(tokens)
        text = "".join(map(chr, prompt)).split("\n")[0]
        weights = {token: 1 + 3 * text.count(chr(token)) + 4 * (chr(token) == "x") for token in tokens}
        total = sum(weights.values())
        return {token: weight / total for token, weight in weights.items()}


def bind_labels(*labels):
    return AI_CLASSIFY.bind({"labels": list(labels), "endpoint": "local:org/other-model"}, Config()).template


def choose(template, *texts):
    server = LetterServer()

    async def go():
        slots = Slots(server, 2)
        shared_prompts = SharedPrompts(server, slots)
        chooser = TokenChooser(SimpleNamespace(llama=server, slots=slots), shared_prompts)
        answers = [await chooser.choose(Request(template, text)) for text in texts]
        await shared_prompts.close()
        await slots.close()
        return answers

    return asyncio.run(go()), server


@pytest.mark.parametrize(
    ("schema", "replies"),
    [
        ({"type": "boolean"}, ['{"f": true}', '{"f": false}']),
        ({"type": "string", "enum": ["a", 'b"c']}, ['{"f": "a"}', '{"f": "b\\"c"}']),
        ({"enum": [1, 2]}, ['{"f": 1}', '{"f": 2}']),
        ({"type": "string"}, None),
        ({"type": "string", "enum": ["only"]}, None),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, None),
    ],
)
def test_a_reply_of_a_few_values_is_recognized(schema, replies):
    root = {"type": "object", "properties": {"f": schema}, "required": ["f"]}
    assert list_closed_replies({"type": "json_schema", "json_schema": {"schema": root}}) == replies


def test_two_properties_are_not_a_few_values():
    boolean = {"type": "boolean"}
    root = {"type": "object", "properties": {"a": boolean, "b": boolean}, "required": ["a", "b"]}
    assert list_closed_replies({"type": "json_schema", "json_schema": {"schema": root}}) is None
    assert list_closed_replies(None) is None
    assert list_closed_replies({"type": "json_object"}) is None


def test_replies_are_split_where_they_differ():
    assert split_paths([[1, 2, 3, 9], [1, 2, 4, 9]]) == ([1, 2], [[3, 9], [4, 9]])


def test_labels_that_share_tokens_are_a_tree_with_one_call_per_branch():
    template = bind_labels("card_lost", "card_late", "refund")
    _, server = choose(template, "x")
    branches = [sorted(map(chr, tokens)) for tokens in server.calls[-2:]]
    assert branches == [["c", "r"], ["a", "o"]]


def test_a_label_that_another_one_begins_with_can_be_chosen():
    template = bind_labels("card", "cardboard")
    (answer,), _ = choose(template, '"""""""""')
    assert '"card"' in answer.text


def test_the_probabilities_of_all_labels_add_up_to_one():
    server = LetterServer()
    paths = [server.tokenize(f"{label}.") for label in ("alpha", "beta", "bet", "gamma")]
    scores = score_paths(server.tokenize("a text"), paths, server.score_tokens)
    assert sum(math.exp(score) for score in scores) == pytest.approx(1)


def test_calibration_corrects_what_the_model_always_prefers():
    """Uncalibrated, the model of this test would answer ``x`` to all of these."""
    template = bind_labels("q", "x")
    answers, _ = choose(template, "q x q", "x x", "q")
    assert ['"q"' in answer.text for answer in answers] == [True, False, True]
    assert all(0.5 <= answer.confidence <= 1 for answer in answers)


def test_the_reference_texts_are_scored_once_per_call():
    _, server = choose(bind_labels("a", "b"), "one", "two", "three")
    assert len(server.calls) == 3 + CALIBRATION_TEXTS


@pytest.mark.parametrize(
    "bind",
    [
        lambda: AI_CLASSIFY.bind({"labels": ["a", "b"], "endpoint": MODEL}, Config()),
        lambda: AI_ANALYZE_SENTIMENT.bind({"endpoint": MODEL}, Config()),
        lambda: AI_FILTER.bind({"endpoint": MODEL}, Config()),
        lambda: AI_QUERY.bind({"endpoint": MODEL, "returnType": "BOOLEAN"}, Config()),
    ],
)
def test_the_reference_texts_are_part_of_the_key(bind, monkeypatch):
    before = bind().template.digest
    assert before == bind().template.digest
    monkeypatch.setattr("aiquery.providers.local.provider.reference_digest", lambda: "other texts")
    assert bind().template.digest != before


def test_the_meaning_of_the_labels_is_part_of_the_key(monkeypatch):
    before = AI_CLASSIFY.bind({"labels": ["a", "b"], "endpoint": MODEL}, Config()).template.digest
    monkeypatch.setattr("aiquery.functions.ai_classify.LABEL_TEXTS", ("a {} text",))
    assert AI_CLASSIFY.bind({"labels": ["a", "b"], "endpoint": MODEL}, Config()).template.digest != before


def test_the_way_of_choosing_is_an_option_of_the_endpoint():
    def scoring(**options):
        endpoint = {"provider": "local", "model": "smollm2-135m-instruct", "options": options}
        config = Config({"endpoints": {"e": endpoint}})
        return AI_FILTER.bind({"endpoint": "e"}, config).template.scoring

    assert scoring().startswith("embeddings all-minilm-l6-v2")
    assert scoring(choose_by="token_probabilities").startswith("token_probabilities")
    assert scoring(choose_by="generation") == ""


def test_instructions_are_not_ignored_by_a_comparison_of_texts():
    arguments = {"labels": '["a", "b"]', "endpoint": MODEL, "options": {"instructions": "Prefer a."}}
    template = AI_CLASSIFY.bind(arguments, Config()).template
    assert template.choices is None
    assert "Prefer a." in template.prompt.system


def test_a_remote_endpoint_is_asked_as_before(serve):
    server = serve()
    config = {"endpoints": {"m": server.endpoint()}}
    template = AI_CLASSIFY.bind({"labels": ["a", "b"], "endpoint": "m"}, Config(config)).template
    assert template.scoring == ""


@pytest.mark.local_model
def test_the_answer_of_a_row_depends_on_that_row_alone():
    text = "I was charged twice for one order."
    calls = (
        "ai_classify(s, '[\"billing\", \"delivery\", \"praise\"]', map{'confidence': 'true'}), "
        "ai_analyze_sentiment(s), ai_filter(s, 'is about money')"
    )
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        alone = con.sql(f"SELECT {calls} FROM (SELECT '{text}' AS s)").fetchall()
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        con.execute(
            f"CREATE TABLE t AS SELECT 'the weather is fine today, number ' || i AS s FROM range(40) r(i) "
            f"UNION ALL SELECT '{text}'"
        )
        among_others = con.sql(f"SELECT {calls} FROM t WHERE s = '{text}' OR s LIKE '%1%'").fetchall()
    assert alone[0] in among_others
    assert '"billing"' in alone[0][0]


@pytest.mark.local_model
def test_a_long_text_is_read_to_its_end():
    """The embedding model reads 256 tokens at a time; the complaint stands behind them."""
    filler = "The shop opens at nine and closes at six. " * 40
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        con.execute(
            "CREATE TABLE t AS SELECT ? AS s UNION ALL SELECT ?",
            [filler + "This is terrible, I am very disappointed and angry. " * 40, filler],
        )
        rows = con.sql("SELECT ai_classify(s, ['negative', 'neutral', 'positive']) FROM t ORDER BY len(s) DESC")
        assert rows.fetchall() == [("negative",), ("neutral",)]


@pytest.mark.local_model
@pytest.mark.parametrize("choose_by", ["token_probabilities", "generation"])
def test_the_model_itself_chooses_if_the_endpoint_says_so(choose_by):
    endpoint = {"provider": "local", "model": "smollm2-135m-instruct", "options": {"choose_by": choose_by}}
    config = {"endpoints": {"e": endpoint}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        ((value, flag),) = con.sql(
            "SELECT ai_classify('The food was great!', ['praise', 'complaint'], endpoint => 'e'), "
            "ai_query('e', 'Is water wet?', returnType => 'BOOLEAN')"
        ).fetchall()
        tokens_out = [attempt.usage.tokens_out for attempt in con.ledger.attempts()]
    assert value in {"praise", "complaint"}
    assert isinstance(flag, bool)
    assert all(tokens_out) if choose_by == "generation" else not any(tokens_out)


@pytest.mark.local_model
def test_the_estimate_counts_the_tokens_that_are_read():
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        con.execute("CREATE TABLE t AS SELECT 'the invoice number ' || i || ' is wrong' AS s FROM range(20) r(i)")
        statement = "SELECT ai_classify(s, ['invoice', 'app']), ai_filter(s, 'is about money') FROM t"
        (figures,) = con.estimate(statement).endpoints
        con.sql(statement)
        (totals,) = con.ledger.totals.values()
    assert figures.tokens_in == totals.tokens_in > 0


@pytest.mark.local_model
@pytest.mark.parametrize("choose_by", ["embeddings", "token_probabilities"])
@pytest.mark.parametrize("blank", ["", "   ", "\n"])
def test_a_blank_text_fits_no_condition_and_has_no_sentiment(blank, choose_by):
    endpoint = {"provider": "local", "model": "smollm2-135m-instruct", "options": {"choose_by": choose_by}}
    with aiquery.connect(config={"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}) as con:
        rows = con.sql(
            "SELECT ai_filter(s, 'is a complaint', endpoint => 'm'), ai_analyze_sentiment(s, endpoint => 'm'), "
            "ai_classify(s, ['a', 'b'], endpoint => 'm') FROM (SELECT ? AS s)",
            params=[blank],
        ).fetchall()
    assert rows == [(False, None, "a")]
