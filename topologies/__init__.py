"""Networks of real places, and the lab that builds any of them from namespaces."""
