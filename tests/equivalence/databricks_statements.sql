-- Statements of Databricks SQL around the AI functions. A line `-- name` begins one; the last statement's rows count.
-- The table tickets has the columns id, message, team, amount, day, tags and raw (JSON text).

-- prompt from several columns
SELECT id, ai_query('m', CONCAT('Classify: ', message, ' / ', team)) AS a FROM tickets
-- format_string
SELECT id, ai_query('m', format_string('%s has %d tags and %.2f EUR', message, size(tags), CAST(amount AS DOUBLE))) AS a FROM tickets
-- printf and upper
SELECT ai_gen(printf('%05d|%s', id, upper(message))) AS a FROM tickets WHERE id < 4
-- substring_index and trim
SELECT ai_query('m', trim(substring_index(message, ' ', 2))) AS a FROM tickets
-- regexp
SELECT ai_query('m', regexp_replace(message, '[0-9]+', '#')) AS a, regexp_extract(message, '([a-z]+)', 1) AS w FROM tickets
-- rlike filter
SELECT id, ai_query('m', message) AS a FROM tickets WHERE message RLIKE 'refund|crash'
-- like with backslash
SELECT id FROM tickets WHERE message LIKE '%50\%%' AND ai_filter(message, 'is it about a discount?')
-- ilike
SELECT id, ai_gen(message) AS a FROM tickets WHERE message ILIKE '%APP%'
-- dates
SELECT id, ai_query('m', CONCAT('On ', date_format(day, 'yyyy-MM-dd EEEE'), ': ', message)) AS a FROM tickets
-- date arithmetic
SELECT ai_query('m', CAST(date_add(day, 7) AS STRING)) AS a, add_months(day, 1) AS b, datediff(DATE'2024-12-31', day) AS c FROM tickets
-- interval filter
SELECT id, ai_query('m', message) AS a FROM tickets WHERE day >= DATE'2024-05-04' - INTERVAL 2 DAYS
-- months_between and last_day
SELECT ai_gen(CAST(last_day(day) AS STRING)) AS a, months_between(DATE'2024-12-31', day) AS m FROM tickets WHERE id <= 3
-- date_trunc groups
SELECT date_trunc('MONTH', day) AS month, count(ai_query('m', message)) AS n FROM tickets GROUP BY 1
-- array_join
SELECT ai_query('m', array_join(array_sort(tags), ', ')) AS a FROM tickets
-- transform with index
SELECT ai_query('m', array_join(transform(tags, (t, i) -> concat(i, ':', t)), ' ')) AS a FROM tickets
-- filter and exists
SELECT id, ai_gen(message) AS a FROM tickets WHERE exists(tags, t -> t = 'vip')
-- aggregate
SELECT ai_query('m', aggregate(tags, '', (acc, t) -> concat(acc, t), acc -> upper(acc))) AS a FROM tickets
-- explode
SELECT id, tag, ai_query('m', tag) AS a FROM tickets LATERAL VIEW explode(tags) x AS tag
-- posexplode outer
SELECT id, pos, ai_query('m', tag) AS a FROM tickets LATERAL VIEW OUTER posexplode(tags) x AS pos, tag
-- collect_list
SELECT team, ai_query('m', array_join(sort_array(collect_list(message)), ' | ')) AS a FROM tickets GROUP BY team
-- listagg
SELECT team, ai_query('m', listagg(message, '; ') WITHIN GROUP (ORDER BY id)) AS a FROM tickets GROUP BY team
-- collect_set and size
SELECT ai_gen(CAST(size(collect_set(team)) AS STRING)) AS a FROM tickets
-- map functions
SELECT ai_query('m', element_at(map('a', message, 'b', team), 'a')) AS a FROM tickets
-- map_keys
SELECT ai_query('m', array_join(map_keys(str_to_map('a:1,b:2', ',', ':')), '+')) AS a
-- struct and dots
SELECT s.x AS x, ai_query('m', s.x) AS a FROM (SELECT named_struct('x', message, 'y', id) AS s FROM tickets)
-- struct star
SELECT id, ai_query('m', to_json(struct(*))) AS a FROM (SELECT id, message, team FROM tickets)
-- to_json of named_struct
SELECT ai_query('m', to_json(named_struct('m', message, 't', tags, 'n', amount))) AS a FROM tickets
-- from_json
SELECT from_json(raw, 'STRUCT<kind: STRING, n: INT>').kind AS k, ai_query('m', from_json(raw, 'kind STRING, n INT').kind) AS a FROM tickets
-- get_json_object
SELECT ai_query('m', get_json_object(raw, '$.kind')) AS a, get_json_object(raw, '$.list[0]') AS l FROM tickets
-- path of json
SELECT id, v:kind::string AS k, v:list[1]::int AS second, ai_query('m', v:kind::string) AS a FROM (SELECT id, parse_json(raw) AS v FROM tickets WHERE id < 4)
-- path with quotes
SELECT parse_json(raw):['kind']::string AS k, parse_json(raw):n::int AS n FROM tickets WHERE id < 4
-- json_tuple
SELECT id, k, ai_gen(k) AS a FROM tickets LATERAL VIEW json_tuple(raw, 'kind') j AS k
-- parse_json
SELECT variant_get(parse_json(raw), '$.kind', 'string') AS k, ai_gen(variant_get(parse_json(raw), '$.kind', 'string')) AS a FROM tickets WHERE id < 4
-- return type struct
SELECT id, r.label, r.score FROM (SELECT id, ai_query('m', message, returnType => 'STRUCT<label: STRING, score: INT>') AS r FROM tickets)
-- return type array
SELECT id, ai_query('m', message, returnType => 'ARRAY<STRING>') AS a FROM tickets
-- return type int
SELECT sum(ai_query('m', message, returnType => 'INT')) AS s FROM tickets
-- return type decimal and date
SELECT ai_query('m', message, returnType => 'STRUCT<d: DECIMAL(6,2), b: BOOLEAN>') AS a FROM tickets WHERE id = 1
-- response format
SELECT get_json_object(ai_query('m', message, responseFormat => 'STRUCT<answer: STRUCT<label: STRING>>'), '$.label') AS a FROM tickets
-- path of an answer
SELECT parse_json(ai_query('m', message, responseFormat => 'STRUCT<answer: STRUCT<label: STRING, n: INT>>')):n::int AS n FROM tickets
-- fail on error struct
SELECT id, r.result, r.errorMessage IS NULL AS ok FROM (SELECT id, ai_query('m', message, failOnError => false) AS r FROM tickets)
-- fail on error with bad rows
SELECT id, r.result, r.errorMessage IS NOT NULL AS bad FROM (SELECT id, ai_query('m', CASE WHEN id = 2 THEN 'BAD' ELSE message END, failOnError => false) AS r FROM tickets)
-- try
SELECT id, try(ai_query('m', CASE WHEN id = 2 THEN 'BAD' ELSE message END)) AS a FROM tickets
-- model parameters
SELECT ai_query('m', message, modelParameters => named_struct('max_tokens', 20, 'temperature', 0.5, 'seed', 7)) AS a FROM tickets WHERE id < 3
-- messages
SELECT ai_query('m', named_struct('messages', array(named_struct('role', 'system', 'content', 'Be short.'), named_struct('role', 'user', 'content', message)))) AS a FROM tickets WHERE id < 3
-- null and empty
SELECT id, ai_query('m', nullif(team, 'web')) AS a, ai_query('m', '') AS e FROM tickets
-- classify version 1
SELECT id, ai_classify(message, ARRAY('billing', 'bug', 'other')) AS label FROM tickets
-- classify version 2
SELECT id, ai_classify(message, '["billing", "bug"]'):response[0]::string AS label FROM tickets
-- classify version 2 with descriptions
SELECT ai_classify(message, '{"billing": "money", "bug": "it fails"}', map('instructions', 'Be strict.')):response[0]::string AS label FROM tickets
-- classify version 2.1
SELECT ai_classify(message, '["billing", "bug"]', map('version', '2.1', 'enableRationales', 'true')):response[0].rationale::string AS r FROM tickets
-- classify version 2.1 confidence
SELECT ai_classify(message, '["billing", "bug"]', map('version', '2.1', 'enableConfidenceScores', 'true')):response[0].value::string AS v FROM tickets
-- classify several
SELECT ai_classify(message, '["billing", "bug"]', map('multilabel', 'true')):response AS labels FROM tickets WHERE id = 1
-- extract version 1
SELECT e.person, e.city FROM (SELECT ai_extract(message, ARRAY('person', 'city')) AS e FROM tickets)
-- extract version 2
SELECT ai_extract(message, '{"total": {"type": "integer"}, "who": {"type": "string"}}'):response.total::int AS total FROM tickets
-- extract version 2.1 citations
SELECT ai_extract(message, '{"who": {"type": "string"}}', map('version', '2.1', 'enableCitations', 'true')):response.who.value::string AS who FROM tickets
-- extract version 2.1 metadata
SELECT ai_extract(message, '["who"]', map('version', '2.1')):metadata.version::string AS v FROM tickets WHERE id = 1
-- extract precision
SELECT ai_extract(message, '["who"]', map('version', '2.1', 'mode', 'precision')):metadata.mode::string AS v FROM tickets
-- sentiment
SELECT ai_analyze_sentiment(message) AS s, count(*) AS n FROM tickets GROUP BY 1
-- grammar, summary, translation
SELECT ai_fix_grammar(message) AS g, ai_summarize(message, 10) AS s, ai_translate(message, 'de') AS t FROM tickets WHERE id < 3
-- mask
SELECT ai_mask(message, ARRAY('person')) IS NOT NULL AS m FROM tickets WHERE id = 1
-- filter
SELECT id FROM tickets WHERE ai_filter(message, 'is it a bug?')
-- similarity
SELECT ai_similarity('a', 'a') AS s
-- aggregate functions
SELECT team, ai_agg(message, 'what is it about?') AS a FROM tickets GROUP BY team
-- summary of a group
SELECT ai_summarize_agg(message) AS a FROM tickets
-- case when
SELECT id, CASE WHEN amount > 50 THEN ai_query('m', message) ELSE 'cheap' END AS a FROM tickets
-- if and coalesce
SELECT id, if(team = 'web', ai_query('m', message), team) AS a, coalesce(nullif(team, 'web'), ai_gen(message)) AS b FROM tickets
-- decode
SELECT id, decode(team, 'web', ai_query('m', message), 'none') AS a FROM tickets
-- having
SELECT team, count(*) AS n FROM tickets GROUP BY team HAVING ai_query('m', team) LIKE '%e%'
-- join
SELECT a.id, b.id AS other, ai_query('m', concat(a.message, b.message)) AS r FROM tickets a JOIN tickets b ON a.team = b.team AND a.id < b.id
-- anti join
SELECT id, ai_gen(message) AS a FROM tickets t LEFT ANTI JOIN (SELECT 2 AS id) x ON t.id = x.id
-- semi join
SELECT id, ai_gen(message) AS a FROM tickets t LEFT SEMI JOIN (SELECT 'web' AS team) x ON t.team = x.team
-- cte
WITH c AS (SELECT id, ai_query('m', message) AS a FROM tickets), d AS (SELECT * FROM c WHERE id < 4) SELECT d.id, d.a, c.a AS b FROM d JOIN c USING (id)
-- union
SELECT ai_query('m', message) AS a FROM tickets WHERE id < 3 UNION ALL SELECT ai_query('m', team) FROM tickets WHERE id > 3
-- except
SELECT ai_query('m', team) AS a FROM tickets EXCEPT SELECT ai_query('m', 'web')
-- window
SELECT id, ai_query('m', lag(message) OVER (ORDER BY id)) AS a FROM tickets
-- pivot
SELECT * FROM (SELECT team, ai_classify(message, ARRAY('billing', 'bug')) AS label, 1 AS one FROM tickets) PIVOT (count(one) FOR label IN ('billing' AS billing, 'bug' AS bug))
-- unpivot
SELECT id, k, ai_query('m', v) AS a FROM (SELECT id, message, team FROM tickets) UNPIVOT (v FOR k IN (message, team))
-- star except
SELECT * EXCEPT (tags, raw, day, amount), ai_gen(message) AS a FROM tickets
-- values
SELECT x, ai_query('m', y) AS a FROM VALUES (1, 'a'), (2, 'b'), (3, NULL) AS v(x, y)
-- values without names
SELECT col1, ai_query('m', col2) AS a FROM VALUES (1, 'a'), (2, 'b')
-- range
SELECT id, ai_query('m', concat('n', id)) AS a FROM range(2, 8, 3)
-- group by all
SELECT team, ai_query('m', team) AS a, count(*) AS n FROM tickets GROUP BY ALL
-- pipe
FROM tickets |> WHERE id < 4 |> EXTEND ai_query('m', message) AS a |> SELECT id, a
-- pipe with limit and filter
FROM tickets |> ORDER BY id |> LIMIT 3 |> WHERE team = 'web' |> SELECT id, ai_query('m', message) AS a
-- pipe with aggregate
FROM tickets |> AGGREGATE count(*) AS n, max(amount) AS top GROUP BY team |> EXTEND ai_query('m', team) AS a
-- pipe with set and drop
FROM tickets |> SELECT id, message, team |> SET message = upper(message) |> DROP team |> EXTEND ai_gen(message) AS a
-- pipe with join
FROM tickets |> AS t |> JOIN (SELECT 'web' AS team, 'W' AS code) AS c ON t.team = c.team |> SELECT t.id, ai_query('m', c.code) AS a
-- variable
DECLARE OR REPLACE VARIABLE v_prompt STRING DEFAULT 'Translate: ';
SELECT id, ai_query('m', v_prompt || message) AS a FROM tickets
-- variable that is set
DECLARE OR REPLACE VARIABLE v_low INT DEFAULT 1;
SET VAR v_low = (SELECT max(id) - 2 FROM tickets);
SELECT id, session.v_low AS low, ai_gen(message) AS a FROM tickets WHERE id > v_low
-- variable that a column hides
DECLARE OR REPLACE VARIABLE team STRING DEFAULT 'variable';
SELECT id, team, session.team AS v, ai_gen(session.team) AS a FROM tickets WHERE id < 3
-- variables of several types
DECLARE OR REPLACE VARIABLE v_labels ARRAY<STRING> DEFAULT array('x', 'y');
DECLARE OR REPLACE VARIABLE v_day DATE DEFAULT DATE'2024-05-02';
SELECT id, ai_query('m', array_join(v_labels, '|')) AS a, typeof(v_day) AS t FROM tickets WHERE day = v_day
-- identifier
SELECT IDENTIFIER('id'), ai_query('m', IDENTIFIER('message')) AS a FROM IDENTIFIER('tick' || 'ets')
-- identifier of a variable
DECLARE OR REPLACE VARIABLE v_table STRING DEFAULT 'tickets';
SELECT count(ai_gen(message)) AS n FROM IDENTIFIER(v_table)
-- execute immediate
EXECUTE IMMEDIATE 'SELECT id, ai_query(''m'', concat(?, message)) AS a FROM tickets WHERE id = ?' USING 'p: ', 2
-- execute immediate with names
DECLARE OR REPLACE VARIABLE v_sql STRING DEFAULT 'SELECT ai_query("m", :text) AS a';
EXECUTE IMMEDIATE v_sql USING 'hello' AS text
-- execute immediate into
DECLARE OR REPLACE VARIABLE v_n BIGINT;
EXECUTE IMMEDIATE 'SELECT count(*) FROM tickets WHERE team = ?' INTO v_n USING 'web';
SELECT v_n, ai_gen(CAST(v_n AS STRING)) AS a
-- temporary view
CREATE OR REPLACE TEMP VIEW answered AS SELECT id, ai_query('m', message) AS a FROM tickets;
SELECT * FROM answered WHERE id < 3
-- sql function
CREATE OR REPLACE TEMPORARY FUNCTION ask(x STRING) RETURNS STRING RETURN ai_query('m', concat('asked: ', x));
SELECT id, ask(message) AS a FROM tickets
-- table function
CREATE OR REPLACE TEMPORARY FUNCTION of_team(t STRING) RETURNS TABLE (id BIGINT, a STRING) RETURN SELECT id, ai_gen(message) FROM tickets WHERE team = t;
SELECT * FROM of_team('web')
-- by name
SELECT id, ai_gen(message) AS a FROM (SELECT 9 AS id, 'inserted' AS message) UNION ALL SELECT CAST(id AS INT) AS id, ai_gen(team) AS a FROM tickets WHERE id = 1
-- tablesample rows
SELECT count(ai_query('m', message)) AS n FROM tickets TABLESAMPLE (100 PERCENT)
-- limit
SELECT id, ai_query('m', message) AS a FROM tickets ORDER BY id LIMIT 2
-- order by answer
SELECT id, ai_query('m', message) AS a FROM tickets ORDER BY a, id
-- count distinct
SELECT count(DISTINCT ai_query('m', team)) AS n FROM tickets
-- grouping sets
SELECT team, count(ai_gen(team)) AS n FROM tickets GROUP BY GROUPING SETS ((team), ())
-- cast and arithmetic
SELECT id, ai_query('m', CAST(amount * 2 AS STRING)) AS a, CAST(amount AS INT) AS i, id DIV 2 AS d, id % 3 AS m FROM tickets
-- array index
SELECT id, ai_query('m', tags[0]) AS a FROM tickets WHERE size(tags) > 0
-- split and element_at
SELECT id, ai_query('m', element_at(split(message, ' '), -1)) AS a, split(message, ' ')[0] AS f FROM tickets
-- double quotes and escapes
SELECT ai_query("m", "it's a \"test\"\n") AS a, 'it''s' AS b
-- hints and comments
SELECT /*+ REPARTITION(4) */ id, /* the answer */ ai_query('m', message) AS a -- of the model
FROM tickets
-- subquery in the select list
SELECT id, (SELECT max(ai_gen(team)) FROM tickets) AS a FROM tickets WHERE id = 1
-- in a list of answers
SELECT id FROM tickets WHERE ai_classify(message, ARRAY('billing', 'bug')) IN ('bug')
-- current_date
SELECT ai_query('m', CAST(year(current_date()) > 2000 AS STRING)) AS a
-- md5 and sha2
SELECT ai_query('m', md5(message)) AS a, sha2(team, 256) AS h, crc32(message) AS c FROM tickets
-- lpad, repeat, reverse, initcap
SELECT ai_query('m', lpad(CAST(id AS STRING), 4, '0')) AS a, repeat('x', 3) AS r, reverse(team) AS v, initcap(message) AS i FROM tickets
-- nvl and nullif
SELECT nvl(nullif(team, 'web'), 'none') AS n, ai_query('m', nvl(nullif(team, 'web'), 'none')) AS a FROM tickets
-- texts of values
SELECT ai_query('m', concat('x ', CAST(amount AS DOUBLE), ' ', amount, ' ', day, ' ', id > 2, ' ', 1e7D * id, ' ', 1e-5D)) AS a FROM tickets
-- texts of times
SELECT ai_query('m', 'at ' || TIMESTAMP'2024-05-06 01:02:03.5' || ' on ' || day) AS a FROM tickets WHERE id = 1
-- texts of arrays and structs
SELECT ai_query('m', concat('t: ', CAST(tags AS STRING), CAST(named_struct('a', id, 'b', message, 'c', tags) AS STRING), CAST(map('k', amount) AS STRING))) AS a FROM tickets
-- texts of aggregates
SELECT ai_query('m', concat('n ', count(*), ' sum ', sum(amount), ' max ', max(day), ' avg ', round(avg(id), 2))) AS a FROM tickets
-- cast of aggregates
SELECT team, ai_query('m', CAST(CAST(avg(id) AS INT) AS STRING)) AS a, len(max(message)) AS l, sum(id) AS s, size(collect_list(id)) AS n FROM tickets GROUP BY team
-- concat_ws with other types
SELECT ai_query('m', concat_ws('|', id, amount, day, tags, NULL, 'end')) AS a FROM tickets
-- lateral alias
SELECT upper(message) AS u, len(u) AS n, ai_query('m', concat(u, n)) AS a FROM tickets
-- malformed json
SELECT id, from_json(raw, 'kind STRING, n INT') AS j, ai_query('m', coalesce(get_json_object(raw, '$.kind'), 'none')) AS a FROM tickets
-- sum over a window
SELECT id, ai_query('m', CAST(sum(id) OVER (ORDER BY id) AS STRING)) AS a, sum(id) OVER (PARTITION BY team) AS s, sum(id) FILTER (WHERE id > 1) OVER () AS f FROM tickets
-- lateral generator
SELECT t.id, e.tag, ai_query('m', e.tag) AS a FROM tickets t, LATERAL explode(t.tags) AS e(tag)
-- whole numbers in a prompt
SELECT ai_query('m', concat(ceil(amount), ' ', floor(CAST(amount AS DOUBLE)), ' ', amount div 2, ' ', id div 2)) AS a, ceil(CAST(amount AS DOUBLE)) AS c FROM tickets
-- rounding
SELECT ai_query('m', concat(round(1.005D, 2), ' ', round(2.675D, 2), ' ', round(-0.5D, 0), ' ', round(id * 0.125D, 2))) AS a FROM tickets
-- types of a function
CREATE OR REPLACE TEMPORARY FUNCTION third(x DECIMAL(10,2)) RETURNS DECIMAL(10,1) RETURN x * 0.5;
SELECT id, third(amount) AS t, ai_query('m', concat('half ', third(id))) AS a FROM tickets
-- strict json of an answer
SELECT id, from_json('{"a":"1","b":1.5,"c":2,"d":[1,"2"]}', 'a INT, b INT, c INT, d ARRAY<INT>') AS j, ai_query('m', message, returnType => 'INT') AS n FROM tickets WHERE id = 1
-- rollup
SELECT team, id > 2 AS late, count(ai_gen(team)) AS n FROM tickets GROUP BY team, id > 2 WITH ROLLUP
-- patterns of times
SELECT ai_query('m', date_format(TIMESTAMP'2024-05-06 15:02:03.045', 'yyyy-MM-dd\'T\'HH:mm:ss.SSS QQQ')) AS a, to_timestamp('06.05.2024 07:08 PM', 'dd.MM.yyyy hh:mm a') AS t, try_to_timestamp('6.5.2024', 'dd.MM.yyyy') AS n
-- ranks
SELECT id, row_number() OVER (ORDER BY id) AS r, dense_rank() OVER (ORDER BY team) AS d, ai_query('m', CAST(rank() OVER (ORDER BY team) AS STRING)) AS a FROM tickets
-- regular expressions with groups
SELECT ai_query('m', regexp_replace(message, '([a-z]+) ([a-z]+)', '$2 $1')) AS a, regexp_extract_all(message, '([a-z]+)', 1) AS w FROM tickets
-- arrays with null
SELECT array_union(tags, array('z')) AS u, array_except(tags, array('a')) AS e, ai_query('m', array_join(array('a', NULL, 'b'), ',', '?')) AS a FROM tickets
-- to_char
SELECT ai_query('m', concat('[', to_char(amount, '999,999.99'), ']')) AS a FROM tickets
-- decimals
SELECT id, amount * 1.19 AS gross, amount / 3 AS third, amount % 7 AS rest, amount + id AS more, amount - 0.5 AS less, ai_query('m', concat('costs ', amount * 2, ' or ', amount / 7)) AS a FROM tickets
-- averages of decimals
SELECT team, avg(amount) AS m, sum(amount) AS s, round(avg(amount), 2) AS r, try_avg(amount) AS t, ai_query('m', concat(team, ': ', avg(amount))) AS a FROM tickets GROUP BY team
-- shares
SELECT team, count(*) * 100.0 / sum(count(*)) OVER () AS share, ai_query('m', concat(team, round(count(*) * 100.0 / sum(count(*)) OVER (), 1))) AS a FROM tickets GROUP BY team
-- decimals over a window
SELECT id, avg(amount) OVER (PARTITION BY team) AS m, amount / sum(amount) OVER () AS part, sum(amount) FILTER (WHERE id > 2) OVER () AS f, ai_gen(CAST(avg(amount) OVER (ORDER BY id) AS STRING)) AS a FROM tickets
-- float beside other types
SELECT id, CAST(1.1 AS FLOAT) * id AS f, CAST(1.1 AS FLOAT) + 1.25 AS g, CAST(id AS TINYINT) + 1 AS t, ai_query('m', concat(CAST(1.1 AS FLOAT) * 2)) AS a FROM tickets WHERE id = 1
-- texts beside numbers
SELECT id, get_json_object(raw, '$.n') + 1 AS n, get_json_object(raw, '$.n') * 1.5 AS h, regexp_extract(message, '([0-9]+)', 1) * id AS p, ai_query('m', concat(get_json_object(raw, '$.n') / 2)) AS a FROM tickets WHERE id = 1 AND get_json_object(raw, '$.n') >= 1
-- options of json
SELECT id, from_json('{"d":"05.01.2024"}', 'd DATE', map('dateFormat', 'dd.MM.yyyy')) AS d, from_json(raw, schema_of_json('{"kind":"x","n":1}')) AS s, ai_query('m', to_json(named_struct('id', id, 'kind', get_json_object(raw, '$.kind')), map('ignoreNullFields', 'false'))) AS a FROM tickets
-- parts of arrays in json
SELECT ai_query('m', get_json_object('{"a":[{"b":1},{"b":2}]}', '$.a[*].b')) AS a, get_json_object('{"a b":"x"}', '$[\'a b\']') AS b
-- concat of columns
SELECT id, ai_query('m', message || amount || day) AS a, concat(team, amount, id) AS c, concat_ws(', ', array(id, 7)) AS w FROM tickets
-- texts of other types
SELECT id, lpad(id, 4, '0') AS p, left(day, 7) AS y, amount LIKE '9%' AS l, ai_query('m', concat(upper(team), substring(day, 1, 4))) AS a FROM tickets
-- intervals
SELECT id, day + INTERVAL 5 HOURS AS h, INTERVAL 1 DAY + day AS n, extract(HOUR FROM TIMESTAMP'2024-01-01 10:00:00') AS e, ai_query('m', concat('due ', day + INTERVAL '1 10:30:00' DAY TO SECOND)) AS a FROM tickets
-- sums of texts
SELECT team, sum(get_json_object(raw, '$.n')) AS s, avg(CAST(id AS STRING)) AS v, ai_gen(concat('n ', sum(CAST(id AS STRING)))) AS a FROM tickets GROUP BY team
-- latest value
SELECT team, max_by(get_json_object(raw, '$.kind'), id) AS k, ai_gen(max_by(message, id)) AS a FROM tickets GROUP BY team
-- lateral subqueries
SELECT t.id, l.x, ai_query('m', l.x) AS a FROM tickets t JOIN LATERAL (SELECT concat(t.team, '-', t.id) AS x) l ON true
-- generators in FROM
SELECT g.col AS c, ai_query('m', g.col) AS a FROM explode(array('p', 'q')) g
-- lateral alias of a struct
SELECT id, ai_query('m', 'Score: ' || message, returnType => 'STRUCT<score: INT, label: STRING>') AS r, r.score + 1 AS s FROM tickets
-- items of fields
SELECT id, from_json(raw, 'STRUCT<kind: STRING, list: ARRAY<INT>>').list[0] AS l, ai_gen(coalesce(get_json_object(raw, '$.list'), '-')) AS g FROM tickets WHERE id < 3
-- parts of a variant
SELECT pos, key, CAST(value AS STRING) AS v, ai_gen(CAST(value AS STRING)) AS g FROM tickets, LATERAL variant_explode(try_parse_json(raw)) WHERE id = 2
-- texts of counts
SELECT team, ai_gen(concat(count_if(amount > 10), max_by(team, amount))) AS g FROM tickets GROUP BY team
-- path of a variant in two steps
WITH p AS (SELECT id, try_parse_json(raw) AS v FROM tickets), k AS (SELECT id, v:kind AS kind, v:list AS list, v:list[0] AS f FROM p) SELECT id, kind::string AS s, f::int AS f, ai_query('m', concat('kind ', kind::string, ' of ', to_json(list))) AS a FROM k
-- label in two steps
WITH c AS (SELECT id, ai_classify(message, '["bug","billing"]') AS r FROM tickets), l AS (SELECT r:response[0] AS label FROM c) SELECT label::string AS s, count(*) AS n FROM l GROUP BY 1
-- texts of variants
SELECT v:price::string AS p, to_json(v) AS j, v:at::string AS l, ai_query('m', v::string) AS a FROM (SELECT parse_json('{"price":20.00,"name":"x","at":[1.50,1e3]}') AS v)
-- a column of variants
CREATE OR REPLACE TEMPORARY VIEW docs AS SELECT id, CAST(try_parse_json(raw) AS VARIANT) AS doc FROM tickets;
SELECT id, doc:kind::string AS k, schema_of_variant(doc) AS s, ai_gen(doc:list::string) AS g FROM docs
-- casts of values of a variant
SELECT t.pos, t.value::double AS d, CAST(t.value AS INT) AS i, ai_gen(t.value::string) AS g FROM LATERAL variant_explode(parse_json('[1, 2.9, "4"]')) AS t
-- items of casts
SELECT id, CAST(array(amount, id) AS ARRAY<INT>) AS i, CAST(named_struct('a', amount, 'b', day) AS STRUCT<n: INT, d: STRING>) AS s, ai_query('m', to_json(CAST(map('k', amount) AS MAP<STRING, STRING>))) AS a FROM tickets
-- fields of items
SELECT from_json('[{"n":"x","s":1},{"n":"y","s":2}]', 'ARRAY<STRUCT<n: STRING, s: INT>>') AS items, items.n AS names, ai_query('m', array_join(items.n, ', ')) AS a
-- fields of collected items
SELECT team, collect_list(struct(id, amount)).amount AS a, ai_gen(array_join(transform(collect_list(struct(id, message)), x -> x.message), '; ')) AS g FROM tickets GROUP BY team
-- row keys
SELECT id, xxhash64(message, team) AS k, hash(id, amount, day, tags) AS h, pmod(hash(team), 4) AS b, ai_gen(CAST(xxhash64(message) AS STRING)) AS g FROM tickets
-- sorted by a comparator
SELECT id, ai_gen(array_join(array_sort(tags, (l, r) -> CASE WHEN length(l) < length(r) THEN 1 WHEN length(l) > length(r) THEN -1 ELSE 0 END), ',')) AS g FROM tickets
-- highest struct
SELECT team, max(struct(nullif(amount, 99.99), message)) AS m, ai_query('m', max(struct(amount, message)).message) AS a FROM tickets GROUP BY team
-- distinct texts in order
SELECT ai_gen(listagg(DISTINCT team, ', ') WITHIN GROUP (ORDER BY team DESC)) AS g FROM tickets
-- a subquery in a text
SELECT id, ai_query('m', concat(message, ' (', (SELECT count(*) FROM tickets), ' in all)')) AS a, round(amount / (SELECT sum(amount) FROM tickets), 3) AS share FROM tickets
-- pivot of sums
SELECT * FROM (SELECT year(day) AS y, team, amount, ai_classify(message, ARRAY('bug', 'billing')) AS label FROM tickets) PIVOT (sum(amount) AS s, avg(amount), count(*) AS n FOR (team, label) IN (('app', 'bug') AS a, ('web', 'billing')))
-- pivot of an expression
SELECT team, y2024, ai_gen(concat('EUR ', y2024)) AS g FROM (SELECT team, year(day) AS y, amount FROM tickets) PIVOT (round(sum(amount), 1) FOR y IN (2024 AS y2024, 2025))
-- function with a query
CREATE OR REPLACE TEMPORARY FUNCTION team_size(t STRING) RETURNS BIGINT RETURN (SELECT count(*) FROM tickets WHERE team = t);
SELECT id, team_size(team) AS n, ai_gen(concat(team, ' has ', team_size(team))) AS g FROM tickets
-- function with defaults
CREATE OR REPLACE TEMPORARY FUNCTION gross(net DOUBLE, rate DOUBLE DEFAULT 0.19) RETURNS INT COMMENT 'with tax' RETURN net * (1 + rate);
SELECT id, gross(amount) AS g, gross(amount, 0.5) AS h, ai_gen(concat(gross(rate => 0, net => amount), ' EUR')) AS a FROM tickets
-- function over an aggregate
CREATE OR REPLACE TEMPORARY FUNCTION label(n STRING) RETURNS STRING RETURN concat('<', n, '>');
SELECT team, label(sum(amount)) AS l, ai_query('m', label(count(*))) AS a FROM tickets GROUP BY team
-- function of tables with types
CREATE OR REPLACE TEMPORARY FUNCTION of_team(t STRING) RETURNS TABLE (id INT, note STRING) RETURN SELECT id, message FROM tickets WHERE team = t;
SELECT x.id, x.note, ai_query('m', x.note) AS a FROM of_team('web') AS x
-- intervals of columns
SELECT id, day + INTERVAL 1 MONTH * id AS m, day + INTERVAL 1 DAY * id AS d, CAST(day AS TIMESTAMP) + make_interval(0, 0, 0, CAST(id AS INT)) AS t, ai_gen(CAST(day + make_interval(0, 1) AS STRING)) AS g FROM tickets
-- percentiles of an order
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id) AS d, percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) AS c, ai_gen(concat('median ', percentile_disc(0.5) WITHIN GROUP (ORDER BY amount))) AS g FROM tickets
-- long settings
SET spark.sql.adaptive.coalescePartitions.enabled = true;
SELECT id, bround(amount / 4, 1) AS b, ai_gen(team) AS g FROM tickets
