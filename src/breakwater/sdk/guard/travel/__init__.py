"""The roads of a call: one generator that knows everything, its two drivers, the fast roads."""
