"""Search logs: what was clicked answers every wording that came before it."""

from given_files import file, found_by_query, given

from embedlab.trainset.sources import search_log

SEARCHES = """query,time,session,document
cannot get in,2026-01-01T10:00:00,s1,
lunch menu,2026-01-01T08:00:00,s1,
Cannot get in!,2026-01-01T10:00:20,s1,
forgot login,2026-01-01T10:00:40,s1,
reset password,2026-01-01T10:01:00,s1,d1
bill,1767261600,s2,d2
bill missing,1767261610,s2,
other person,2026-01-01T10:00:30,s3,
"""


def test_every_wording_until_a_click_is_a_candidate_within_session_and_time(tmp_path):
    own = given(search_log=file(tmp_path, "log.csv", SEARCHES), chunk=3)
    kinds = {e.query: (e.kind, e.positives, e.weight) for e in own.examples}
    assert kinds == {
        "reset password": ("search log", ["d1"], 1.0),
        "forgot login": ("reformulation", ["d1"], search_log.CANDIDATE),
        "cannot get in": ("reformulation", ["d1"], search_log.CANDIDATE),
        "bill": ("search log", ["d2"], 1.0),
    }
    assert "log.csv:2, rewritten until row 6" in next(e.where for e in own.examples if e.query == "cannot get in")


def test_the_order_of_a_search_log_does_not_matter(tmp_path):
    head, *rows = SEARCHES.splitlines(keepends=True)
    turned = file(tmp_path, "turned.csv", head + "".join(reversed(rows)))
    plain = file(tmp_path, "plain.csv", SEARCHES)
    assert found_by_query(given(search_log=turned)) == found_by_query(given(search_log=plain))


def test_a_time_that_is_none_is_named(tmp_path):
    own = given(search_log=file(tmp_path, "log.csv", SEARCHES + "x,yesterday,s4,d1\n"))
    assert [(f.kind, f.detail[:20]) for f in own.findings] == [("malformed", "no time: 'yesterday'")]
