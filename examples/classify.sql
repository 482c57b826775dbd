CREATE OR REPLACE TABLE support_tickets AS
SELECT * FROM VALUES
  (1, 'I was charged twice this month, please refund me.', current_timestamp()),
  (2, 'The new dashboard is wonderful, thank you!', current_timestamp()),
  (3, 'I was charged twice this month, please refund me.', current_timestamp()),
  (4, 'An old ticket that the WHERE clause leaves out.', current_timestamp() - INTERVAL 30 DAYS),
  (5, NULL, current_timestamp())
AS t(ticket_id, customer_message, timestamp);

CREATE OR REPLACE TABLE support_tickets_classified AS
SELECT
    ticket_id,
    ai_query(
        'my-model',
        CONCAT('Classify sentiment as POSITIVE, NEGATIVE, or NEUTRAL: ', customer_message),
        responseFormat => 'STRUCT<answer: STRUCT<sentiment: STRING>>'
    ) AS sentiment
FROM support_tickets
WHERE timestamp >= current_date - INTERVAL 7 DAYS;

SELECT * FROM support_tickets_classified ORDER BY ticket_id;
