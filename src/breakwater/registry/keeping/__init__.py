"""What survives this process: every registration is on disk before it is acknowledged.

Registrations, ends, overrides and metadata go to the control database, many in one commit;
renewals do not, and never wait. After a restart everybody is there at once with a full lease,
under the mark of somebody of whom nothing was heard yet. While the disk takes nothing the registry
goes on from memory: a registration is still answered, but counted as not durable, the health check
says so, and all of it is written once the disk recovers. Discovery that stops as a disk is full
would be a worse fault than one that may forget.
"""
