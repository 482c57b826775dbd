"""The value of ``spark.python.daemon.module``: forks Python workers with everything imported."""

from __future__ import annotations

from aiquery.engines.spark.executor.daemon import main

if __name__ == "__main__":
    main()
