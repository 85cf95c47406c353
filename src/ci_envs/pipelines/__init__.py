"""A plan as other CI systems read it. Pure: a plan in, a text out.

GitHub's own form, which workflows read, is made in ``ci_envs.planning``; each module here is one other form.
"""
