import numpy as np
import pytest

from retrieval_core.index import AsmkIndex, Codebook
from retrieval_core.index.word_use import word_use


def test_equal_use_is_even():
    use = word_use([3, 3, 3, 3])
    assert (use.used, use.entropy, use.evenness, use.effective_words) == (1.0, 2.0, 1.0, 4.0)


def test_unused_words_lower_the_evenness():
    use = word_use([0, 2, 0, 6])
    assert use.counts.tolist() == [6, 2, 0, 0]
    assert use.used == 0.5
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert use.entropy == pytest.approx(entropy)
    assert use.evenness == pytest.approx(entropy / 2)


@pytest.mark.parametrize(("counts", "evenness"), [([0, 0], 0.0), ([5], 1.0), ([5, 0], 0.0)])
def test_extremes(counts, evenness):
    use = word_use(counts)
    assert use.evenness == evenness
    assert use.entropy == 0


def test_an_index_counts_the_images_of_each_word(draw):
    codebook = Codebook.train(draw(200), 16)
    index = AsmkIndex.create(codebook)
    vectors, owners = draw(60), np.repeat(np.arange(6), 10)
    index.add([10, 11, 12], vectors[:30], owners[:30])
    index.add([20, 21, 22], vectors[30:], owners[30:] - 3)
    index.remove([11])
    words = codebook.assign(vectors)[:, 0]
    pairs = {(w, o) for w, o in zip(words.tolist(), owners.tolist(), strict=True) if o != 1}
    expected = np.bincount([word for word, _ in pairs], minlength=16)
    np.testing.assert_array_equal(index.images_per_word, expected)
