"""How a raw row becomes a document, or is turned away with a reason."""
