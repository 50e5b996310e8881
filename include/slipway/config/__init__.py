"""Collections and encoders as people write them. Light to import: no Arrow, torch, FAISS or boto3."""

from slipway.config.collection import Collection, LakeSource, SqlSource
from slipway.config.encoder import Encoder
from slipway.config.load import collection_files, load_collection, load_file

__all__ = ["Collection", "Encoder", "LakeSource", "SqlSource", "collection_files", "load_collection", "load_file"]
