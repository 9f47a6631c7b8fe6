"""Reads from what the leader stored."""
