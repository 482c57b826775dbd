"""Equal prompts are one request, also over 200 partitions; a distinct is not needed. ``spark`` is a session."""

from pyspark.sql.functions import expr

df = (
    spark.range(1000)
    .selectExpr("concat('prompt ', id % 20) AS prompt")
    .repartition(200)
)
rows = df.withColumn("answer", expr("ai_query('my-model', prompt)")).collect()
