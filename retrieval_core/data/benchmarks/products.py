"""Stanford Online Products (arXiv 1511.06452): photographs of goods for sale."""

from retrieval_core.data.benchmarks.labelled import LabelledImage, labelled_catalogue, read_lines
from retrieval_core.data.benchmarks.places import Places
from retrieval_core.data.catalogue import Catalogue, Split


def read_products(name: str, places: Places) -> Catalogue:
    """Half of the products to learn from, the others to search among.

    Args:
        name: of the benchmark.
        places: where the files are.

    Raises:
        MissingListError: a list is not there.
        DatasetError: a list is damaged, or a product is in both.
    """
    lists: dict[str, Split] = {"Ebay_train.txt": "train", "Ebay_test.txt": "test"}
    images = []
    for listed, split in lists.items():
        path = places.listed(listed)
        for _, product, _, image in read_lines(path, 4, skip=1):
            images.append(LabelledImage(path.parent / image, f"product-{product}", split))
    return labelled_catalogue(name, images)
