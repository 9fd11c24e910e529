"""NAT, negative assistant training: a PEFT adapter whose integration unit weighs a positive LoRA against a negative one."""
