"""Nothing is made into text or into tokens that is neither."""

import re

import pytest

from btard.errors import UserError
from btard.tasks.data.columns import text_of, tokens_of


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (3, "a number"),
        (float("nan"), "a number"),
        (True, "a truth value"),
        (b"bytes", "bytes"),
        (["a"], "a list"),
        ({"a": "b"}, "an object"),
        (object(), "object"),
    ],
)
def test_only_text_is_text(value: object, kind: str) -> None:
    with pytest.raises(UserError, match=f"^row 7 of it has {kind} in the column 'text', which must hold text or null"):
        text_of({"text": value}, 7, "it")


def test_null_and_blanks_are_no_document() -> None:
    assert [text_of(row, 1, "it") for row in ({"text": None}, {"text": " \n"})] == [None] * 2
    assert text_of({"text": " two words\n"}, 1, "it") == "two words"


def test_a_row_without_the_column_is_not_left_out() -> None:
    with pytest.raises(UserError, match="row 9 of it has no column 'text', which others have"):
        text_of({"txt": "words"}, 9, "it")
    with pytest.raises(UserError, match="row 9 of it has no column 'input_ids', which others have"):
        tokens_of({"token_type_ids": [0]}, 9, "it")


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(UserError, match="row 2 of it has half of a surrogate pair"):
        text_of({"text": "a \ud800 b"}, 2, "it")


@pytest.mark.parametrize("value", ["12", 1, [1.5], [True], ["1"], [None], [[1], [2]], [[1], [2, 3]], [2**70], {}])
def test_only_whole_numbers_are_tokens(value: object) -> None:
    with pytest.raises(UserError, match=r"^row 3 of it must have a list of whole numbers in the column 'input_ids'"):
        tokens_of({"input_ids": value}, 3, "it")


def test_tokens_come_in_the_document_s_order() -> None:
    row = {"input_ids": [1, 2, 3], "token_type_ids": [0, 1, 1], "sentence_order_label": 1}
    for changed, segments in (
        ({}, [[2, 3], [1]]),
        ({"sentence_order_label": 0}, [[1], [2, 3]]),
        ({"token_type_ids": None, "sentence_order_label": None}, [[1, 2, 3], []]),
        ({"input_ids": [], "token_type_ids": []}, [[], []]),
    ):
        found = tokens_of(row | changed, 1, "it")
        assert found is not None
        assert [tokens.tolist() for tokens in found.segments] == segments
    assert tokens_of({"input_ids": None}, 1, "it") is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"token_type_ids": [0, 1]}, "must have a 0 or a 1 in 'token_type_ids' for each of 'input_ids'"),
        ({"token_type_ids": [0, 1, 7]}, "must have a 0 or a 1 in 'token_type_ids'"),
        ({"token_type_ids": "011"}, "must have a list of whole numbers in the column 'token_type_ids'"),
        ({"sentence_order_label": "1"}, "has '1' in 'sentence_order_label', which must hold 0 or 1"),
        ({"sentence_order_label": 2}, "has 2 in 'sentence_order_label'"),
    ],
)
def test_columns_that_do_not_fit_are_refused(changed: dict[str, object], says: str) -> None:
    row = {"input_ids": [1, 2, 3], "token_type_ids": [0, 1, 1], "sentence_order_label": 0}
    with pytest.raises(UserError, match=re.escape(f"row 9 of it {says}")):
        tokens_of(row | changed, 9, "it")
