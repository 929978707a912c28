"""What is on disk: the write-ahead log, snapshots, and the way back from both."""
