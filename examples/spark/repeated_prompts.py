"""Equal prompts are one call, also over 200 partitions; nothing has to be made distinct. ``spark`` is a session."""

from pyspark.sql.functions import expr

df = (
    spark.range(1000)
    .selectExpr("concat('prompt ', id % 20) AS prompt")
    .repartition(200)
)
rows = df.withColumn("answer", expr("ai_query('my-model', prompt)")).collect()
