"""ASMK word by word, as the paper has it."""

import numpy as np


def slow_words(codebook, descriptors, count):
    """Visual word -> summed residual."""
    sums = {}
    for descriptor in descriptors:
        distances = ((codebook.centroids - descriptor) ** 2).sum(axis=1)
        for word in np.argsort(distances)[:count]:
            sums.setdefault(int(word), np.zeros(len(descriptor), np.float32))
            sums[int(word)] += descriptor - codebook.centroids[word]
    return sums


def slow_similarity(first, second, binary):
    if binary:
        return 1 - 2 * np.mean((first > 0) != (second > 0))
    return float(first @ second / (np.linalg.norm(first) + 1e-6) / (np.linalg.norm(second) + 1e-6))


def slow_scores(codebook, images, query, *, binary, use_idf, multiple, alpha, threshold):
    words = [slow_words(codebook, image, 1) for image in images]
    asked = slow_words(codebook, query, multiple)
    holders = {w: sum(w in image for image in words) for w in range(codebook.size)}
    idf = {w: np.log(len(images) / n) ** 2 if use_idf and n else 1.0 for w, n in holders.items()}
    scores = []
    for image in words:
        total = 0.0
        for word in set(image) & set(asked):
            similarity = slow_similarity(asked[word], image[word], binary)
            if similarity >= threshold:
                total += idf[word] * np.sign(similarity) * abs(similarity) ** alpha
        norm = np.sqrt(sum(idf[w] for w in image) * sum(idf[w] for w in asked))
        scores.append(total / norm if norm else 0.0)
    return np.array(scores)
