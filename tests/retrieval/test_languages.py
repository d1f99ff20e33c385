"""Lexical search in the documents' own language, whatever its script; about two seconds."""

import bm25s
import pandas as pd
import pytest
import Stemmer

from embedlab.errors import ParameterError
from embedlab.retrieval import BM25, detect_language

ENGLISH = pd.Series(
    {
        "e1": "The adversary dumps credentials from the memory of running processes.",
        "e2": "Credentials are stored in files that anyone can read.",
        "e3": "A scanner maps the networks that it finds and leaves a note.",
    }
)

GERMAN = pd.Series(
    {
        "g1": "Die Häuser am Fluss wurden im Frühjahr überflutet.",
        "g2": "Der Angreifer verschlüsselt die Dateien auf dem Server und fordert Lösegeld.",
        "g3": "Die Bücher liegen auf den Tischen in der alten Schule.",
        "g4": "Das Wetter war gestern sehr schön, und alle gingen in den Garten.",
    }
)

SPANISH = pd.Series(
    {
        "s1": "Las casas junto al río se inundaron en primavera.",
        "s2": "El atacante cifra los archivos del servidor y exige un rescate.",
        "s3": "Los libros están sobre las mesas de la vieja escuela.",
        "s4": "Ayer hizo muy buen tiempo y todos fueron al jardín.",
    }
)

HINDI = pd.Series({"h1": "किताबें मेज़ पर रखी हैं", "h2": "नदी के पास एक घर है", "h3": "आज मौसम बहुत अच्छा है"})

JAPANESE = pd.Series(
    {"j1": "攻撃者はサーバーのファイルを暗号化する", "j2": "川の近くの家はよく浸水する", "j3": "今日は天気がいいです"}
)

CHINESE = pd.Series({"c1": "攻击者加密服务器上的文件", "c2": "河边的房子经常被淹", "c3": "今天天气很好"})

THAI = pd.Series({"t1": "ผู้โจมตีเข้ารหัสไฟล์บนเซิร์ฟเวอร์", "t2": "บ้านริมแม่น้ำมักถูกน้ำท่วม", "t3": "วันนี้อากาศดีมาก"})

KOREAN = pd.Series(
    {"k1": "공격자가 서버의 파일을 암호화한다", "k2": "강가의 집은 자주 침수된다", "k3": "오늘은 날씨가 좋다"}
)


def found(documents: pd.Series, query: str, language: str = "auto") -> list[str]:
    """Return the ids of the documents that BM25 finds, best first."""
    return BM25(documents, language=language).search(pd.Series({"q": query}))["doc_id"].tolist()


@pytest.mark.parametrize(
    ("documents", "language"),
    [
        (ENGLISH, "english"),
        (GERMAN, "german"),
        (SPANISH, "spanish"),
        (HINDI, "hindi"),
        (JAPANESE, "japanese"),
        (CHINESE, "chinese"),
        (THAI, "thai"),
        (KOREAN, "korean"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_language_is_found_out_from_the_documents(documents, language):
    assert BM25(documents).language == language


@pytest.mark.parametrize("texts", [[], [""], ["T1059.001 cmd /c"], ["otter river", "badger forest"], ["x = y + 1"]])
def test_what_cannot_be_told_is_taken_for_english(texts):
    assert detect_language(texts).name == "english"


def test_short_technical_english_is_english():
    commands = [f"find . -name '*.txt' -exec grep -l pattern{i} {{}} ;" for i in range(50)]
    titles = [f"{word} tract degeneration" for word in ("Spinocerebellar", "Corticospinal", "Optic", "Olfactory")]
    assert detect_language(commands).name == detect_language(titles).name == "english"


@pytest.mark.parametrize(
    ("documents", "query", "wanted"),
    [
        (GERMAN, "Buch Tisch", "g3"),
        (GERMAN, "haus überfluten", "g1"),
        (SPANISH, "libro mesa", "s3"),
        (SPANISH, "cifrar archivo", "s2"),
        (HINDI, "किताब", "h1"),
    ],
)
def test_inflected_words_match_by_their_own_languages_stemmer_alone(documents, query, wanted):
    assert found(documents, query) == [wanted]
    assert wanted not in found(documents, query, "none")


@pytest.mark.parametrize(
    ("documents", "query", "wanted"),
    [(GERMAN, "der und in den", []), (SPANISH, "los de la y el", []), (ENGLISH, "the of and", [])],
)
def test_stop_words_are_the_languages_own(documents, query, wanted):
    assert found(documents, query) == wanted


@pytest.mark.parametrize(
    ("documents", "query", "wanted"),
    [
        (JAPANESE, "ファイルの暗号化", "j1"),
        (JAPANESE, "浸水", "j2"),
        (CHINESE, "加密文件", "c1"),
        (THAI, "น้ำท่วม", "t2"),
        (KOREAN, "암호화된 파일", "k1"),
        (HINDI, "नदी", "h2"),
    ],
)
def test_scripts_without_spaces_and_words_with_marks_are_found(documents, query, wanted):
    assert found(documents, query)[0] == wanted


def test_marks_stay_inside_their_words():
    (tokens,) = BM25(HINDI, language="none").tokens(["हिन्दी में"])
    assert tokens == ["हिन्दी", "में"]


def test_a_language_without_a_stemmer_is_searched_word_for_word():
    documents = pd.Series({"u1": "Зловмисник шифрує файли на сервері", "u2": "Будинки біля річки часто затоплює"})
    assert BM25(documents).language == "ukrainian"
    assert found(documents, "файли") == ["u1"]
    assert found(documents, "файл") == []


def test_equal_words_written_by_other_code_points_match():
    assert found(pd.Series({"d1": "Das Scho\u0308ne und die Ha\u0308user", "d2": "Der Garten"}), "häuser", "de") == [
        "d1"
    ]
    assert found(pd.Series({"d1": "Datei\u00adsystem", "d2": "Garten"}), "Dateisystem", "de") == ["d1"]


def test_turkish_letters_are_lowered_as_in_turkish():
    documents = pd.Series({"d1": "IRMAK İZMİR", "d2": "deniz"})
    assert found(documents, "ırmak", "tr") == found(documents, "izmir", "turkish") == ["d1"]


def test_a_language_is_named_in_english_or_by_its_code():
    for name in ("german", "de", " German "):
        assert BM25(ENGLISH, language=name).language == "german"


@pytest.mark.parametrize(("name", "hint"), [("germann", "did you mean 'german'"), ("xx", "valid: "), ("", "valid: ")])
def test_an_unknown_language_is_refused_with_the_nearest(name, hint):
    with pytest.raises(ParameterError, match=hint):
        BM25(ENGLISH, language=name)


def test_english_search_is_bm25s_used_directly():
    queries = ["who dumped credential files?", "scanned network notes", "the adversary's memory", "nothing here: zebra"]
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(k1=1.5, b=0.75)
    index.index(
        bm25s.tokenize(ENGLISH.tolist(), stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False
    )
    asked = bm25s.tokenize(queries, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
    positions, scores = index.retrieve(asked, k=3, show_progress=False)
    wanted = []
    for number, (row, values) in enumerate(zip(positions, scores, strict=True)):
        wanted += [(f"q{number}", ENGLISH.index[at], float(v)) for at, v in zip(row, values, strict=True) if v > 0]
    run = BM25(ENGLISH).search(pd.Series(queries, index=[f"q{i}" for i in range(4)]), 3)
    assert len(wanted) >= 4
    assert list(run.itertuples(index=False, name=None)) == wanted
