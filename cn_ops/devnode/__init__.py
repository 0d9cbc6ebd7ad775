"""A small, real community node: an HTTP API, a writer and a seed, for drills without the real images."""
