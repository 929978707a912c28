"""What is asked of the metrics engine over HTTP, one module for each family of endpoints.

`http.routes` joins them. `queue` decides when a query runs, `parameters` reads what graph and
fetch are asked, `graph`, `fetch`, `tags` and `expr` answer. Nothing here is imported by the
engine; a query costs the same whoever asks.
"""
