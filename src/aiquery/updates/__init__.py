"""``aiquery.update``: fill columns of a table with answers, only for the rows that need one."""

from aiquery.updates.api import update
from aiquery.updates.result import UpdateResult

__all__ = ["UpdateResult", "update"]
