"""The figures of the method pages, in the names of this code: `make figures`."""

from pathlib import Path

from diagram import Arrow, Box, Diagram, Lane

FOLDER = Path(__file__).parent.parent / "images"
MODELS = "retrieval_core.models"
INDEX = "retrieval_core.index"
LOSSES = "retrieval_core.losses"

HOW = Diagram(
    "method-how",
    "HOW: strengths and smoothed features are whitened; their weighted sum is trained, the "
    "strongest features of seven scales are indexed",
    [
        Box(0, 0.5, "images", "(B, 3, H, W)", "data"),
        Box(1, 0.5, note="feature map\n(B, C, H', W')", code=f"{MODELS}.backbones.build_backbone"),
        Box(2, 0, note="strength of a cell:\nits L2 norm", code=f"{MODELS}.attention.l2_attention"),
        Box(2, 1, note="3 x 3 average", code=f"{MODELS}.attention.smooth"),
        Box(3, 0.5, note="strengths and vectors",
            code=f"{MODELS}.how.HowNetwork.weighted_features"),
        Box(4, 0.5, note="C to 128, by PCA", code=f"{MODELS}.whitening.whitening_layer"),
        Box(5.2, -0.1, note="sum of strength x\nvector, L2 norm",
            code=f"{MODELS}.local.LocalNetwork.forward"),
        Box(6.2, -0.1, note="margin 0.8", kind="loss", code=f"{LOSSES}.ContrastiveLoss"),
        Box(5.2, 1.1, note="7 scales,\n1,000 strongest",
            code=f"{MODELS}.local.LocalNetwork.extract_local"),
        Box(6.2, 1.1, note="words, residuals,\nsign bits", code=f"{INDEX}.AsmkIndex"),
    ],
    [
        Arrow(0, 1), Arrow(1, 2), Arrow(1, 3), Arrow(2, 4), Arrow(3, 4), Arrow(4, 5),
        Arrow(5, 6), Arrow(6, 7), Arrow(5, 8), Arrow(8, 9),
    ],
    [Lane("training", (6, 7)), Lane("search", (8, 9))],
)  # fmt: skip

FIRE = Diagram(
    "method-fire",
    "FIRe: learned templates attend T times to the local features and become super-features",
    [
        Box(0, 0.9, "images", "(B, 3, H, W)", "data"),
        Box(1, 0.9, note="feature map\n(B, C, H', W')", code=f"{MODELS}.backbones.build_backbone"),
        Box(2.2, 0, "templates_init", "N learned queries", "data"),
        Box(2.2, 0.9, "project_k, project_v", "of normalised\nlocal features"),
        Box(3.2, 0.45, "attention", "soft-max over templates,\nL1 over locations"),
        Box(4.2, 0.45, "templates", "+ attention @ values\n+ mlp", "data"),
        Box(5.4, -0.1, note="whitened, unit norm;\nmaps and strengths",
            code=f"{MODELS}.fire.FireNetwork.super_features"),
        Box(6.4, -0.5, note="same template,\nreciprocal, ratio 0.9", kind="loss",
            code=f"{LOSSES}.SuperFeatureLoss"),
        Box(6.4, 0.3, "Decorrelation", "attention maps\ndo not overlap", "loss",
            code=f"{LOSSES}.AttentionDecorrelationLoss"),
        Box(5.4, 1.5, note="7 scales,\n1,000 strongest",
            code=f"{MODELS}.local.LocalNetwork.extract_local"),
        Box(6.4, 1.5, note="words, residuals,\nsign bits", code=f"{INDEX}.AsmkIndex"),
    ],
    [
        Arrow(0, 1), Arrow(1, 3), Arrow(2, 4), Arrow(3, 4), Arrow(4, 5),
        Arrow(5, 4, "T times", "bottom", "bottom"), Arrow(5, 6), Arrow(6, 7), Arrow(6, 8),
        Arrow(5, 9), Arrow(9, 10),
    ],
    [
        Lane("LocalFeatureIntegrationTransformer", (2, 3, 4, 5)),
        Lane("training", (6, 7, 8)),
        Lane("search", (9, 10)),
    ],
)  # fmt: skip

