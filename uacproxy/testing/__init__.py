"""Shipped parts for tests: a stepping clock, a lossy loopback, a scripted peer."""
