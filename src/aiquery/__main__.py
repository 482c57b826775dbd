"""``python -m aiquery`` is the command ``aiquery``."""

from __future__ import annotations

from aiquery.cli.main import main

if __name__ == "__main__":
    main()
