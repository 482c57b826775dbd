"""The packaged MiniLM model in the process."""

import pytest

pytestmark = pytest.mark.embeddings


@pytest.fixture(scope="module")
def con():
    pytest.importorskip("sentence_transformers")
    import aiquery

    with aiquery.connect() as con:
        yield con


ENDPOINT = "sentence_transformers:all-minilm-l6-v2"


@pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other
def test_similar_texts_have_similar_vectors_and_long_texts_are_counted_as_truncated(con):
    con.execute(
        "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a lost card'), (2, 'my card is missing'), "
        "(3, 'the weather is nice'), (4, repeat('word ', 2000)), (5, NULL)) v(id, s)"
    )
    con.sql(f"CREATE TABLE e AS SELECT id, ai_query('{ENDPOINT}', s) AS v FROM t")
    assert con.sql("SELECT DISTINCT len(v) FROM e WHERE v IS NOT NULL").fetchall() == [(384,)]
    near, far = con.sql("""SELECT list_cosine_similarity(a.v, b.v), list_cosine_similarity(a.v, c.v)
        FROM e a, e b, e c WHERE a.id = 1 AND b.id = 2 AND c.id = 3""").fetchall()[0]
    assert near > 0.6
    assert far < 0.3
    totals = con.ledger.totals[ENDPOINT]
    assert (totals.attempts, totals.truncated) == (1, 1)
    assert con.sql("SELECT v FROM e WHERE id = 5").fetchall() == [(None,)]
