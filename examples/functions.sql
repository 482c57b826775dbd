-- The AI functions have their own prompts. Run with --dialect databricks; the default model answers.
CREATE OR REPLACE TABLE tickets AS
SELECT * FROM (VALUES
  (1, 'I was charged twice for order 1001. Please refund me, Ana Ruiz, ana@example.com.'),
  (2, 'The app crashes whenever I open my invoices.'),
  (3, 'Thanks, everything works again. Great support!'),
  (4, CAST(NULL AS STRING))
) AS t(ticket_id, message);

SELECT
  ticket_id,
  ai_classify(message, ARRAY('billing', 'bug', 'praise')) AS topic,
  ai_analyze_sentiment(message) AS sentiment,
  TRY(ai_extract(message, ARRAY('name', 'order number')).name) AS name,
  TRY(ai_mask(message, ARRAY('person', 'email'))) AS masked
FROM tickets
ORDER BY ticket_id;

SELECT ai_agg(message, 'What do customers want?') AS wishes FROM tickets;
