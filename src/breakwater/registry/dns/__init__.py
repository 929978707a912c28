"""The registry as a DNS zone, for whatever can only ask DNS: A, AAAA and SRV over UDP and TCP.

`<service>.breakwater` are the addresses of its instances that are UP, `_<service>._tcp.breakwater`
(or SRV of the former) their ports too, `<service>.<zone>.zone.breakwater` those of one zone only.
`zone` finds the records of a name in a view, in pure functions; `server` speaks the protocol.
"""
