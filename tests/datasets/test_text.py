import numpy as np

from pipeline.datasets import store, text

TEXTS = ["The cat's cat <br />sat.", "the dog; THE dog sat", "a zebra and a yak"]


def test_the_vocabulary_is_the_most_frequent_words_in_lower_case() -> None:
    vocabulary = text.train_tokenizer(TEXTS, 5).get_vocab()
    assert sorted(vocabulary, key=vocabulary.__getitem__) == ["<pad>", "<unk>", "the", "a", "cat", "dog", "sat"]


def test_unknown_words_share_one_number() -> None:
    by = text.train_tokenizer(TEXTS, 5)
    encoded = text.tokenize(by, ["THE yak sat.", "", "dog"])
    assert encoded["tokens"].tolist() == [2, 1, 6, 1, 1, 5]  # an empty text becomes one unknown word
    assert encoded["offsets"].tolist() == [0, 4, 5, 6]
    assert encoded["tokens"].dtype == np.uint16


def test_texts_are_padded_to_rows() -> None:
    tokens, offsets = np.array([5, 6, 7, 8, 9], np.uint16), np.array([0, 3, 4, 5])
    assert store.padded(tokens, offsets, 10).tolist() == [[5, 6, 7], [8, 0, 0], [9, 0, 0]]
    assert store.padded(tokens, offsets, 2).tolist() == [[5, 6], [8, 0], [9, 0]]
    assert store.padded(tokens, offsets[:2], 10).tolist() == [[5, 6, 7]]


def test_the_vocabulary_does_not_depend_on_the_order_of_texts() -> None:
    assert text.train_tokenizer(TEXTS, 5).to_str() == text.train_tokenizer(TEXTS[::-1], 5).to_str()
