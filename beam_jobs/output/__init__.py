"""Shards, staging directory and report of a job."""
