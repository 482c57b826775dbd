"""Cross-encoders, LoRA adapters and projectors: files that this test writes, run by llama.cpp.

No package has real ones. These have the right form and random weights: they show that a file is loaded and used.
"""

import struct
import subprocess
import sys
import zlib

import gguf
import numpy as np
import pytest

import aiquery
from aiquery.errors import ConfigError, ModelFileError
from aiquery.providers.local.model_file import find_model
from aiquery.providers.local.rerank_model import to_probability

pytestmark = pytest.mark.local_model
RANK = 4


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """Return a BERT model with a head that gives one number for a pair of texts."""
    path = tmp_path_factory.mktemp("rerank") / "cross-encoder.gguf"
    reader = gguf.GGUFReader(find_model("all-minilm-l6-v2"))
    writer = gguf.GGUFWriter(path, "bert")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in {"general.architecture", "bert.pooling_type"}:
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=item)
    writer.add_pooling_type(gguf.PoolingType(RANK))
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    rng = np.random.default_rng(1)
    writer.add_tensor("cls.output.weight", rng.normal(size=(1, 384)).astype(np.float32))
    writer.add_tensor("cls.output.bias", np.zeros(1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_adapter(path, strength):
    """Write a LoRA adapter for one matrix of the packaged model."""
    rng = np.random.default_rng(2)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    size = 576
    for block in range(30):
        name = f"blk.{block}.attn_output.weight"
        writer.add_tensor(f"{name}.lora_a", rng.normal(size=(4, size)).astype(np.float32))
        writer.add_tensor(f"{name}.lora_b", (strength * rng.normal(size=(size, 4))).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_projector(path):
    """Write a vision encoder of two layers and LLaVA's projector, into the space of the packaged model."""
    width, inner, patch, size, target = 32, 64, 14, 56, 576
    rng = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, "clip")
    for name in ("has_vision_encoder", "has_llava_projector", "use_gelu"):
        writer.add_bool(f"clip.{name}", val=True)
    writer.add_string("clip.projector_type", "mlp")
    numbers = {"image_size": size, "patch_size": patch, "embedding_length": width, "feed_forward_length": inner}
    numbers |= {"block_count": 2, "projection_dim": target, "attention.head_count": 2}
    for name, number in numbers.items():
        writer.add_uint32(f"clip.vision.{name}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5] * 3)
    writer.add_array("clip.vision.image_std", [0.5] * 3)
    shapes = {
        "v.patch_embd.weight": (width, 3, patch, patch),
        "v.class_embd": (width,),
        "v.position_embd.weight": ((size // patch) ** 2 + 1, width),
    }
    layers = {"v.pre_ln": (width,), "mm.0": (target, width), "mm.2": (target, target)}
    for block in range(2):
        layers |= {f"v.blk.{block}.{name}": (width,) for name in ("ln1", "ln2")}
        layers |= {f"v.blk.{block}.attn_{name}": (width, width) for name in ("q", "k", "v", "out")}
        layers |= {f"v.blk.{block}.ffn_up": (inner, width), f"v.blk.{block}.ffn_down": (width, inner)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name, shape in shapes.items():
        writer.add_tensor(name, (0.3 * rng.normal(size=shape)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_png(*colour):
    """Return an image of 64 by 64 equal points."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    points = zlib.compress((b"\0" + bytes(colour) * 64) * 64)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", points) + chunk(b"IEND", b"")


def test_a_projector_lets_a_model_read_images(tmp_path):
    path = tmp_path / "mmproj.gguf"
    write_projector(path)
    endpoint = {"provider": "local", "model": "smollm2-135m-instruct", "options": {"slots": 2, "mmproj": str(path)}}
    config = {"endpoints": {"e": endpoint}, "cache": {"store": "memory:"}}
    images = [make_png(255, 0, 0), make_png(0, 0, 255), b"no image"]
    with aiquery.connect(config=config) as con:
        con.execute("CREATE TABLE i AS SELECT unnest($1) AS image", [images])
        answers = con.sql(
            "SELECT ai_query('e', 'Describe it.', files => image, failOnError => false, "
            "modelParameters => {'max_tokens': 12}) FROM i"
        ).fetchall()
        text = con.sql("SELECT ai_query('e', 'Describe it.', modelParameters => {'max_tokens': 12})").fetchall()
        tokens = [attempt.usage.tokens_in for attempt in con.ledger.attempts() if attempt.ending != "failed"]
    red, blue, broken = (answer for (answer,) in answers)
    assert red["errorMessage"] is blue["errorMessage"] is None
    assert len({red["result"], blue["result"], text[0][0]}) == 3
    assert "image" in broken["errorMessage"]
    assert tokens[:2] == [tokens[2] + 16] * 2  # one token for each part of the image


def test_a_cross_encoder_scores_pairs_and_each_one_alone_the_same(cross_encoder):
    endpoint = {"provider": "local", "model": str(cross_encoder), "task": "rerank"}
    config = {"endpoints": {"r": endpoint}, "defaults": {"rerank": "r"}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        con.execute("CREATE TABLE d AS SELECT 'document ' || i || repeat(' and more', i % 5) AS s FROM range(20) r(i)")
        together = con.sql("SELECT s, ai_rerank('which one?', s) FROM d ORDER BY s").fetchall()
        attempts = sum(totals.attempts for totals in con.ledger.totals.values())
        assert attempts == 1
    scores = [score for _, score in together]
    assert len(set(scores)) > 10
    assert all(0 <= score <= 1 for score in scores)
    with aiquery.connect(config=config) as con:
        ((alone,),) = con.sql("SELECT ai_rerank('which one?', ?)", params=[together[7][0]]).fetchall()
    assert alone == pytest.approx(scores[7], abs=1e-3)


@pytest.mark.parametrize(("logit", "probability"), [(0.0, 0.5), (800.0, 1.0), (-800.0, 0.0), (2.0, 0.880797)])
def test_a_logit_becomes_a_probability(logit, probability):
    assert to_probability(logit) == pytest.approx(probability, abs=1e-6)


def ask(**options):
    endpoint = {"provider": "local", "model": "smollm2-135m-instruct", "options": {"slots": 1, **options}}
    config = {"endpoints": {"e": endpoint}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        return con.sql("SELECT ai_query('e', 'Name three colours.', modelParameters => {'max_tokens': 12})").fetchall()[
            0
        ][0]


def test_a_lora_adapter_changes_the_answers_by_its_scale(tmp_path):
    path = tmp_path / "adapter.gguf"
    write_adapter(path, strength=0.5)
    base = ask()
    assert ask(lora=str(path)) != base
    assert ask(lora=f"{path}=0.0") == base


def test_a_bad_adapter_or_projector_is_an_error_that_names_it(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"PK not a model")
    with pytest.raises(ModelFileError, match=r"x\.gguf is not GGUF"):
        ask(lora=str(tmp_path / "x.gguf"))
    with pytest.raises(ModelFileError, match=r"x\.gguf is not GGUF"):
        ask(mmproj=str(tmp_path / "x.gguf"))
    write_adapter(tmp_path / "adapter.gguf", strength=0.5)
    with pytest.raises(ConfigError, match="must be a number"):
        ask(lora=f"{tmp_path / 'adapter.gguf'}=much")
    endpoint = {"provider": "local", "model": str(tmp_path / "adapter.gguf")}
    with (
        aiquery.connect(config={"endpoints": {"e": endpoint}}) as con,
        pytest.raises(ModelFileError, match="is a part of a model"),
    ):
        con.sql("SELECT ai_query('e', 'a')")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slot": 4}, "unknown option 'slot'"),
        ({"choose_by": "luck"}, "allowed: embeddings, token_probabilities"),
        ({"slots": "zero"}, "slots must be an integer from 1 to 256, not 'zero'"),
        ({"slots": True}, "slots must be an integer"),
        ({"slots": 100_000}, "slots must be an integer from 1 to 256"),
        ({"threads": 5000}, "threads must be an integer from 1 to 512"),
        ({"threads": 0}, "threads must be an integer"),
    ],
)
def test_an_option_that_does_not_exist(options, message):
    with pytest.raises(ConfigError, match=message):
        ask(**options)


def test_an_image_for_a_model_without_a_projector_is_the_error_of_its_row():
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
        ((message,),) = con.sql(
            "SELECT ai_query('local:smollm2-135m-instruct', 'What is this?', failOnError => false, "
            "files => ?::BLOB).errorMessage",
            params=[png],
        ).fetchall()
    assert "mmproj" in message


@pytest.mark.parametrize(
    ("settings", "call", "message"),
    [
        ({"model": "all-minilm-l6-v2", "task": "chat"}, "ai_query('e', 'a')", "is a model for task = 'embedding'"),
        (
            {"model": "all-minilm-l6-v2", "task": "rerank"},
            "ai_rerank('a', 'b', endpoint => 'e')",
            "for task = 'embedding'",
        ),
        ({"model": "{minilm}", "task": "rerank"}, "ai_rerank('a', 'b', endpoint => 'e')", "no cross-encoder"),
        ({"model": "{smollm}", "task": "embedding"}, "ai_embed('a', endpoint => 'e')", "set options = . pooling"),
        ({"model": "{minilm}"}, "ai_query('e', 'a')", "is an embedding model, which writes nothing"),
        (
            {"model": "{smollm}", "options": {"mmproj": "{minilm}"}},
            "ai_query('e', 'a')",
            "mmproj: .* no image projector",
        ),
        ({"model": "{smollm}", "options": {"lora": "{minilm}"}}, "ai_query('e', 'a')", "lora: .* no LoRA adapter"),
        ({"model": "{smollm}", "context_window": -1}, "ai_query('e', 'a')", "context_window must be"),
    ],
)
def test_a_model_of_another_kind_is_refused(settings, call, message):
    paths = {"{minilm}": find_model("all-minilm-l6-v2"), "{smollm}": find_model("smollm2-135m-instruct")}
    model = str(paths.get(settings["model"], settings["model"]))
    options = {name: str(paths[value]) for name, value in settings.get("options", {}).items()}
    config = {
        "endpoints": {"e": {"provider": "local", **settings, "model": model, "options": options}},
        "cache": {"store": "memory:"},
    }
    with aiquery.connect(config=config) as con, pytest.raises((ConfigError, ModelFileError), match=message):
        con.sql(f"SELECT {call}")


def test_the_interpreter_ends_with_a_cross_encoder_loaded(cross_encoder):
    code = (
        "import aiquery\n"
        f"endpoint = {{'provider': 'local', 'model': {str(cross_encoder)!r}, 'task': 'rerank'}}\n"
        "con = aiquery.connect(config={'endpoints': {'r': endpoint}, 'cache': {'store': 'memory:'}})\n"
        "print(con.sql(\"SELECT ai_rerank('a', 'b', endpoint => 'r')\").fetchall())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
