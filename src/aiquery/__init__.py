"""ai_query() and the AI functions of Databricks SQL, anywhere."""

from __future__ import annotations
