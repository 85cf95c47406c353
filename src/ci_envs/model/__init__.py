"""Frozen values and nothing else: no I/O, no process, no import of the rest of the package.

The JSON schemas that ``ci-envs schema`` prints are made from these types.
"""
