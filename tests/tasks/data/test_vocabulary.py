from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.errors import UserError
from btard.tasks.data import vocabulary
from btard.tasks.data.vocabulary import CharacterEncoder, LibraryEncoder, TokenizerKind, TokenizerRequest, load, train


def request(kind: TokenizerKind, size: int = 300, specials: tuple[str, ...] = ("<unk>", "<end>")) -> TokenizerRequest:
    return TokenizerRequest(kind=kind, vocabulary_size=size, specials=specials, separator=None)


TEXTS = ["Now is the winter of our discontent\nMade glorious summer by this sun of York;", "A horse! a horse!"]


@given(st.text())
def test_the_character_table_encodes_as_the_library_does(text: str) -> None:
    encoder = CharacterEncoder("\n abcXYZäß", ("<unk>", "<end>"), unknown="<unk>")
    assert encoder.encode([text])[0].tolist() == LibraryEncoder(encoder.tokenizer).encode([text])[0].tolist()


def test_characters_beyond_the_vocabulary_are_unknown() -> None:
    encoder = train(request(TokenizerKind.CHARACTERS, size=4), iter(["aaabbc"]))
    assert encoder.encode(["abcé"])[0].tolist() == [2, 3, 0, 0]


@pytest.mark.parametrize("kind", [TokenizerKind.CHARACTERS, TokenizerKind.BYTE_PAIRS])
def test_lossless_kinds_give_the_text_back(kind: TokenizerKind) -> None:
    encoder = train(request(kind), iter(TEXTS))
    for text in TEXTS:
        assert encoder.tokenizer.decode(encoder.encode([text])[0].tolist()) == text


def test_byte_pairs_give_back_what_was_never_trained_on() -> None:
    encoder = train(request(TokenizerKind.BYTE_PAIRS), iter(TEXTS))
    assert encoder.tokenizer.decode(encoder.encode(["日本 🎉"])[0].tolist()) == "日本 🎉"


def test_word_pieces_are_uncased() -> None:
    encoder = train(request(TokenizerKind.UNCASED_WORD_PIECES, size=120), iter(TEXTS))
    upper, lower = encoder.encode(["A HORSE!", "a horse!"])
    assert upper.tolist() == lower.tolist()
    assert encoder.tokenizer.decode(lower.tolist()) == "a horse!"


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_training_repeats_and_numbers_special_tokens_first(kind: TokenizerKind) -> None:
    one, two = (train(request(kind), iter(TEXTS)).tokenizer for _ in range(2))
    assert one.to_str() == two.to_str()
    assert [one.token_to_id(token) for token in ("<unk>", "<end>")] == [0, 1]


@pytest.mark.parametrize("kind", [TokenizerKind.CHARACTERS, TokenizerKind.UNCASED_WORD_PIECES])
def test_an_empty_corpus_is_refused(kind: TokenizerKind) -> None:
    with pytest.raises(UserError, match="the corpus is empty"):
        train(request(kind), iter([""]))


def test_long_words_are_learnt_from_within_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a corpus without blanks only the beginning is learnt from; ordinary words all count."""
    monkeypatch.setattr(vocabulary, "_MOST_OF_LONG_WORDS", 500)
    wanted = request(TokenizerKind.UNCASED_WORD_PIECES)
    texts = ["early" * 100, "late" * 200, *["often"] * 3]
    learnt = train(wanted, iter(texts)).tokenizer.get_vocab()
    assert {"early", "\u2581often"} <= set(learnt)
    assert "late" not in learnt


def test_a_tokenizer_is_loaded_from_a_file_or_its_folder(tmp_path: Path) -> None:
    wanted = request(TokenizerKind.BYTE_PAIRS)
    trained = train(wanted, iter(TEXTS))
    trained.tokenizer.enable_truncation(3)
    trained.tokenizer.enable_padding(length=9)
    file = tmp_path / "tokenizer.json"
    trained.tokenizer.save(str(file))
    trained.tokenizer.no_truncation()
    trained.tokenizer.no_padding()
    for path in (file, tmp_path):
        assert load(path, wanted).encode(TEXTS)[0].tolist() == trained.encode(TEXTS)[0].tolist()


def test_unusable_tokenizers_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no tokenizer at"):
        load(tmp_path, request(TokenizerKind.BYTE_PAIRS))
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(UserError, match="is not a tokenizer"):
        load(file, request(TokenizerKind.BYTE_PAIRS))
    train(request(TokenizerKind.BYTE_PAIRS, specials=("<end>",)), iter(TEXTS)).tokenizer.save(str(file))
    with pytest.raises(UserError, match=r"lacks the special tokens \[MASK\] that"):
        load(file, request(TokenizerKind.BYTE_PAIRS, specials=("<end>", "[MASK]")))
