"""The Scala objects of the extension, also if its jar was added to a session that existed."""

from __future__ import annotations

from typing import Any


def scala_object(session: Any, name: str) -> Any:
    """Return the Scala object ``name`` of the extension."""
    loader = session._jsparkSession.sharedState().jarClassLoader()  # noqa: SLF001  PySpark has no public way
    java = session._jvm.java.lang  # noqa: SLF001
    found = java.Class.forName(f"org.apache.spark.sql.aiquery.{name}$", True, loader)  # noqa: FBT003
    return found.getField("MODULE$").get(None)
