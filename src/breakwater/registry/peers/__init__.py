"""Registries that tell each other: replication in batches, and reconciliation after a silence.

Whatever instances and operators do here is passed on to every peer within half a second, as a
Eureka server does it, so that one can be a peer. What such messages miss (a cut link, a restart, a
full queue) is found by comparing digests, at every reconnection and each quarter of a minute: the
newer version of an instance wins by the instance's own clock, ends on purpose beat the version
they ended, and the latest renewal heard by anybody counts. `Peering` is all of it; what is
promised and what is not stands in docs/decisions/0016.
"""
