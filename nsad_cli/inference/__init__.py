"""Inference with a trained run: sampling, solving, voting on stored chains, and export."""
