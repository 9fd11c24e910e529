"""Generation: one Sampler, several engines."""
