"""The HTTP server: an OpenAI-compatible API that answers by the votes of a run."""
