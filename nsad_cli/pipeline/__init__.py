"""The pipeline of stages, with its plan, memory estimate and forecast of duration."""
