"""The loops over the bytes of payloads, compiled by numba.

They find where in a payload each datapoint's series is spelled and what its stamp and value are
(`json_text`, `decimal`, `protobuf`), hash the spelling and look the hash up (`hashing`), so that a
series that was seen before costs no Python object. Compiled code checks no bounds: every read is
behind a comparison with the size of the data. All release the GIL, and what was compiled is kept
on disk beside these files; numba does not notice a change in another file than the loop's own, so
whoever edits a helper removes `__pycache__` here. Imported only when it is needed.
"""
