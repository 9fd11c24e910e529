"""NAT, negative assistant training: a PEFT adapter whose unit weighs a positive LoRA against a negative one."""

import logging

# PEFT imports bitsandbytes where it is there, which warns of kernels that we do not call.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
