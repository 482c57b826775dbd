"""Update only the new tickets of a DuckDB file. Run it twice: the second run sends no request."""

import aiquery

con = aiquery.connect("tickets.duckdb")
con.sql(
    "CREATE TABLE IF NOT EXISTS tickets (ticket_id BIGINT, message VARCHAR, sentiment VARCHAR)"
)
con.sql("""
    INSERT INTO tickets SELECT i, 'Ticket ' || i || ': the parcel is late', NULL FROM range(20) t(i)
    WHERE i NOT IN (SELECT ticket_id FROM tickets)
""")
result = aiquery.update(
    "tickets",
    "sentiment = ai_query('my-model', 'POSITIVE, NEGATIVE or NEUTRAL? ' || message)",
    key="ticket_id",
    where="sentiment IS NULL",
    database=con,
)
print(result)
con.close()
