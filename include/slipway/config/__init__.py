"""Collections and encoders as people write them. Light to import: no Arrow, torch, FAISS or boto3."""

from slipway.config.collection import Collection
from slipway.config.encoder import Encoder
from slipway.config.load import (
    collection_files,
    index_settings,
    load_collection,
    load_file,
    named_encoder,
    named_encoders,
)
from slipway.config.sources import AnySource, DeltaSource, IcebergSource, LakeSource, SqlSource

__all__ = [
    "AnySource",
    "Collection",
    "DeltaSource",
    "Encoder",
    "IcebergSource",
    "LakeSource",
    "SqlSource",
    "collection_files",
    "index_settings",
    "load_collection",
    "load_file",
    "named_encoder",
    "named_encoders",
]
