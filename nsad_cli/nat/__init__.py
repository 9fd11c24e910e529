"""NAT, negative assistant training: a PEFT adapter whose unit weighs a positive LoRA against a negative one."""
