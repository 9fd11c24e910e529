"""Models: the student and its tokenizer, packed batches, the vocabulary head, and the LoRA and NAT adapters."""
