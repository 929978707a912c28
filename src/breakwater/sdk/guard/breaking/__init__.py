"""The circuit breaker: when it opens, how it finds out that the callee is well, what it says."""
