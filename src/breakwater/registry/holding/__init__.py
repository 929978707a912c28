"""Who holds which lease: pure state that waits for nothing, and tells who listens what happens."""
