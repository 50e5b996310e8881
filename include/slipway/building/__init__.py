"""Making a candidate's index: what it is made of, an update or a build, in one piece or in shards."""
