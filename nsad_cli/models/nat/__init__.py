"""NAT, negative assistant training: a PEFT adapter whose integration unit weighs a positive against a negative LoRA."""

import logging

# PEFT imports bitsandbytes if it is installed, which warns of kernels that are not used here.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
