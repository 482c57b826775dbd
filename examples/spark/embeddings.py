"""Vectors in a pandas UDF: the loop over single texts is sent in batches. ``spark`` is a session."""

import pandas as pd
from pyspark.sql.functions import col, pandas_udf

import aiquery


@pandas_udf("array<double>")
def embed(texts: pd.Series) -> pd.Series:
    model = aiquery.Embedding(endpoint="my-embeddings")
    return pd.Series([model.embed(text[:512]).tolist() for text in texts])


chunks = spark.range(2000).selectExpr("id", "concat('chunk ', id) AS content")
embedded = chunks.withColumn("embedding", embed(col("content")))
rows = embedded.collect()
