"""Only the rows that need it: fill columns of a table with answers, slice by slice, and go on where it stopped."""

from aiquery.updates.api import update
from aiquery.updates.result import UpdateResult

__all__ = ["UpdateResult", "update"]
