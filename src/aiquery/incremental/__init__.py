"""Only the rows that need it: fill columns of a table with answers, slice by slice, and go on where it stopped."""

from aiquery.incremental.dispatch import update
from aiquery.incremental.report import Report

__all__ = ["Report", "update"]
