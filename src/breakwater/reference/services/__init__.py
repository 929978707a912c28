"""The services themselves: one module each, HTTP routes over the domain beside this folder."""
