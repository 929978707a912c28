"""Old datapoints as Parquet files, in a folder or an object store, read back as the last tier.

Chunks of a retention class are exported once they can no longer change, each as one file that is
there whole or not at all; queries that reach back beyond the last class read only the columns and
row groups that they need. Any tool that reads Parquet reads them too; the format is drawn in
docs/formats/archive.md. `objects` and `parquet` are the only modules that import the libraries of
the extra `archive`, and only when an archive is set up.
"""
