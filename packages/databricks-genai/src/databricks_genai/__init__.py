"""``from databricks_genai import Embedding``: aiquery's, for code that was written with this import."""

from aiquery import Embedding

__all__ = ["Embedding"]
