"""Segment lists: what the routers answer to and route by, lists that force a path, lists that repair one."""