GEM = Diagram(
    "method-gem",
    "GeM: one vector per image by generalised-mean pooling, whitened, combined over scales",
    [
        Box(0, 0.5, "images", "(B, 3, H, W)", "data"),
        Box(1, 0.5, note="feature map\n(B, C, H', W')", code=f"{MODELS}.backbones.build_backbone"),
        Box(2, 0.5, note="gem, mac, spoc, rmac;\nL2 norm", code=f"{MODELS}.pooling.build_pooling"),
        Box(3, 0.5, note="linear, L2 norm", code=f"{MODELS}.whitening.whitening_layer"),
        Box(
            4.2,
            -0.1,
            note="margin 0.85;\nor a triplet loss",
            kind="loss",
            code=f"{LOSSES}.ContrastiveLoss",
        ),
        Box(4.2, 1.1, note="mean over scales,\nL2 norm", code=f"{MODELS}.scaling.combine_scales"),
        Box(5.2, 1.1, note="cosine similarity", code=f"{INDEX}.VectorIndex"),
    ],
    [Arrow(0, 1), Arrow(1, 2), Arrow(2, 3), Arrow(3, 4), Arrow(3, 5), Arrow(5, 6)],
    [Lane("training", (4,)), Lane("search", (5, 6))],
)

CGD = Diagram(
    "method-cgd",
    "CGD: branches pool one feature map, each is projected and normalised, and they are joined; "
    "the first one also feeds a classification in training",
    [
        Box(0, 0.75, "images", "(B, 3, H, W)", "data"),
        Box(1, 0.75, note="last down-sampling\nleft out",
            code=f"{MODELS}.backbones.build_backbone"),
        Box(2.1, 0, "first branch", "S, M or G:\n(B, C)"),
        Box(2.1, 1.5, "second branch", "S, M or G:\n(B, C)"),
        Box(3.1, 0, "projection", "linear, no bias:\n(B, D / 2)"),
        Box(3.1, 1.5, "projection", "linear, no bias:\n(B, D / 2)"),
        Box(4.2, 0.75, note="L2 norm each, joined,\nL2 norm: (B, D)",
            code=f"{MODELS}.cgd.CgdNetwork.branches"),
        Box(5.4, -0.3, "classification", "batch norm, linear,\nsoft-max", "loss"),
        Box(5.4, 0.6, "ranking", "batch-hard triplet,\nmargin 0.1", "loss"),
        Box(5.4, 1.7, note="cosine similarity", code=f"{INDEX}.VectorIndex"),
    ],
    [
        Arrow(0, 1), Arrow(1, 2), Arrow(1, 3), Arrow(2, 4), Arrow(3, 5), Arrow(4, 6), Arrow(5, 6),
        Arrow(4, 7), Arrow(6, 8), Arrow(6, 9),
    ],
    [Lane("training", (7, 8)), Lane("search", (9,))],
)  # fmt: skip

EMBEDDING = Diagram(
    "method-embedding",
    "An embedding network: one vector per image by pooling and a projection, L2-normalised",
    [
        Box(0, 0.5, "images", "(B, 3, H, W)", "data"),
        Box(1, 0.5, note="pad, stretch\nor refuse", code=f"{MODELS}.base.RetrievalModel.prepare"),
        Box(2, 0.5, note="feature map\n(B, C, H', W')", code=f"{MODELS}.backbones.build_backbone"),
        Box(3, 0.5, note="gem, mac, spoc, rmac,\nregional", code=f"{MODELS}.pooling.build_pooling"),
        Box(4, 0.5, note="linear, L2 norm:\n(B, D)",
            code=f"{MODELS}.embedding.EmbeddingNetwork.forward"),
        Box(5.2, -0.1, "a loss", "on labels or tuples", "loss"),
        Box(5.2, 1.1, note="mean over scales,\nL2 norm", code=f"{MODELS}.scaling.combine_scales"),
        Box(6.2, 1.1, note="cosine similarity", code=f"{INDEX}.VectorIndex"),
    ],
    [Arrow(0, 1), Arrow(1, 2), Arrow(2, 3), Arrow(3, 4), Arrow(4, 5), Arrow(4, 6), Arrow(6, 7)],
    [Lane("training", (5,)), Lane("search", (6, 7))],
)  # fmt: skip

