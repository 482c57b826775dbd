# /// script
# dependencies = ["fenic>=0.13", "tqdm", "httpx"]
# ///
"""fenic: semantic.map with limits that do not bind."""

import os
import tempfile

os.environ["OPENAI_API_KEY"] = "none"
from measure import arguments, measured, without_downloads

without_downloads()
import fenic as fc

url, prompts, concurrency = arguments()
model = fc.OpenAILanguageModel(
    model_name="gpt-4.1-nano", rpm=10_000_000, tpm=10_000_000_000, base_url=url
)
os.chdir(tempfile.mkdtemp())
session = fc.Session.get_or_create(
    fc.SessionConfig(
        app_name="peer", semantic=fc.SemanticConfig(language_models={"m": model})
    )
)


def ask():
    frame = session.create_dataframe({"s": prompts})
    return frame.select(fc.semantic.map("{{s}}", s=fc.col("s")).alias("a")).to_pydict()[
        "a"
    ]


measured(ask, prompts)
