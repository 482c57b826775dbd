"""Rows that fail are NULL and go to another model; counting them sends no request. ``spark`` is a session."""

from pyspark.sql.functions import col, expr

df = spark.range(100).selectExpr(
    "id", "concat(if(id % 10 = 0, 'poison ', 'text '), id) AS prompt"
)
result = df.withColumn("answer", expr("TRY(ai_query('my-model', prompt))"))
failed = result.filter(col("answer").isNull())
counts = result.count(), failed.count()
rescued = failed.withColumn("answer", expr("ai_query('another-model', prompt)"))
rows = rescued.collect()
