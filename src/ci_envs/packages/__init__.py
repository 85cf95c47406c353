"""Package files that are carried from one job to another, as they were downloaded, each proved by the lock.

    store.py        a folder of files that anybody may have written; each is compared with its SHA-256 before it is used
    wheels.py       what a wheel says of itself, read without unpacking it
    installing.py   the wheels of a lock from the store, without an index
    filling.py      the wheels of an environment that was just built, into the store
    restored.py     an environment from a cache, proved by the wheels in the store

The folder is the one that ``CI_ENVS_PACKAGES_DIR`` names; without it none of this happens.
"""
