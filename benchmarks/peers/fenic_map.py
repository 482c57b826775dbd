# /// script
# dependencies = ["fenic>=0.13", "tqdm", "httpx"]
# ///
"""fenic: semantic.map with limits that do not bind."""

import os
import tempfile

os.environ["OPENAI_API_KEY"] = "none"
from measure import measure, parse_arguments, replace_tiktoken

replace_tiktoken()
import fenic as fc

url, prompts, concurrency = parse_arguments()
model = fc.OpenAILanguageModel(model_name="gpt-4.1-nano", rpm=10_000_000, tpm=10_000_000_000, base_url=url)
os.chdir(tempfile.mkdtemp())
session = fc.Session.get_or_create(
    fc.SessionConfig(app_name="peer", semantic=fc.SemanticConfig(language_models={"m": model}))
)


def answer():
    frame = session.create_dataframe({"s": prompts})
    column = fc.semantic.map("{{s}}", s=fc.col("s")).alias("a")
    return frame.select(column).to_pydict()["a"]


measure(answer, prompts)
