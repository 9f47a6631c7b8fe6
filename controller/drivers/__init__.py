"""Southbound: read, apply and watch devices, each behind one `Device` contract."""
