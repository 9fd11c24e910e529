"""Data sources of the dashboard: they follow event logs, manifests and stores while other processes write them."""
