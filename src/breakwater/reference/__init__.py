"""The reference fleet: a small streaming service that is real, to break and to diagnose.

Fourteen services in two zones, one process per instance, that speak HTTP to each other through the
SDK and nothing else: gateway, account, catalogue, personalization with features and ranker,
playback with manifest, licence, steering and session, CDN appliances with an origin, and the
players who watch. Every call that can have a sensible fallback has one; a licence has none.
Everything generated (titles, accounts, tastes, people) follows from one seed.

`fleet_plan` says which processes to start; starting and watching them is the caller's business.
What each service does, and how big it all is: docs/reference-fleet.md.
"""

from breakwater.reference.plan import fleet_plan

__all__ = ["fleet_plan"]
