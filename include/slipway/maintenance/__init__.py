"""What keeps a collection's store from growing for ever: collection of what nobody needs, and compaction of vectors."""
