"""Model cards: licence, languages and modality, whoever wrote them."""

import pytest

from embedlab.models import Card, read_card


def card(tmp_path, text):
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    return read_card(tmp_path)


def test_a_card_says_licence_and_language(tmp_path):
    assert card(tmp_path, "---\nlanguage: en\nlicense: apache-2.0\n---\n# Model\n") == Card("apache-2.0", ("en",))


def test_languages_may_be_a_list_and_norwegian_is_one(tmp_path):
    assert card(tmp_path, "---\nlanguage:\n- no\n- de\n---\n").languages == ("no", "de")


def test_a_model_of_images_says_so(tmp_path):
    assert card(tmp_path, "---\npipeline_tag: zero-shot-image-classification\n---\n").modality == "image"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Model\nlicense: mit\n",
        "---\nlicense: mit\n",
        "---\n: [\n---\n",
        "---\n- a\n---\n",
        "---\nlicense: 3\n---\n",
    ],
    ids=["empty", "no head", "open head", "damaged", "a list", "a number"],
)
def test_what_a_card_does_not_say_is_not_known(tmp_path, text):
    assert card(tmp_path, text) == Card("not stated", (), "text")


def test_a_folder_without_card_says_nothing(tmp_path):
    assert read_card(tmp_path) == Card()


def test_what_a_card_says_is_untrusted(tmp_path):
    assert card(tmp_path, '---\nlicense: "mit\\u202e\\n<b>"\n---\n').licence == "mit\\u202e\\n<b>"
