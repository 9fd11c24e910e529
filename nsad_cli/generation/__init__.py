"""Generation of chains: the Sampler protocol and its engines."""
