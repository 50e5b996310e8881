"""Encoders that compute elsewhere: services with the OpenAI embeddings protocol."""

from slipway.encoders.service.encoder import ServiceEncoder

__all__ = ["ServiceEncoder"]
