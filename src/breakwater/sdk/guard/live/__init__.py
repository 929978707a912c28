"""Configuration that changes while the process runs: files, environment, the platform."""
