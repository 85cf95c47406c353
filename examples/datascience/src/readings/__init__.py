"""Summaries of sensor readings over HTTP."""
