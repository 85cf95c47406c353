"""What our actions run, step by step; each step is one verb of ``ci-envs``, or what comes before and after it.

    python -m ci_envs.action prepare    reads every input, so that a wrong one is said before anything is done
    python -m ci_envs.action run        ``ci-envs run`` for one environment or one leg
    python -m ci_envs.action plan       ``ci-envs plan`` for a workflow
    python -m ci_envs.action shard      ``ci-envs plan --from`` for one shard of it
    python -m ci_envs.action collect    the files of one leg for its artifact
    python -m ci_envs.action report     ``ci-envs report`` for the legs of a plan

What a verb leaves for the job that it is a step of (outputs, annotations, a summary) is in ``leaving.py``, of a plan in
``planning.py``, of a report in ``reporting.py``.
"""
