"""Our objects in the JVM of a classic session, also where their jar was added when the session ran already."""

from __future__ import annotations

from typing import Any


def scala_object(session: Any, name: str) -> Any:
    """Return the Scala object ``name`` of our jar."""
    loader = session._jsparkSession.sharedState().jarClassLoader()  # noqa: SLF001  there is no other door to it
    java = session._jvm.java.lang  # noqa: SLF001
    found = java.Class.forName(f"org.apache.spark.sql.aiquery.{name}$", True, loader)  # noqa: FBT003
    return found.getField("MODULE$").get(None)
