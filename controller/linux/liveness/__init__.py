"""The liveness engine: `python -m controller.linux.liveness`, a program of its own beside the target.

It sends the probes of `path_probe`, takes those that come back, and moves the policies of `policy_backup` by itself,
whatever the target is busy with. It ends with the target, and leaves traffic where it is.
"""
