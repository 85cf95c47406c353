"""conda without conda: what the patterns ``conda``, ``mamba`` and ``micromamba`` are made of.

py-rattler and conda-lock are the extra ``ci-envs[conda]``; they are imported where they are used, and nowhere else.
"""
