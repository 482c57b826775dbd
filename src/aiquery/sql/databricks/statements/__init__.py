"""The statements of Databricks SQL that are more than a translation: one file for each kind."""
