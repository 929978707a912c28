"""The loops over the bytes of payloads, compiled by numba.

They find where in a payload each datapoint's series is spelled and what its stamp and value are
(`json_text`, `decimal`, `protobuf`), hash the spelling and look the hash up (`hashing`), so that a
series that was seen before costs no Python object. Compiled code checks no bounds: every read is
behind a comparison with the size of the data. Imported only when it is needed.
"""