ASMK = Diagram(
    "method-asmk",
    "ASMK: descriptors of an image are summed per visual word and compared word by word",
    [
        Box(0, 0, "database image", "local descriptors", "data"),
        Box(1, 0, note="1 nearest word", code=f"{INDEX}.Codebook.assign"),
        Box(2, 0, note="residuals summed\nper word", code=f"{INDEX}.aggregation.Residuals"),
        Box(3, 0, note="1 bit a dimension", code=f"{INDEX}.kernels.sum_signs"),
        Box(4, 0, note="a posting per image\nand word", code=f"{INDEX}.AsmkIndex.add"),
        Box(0, 1.35, "query image", "local descriptors", "data"),
        Box(1, 1.35, note="5 nearest words", code=f"{INDEX}.Codebook.assign"),
        Box(2, 1.35, note="residuals summed\nper word", code=f"{INDEX}.aggregation.Residuals"),
        Box(3, 1.35, note="1 bit a dimension", code=f"{INDEX}.kernels.sum_signs"),
        Box(4, 1.35, note="of common words:\n(1 - 2 Hamming / d)^3",
            code=f"{INDEX}.scoring.add_binary_scores"),
        Box(5, 1.35, note="x idf, / root of norms,\nbest first", code=f"{INDEX}.AsmkIndex.search"),
    ],
    [
        Arrow(0, 1), Arrow(1, 2), Arrow(2, 3), Arrow(3, 4), Arrow(5, 6), Arrow(6, 7),
        Arrow(7, 8), Arrow(8, 9), Arrow(9, 10), Arrow(4, 9, "posting lists", "bottom", "top"),
    ],
    [Lane("once per image", (0, 1, 2, 3, 4)), Lane("per query", (5, 6, 7, 8, 9, 10))],
)  # fmt: skip

PIPELINE = Diagram(
    "pipeline",
    "The stages of the pipeline, from the dataset to the report",
    [
        Box(0, 0.5, note="images and truth", code="tasks.prepare.prepare"),
        Box(1, 0.5, note="network, PCA", code="tasks.initialise.initialise"),
        Box(2, 0.5, note="mined tuples,\nresumable", code="tasks.train.train_network"),
        Box(3, 0.5, note="Ray workers,\nParquet shards", code="tasks.extract.extract"),
        Box(4, 0, note="k-means", code="tasks.codebook.build_codebook"),
        Box(4.5, 1, note="global descriptors", code="tasks.index.index_global"),
        Box(5, 0, note="ASMK inverted file", code="tasks.index.index_local"),
        Box(6, 0.5, note="by the protocol", code="tasks.evaluate.evaluate"),
        Box(7, 0.5, note="one HTML page", code="tasks.report.report"),
    ],
    [
        Arrow(0, 1), Arrow(1, 2), Arrow(2, 3), Arrow(3, 4), Arrow(3, 5), Arrow(4, 6),
        Arrow(6, 7), Arrow(5, 7), Arrow(7, 8),
    ],
)  # fmt: skip

DIAGRAMS = [HOW, FIRE, GEM, CGD, EMBEDDING, ASMK, PIPELINE]


if __name__ == "__main__":
    for diagram in DIAGRAMS:
        (FOLDER / f"{diagram.name}.svg").write_text(diagram.svg())
