"""Starts Spark as a shared server, and prints what its sessions can do and what Spark shows of it, as JSON."""

import json
import sys
from pathlib import Path
from urllib.request import urlopen

import aiquery.spark


def run(session, *statements):
    """Return the rows of the last statement, or the error."""
    try:
        for statement in statements:
            rows = [tuple(row) for row in session.sql(statement).collect()]
    except Exception as error:  # noqa: BLE001  the test looks at it
        return str(error)
    return rows


def read_pages(context):
    """Return what the REST API and the pages of the UI show."""
    base = context.uiWebUrl
    application = f"{base}/api/v1/applications/{context.applicationId}"
    addresses = [f"{application}/environment", f"{application}/sql?details=true&planDescription=true"]
    addresses += [f"{application}/jobs", f"{application}/stages", f"{base}/environment/", f"{base}/SQL/"]
    return [urlopen(address, timeout=20).read().decode() for address in addresses]


def main(config, program, folder):
    options = {
        "spark.aiquery.lockConfiguration": "true",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": f"file://{folder}",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    names = {name.replace(".", "__"): value for name, value in options.items()}
    spark = aiquery.spark.session("local[1]", config, **names)
    spark.sparkContext.setLogLevel("OFF")
    other = spark.newSession()  # what a user of Connect or of the Thrift server has
    call = "SELECT ai_query('m', 'x' || id) FROM range(1)"
    own = json.dumps({"endpoints": {"m": {"provider": "fake"}}})
    found = {
        "a call": run(other, call),
        "an error": run(other, "SELECT ai_query('bad', 'x' || id) FROM range(1)"),
        "explain": run(other, f"EXPLAIN EXTENDED {call}"),
        "python": run(other, f"SET spark.aiquery.python={program}", call),
        "reset": run(other, "RESET spark.aiquery.python", call),
        "coordinator": run(other, "SET spark.aiquery.coordinator=off", call),
        "port": run(other, "RESET spark.aiquery.coordinator", "SET spark.aiquery.coordinator.port=1", call),
        "lock": run(other, "RESET spark.aiquery.coordinator.port", "SET spark.aiquery.lockConfiguration=false", call),
        "config": run(other, "RESET spark.aiquery.lockConfiguration", f"SET spark.aiquery.config={own}", call),
        "runs": run(other, "RESET spark.aiquery.config", "SELECT * FROM aiquery_runs()"),
        "settings": run(other, "SET"),
        "pages": read_pages(spark.sparkContext),
    }
    found["arguments"] = [
        path.read_bytes().decode("utf-8", "replace") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    ]
    spark.stop()
    found["event log"] = [path.read_text(errors="replace") for path in Path(folder).rglob("*") if path.is_file()]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
