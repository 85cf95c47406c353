"""Walks a workflow job by job on this machine, as GitHub and its runner do: no service, no network of its own.

    with Node() as node:
        server = Server(node, folder, {"org/repro-envs": ours, "stranger/project": theirs})
        walk = server.start("stranger/project", ".github/workflows/envs.yml", push(theirs))
        assert walk.result == "success", walk.trouble

Files are read by GitHub's own parser and expressions evaluated by GitHub's own package (``tests/support/node``).
Scripts run under bash with real command files. Only what is in :mod:`stand_ins` is stood in for; whatever else a
workflow uses and this does not know raises :class:`NotKnownError`, so that nothing is passed over in silence.

==================  ==================================================================================
``node``            the official packages: parse, evaluate
``templates``       a parsed file with its expressions, and what becomes of it in a context
``workflow_file``   which keys of a workflow are known; inputs and their types; permissions
``matrix``          strategy.matrix -> the jobs it makes
``repositories``    what is on the server: git repositories by their names
``events``          push, pull_request, workflow_dispatch, ... with their payloads
``command_files``   GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH
``log_commands``    ``::error file=a::text`` and the other commands in a log; annotations; masks
``matchers``        problem matchers
``artifacts``       what upload-artifact and download-artifact do
``caches``          what cache/restore and cache/save do
``stand_ins``       the actions that are not run but done
``processes``       one step's script under bash
``steps``           the steps of a job or of a composite action
``jobs``            one job
``walking``         jobs in their order, matrices, called workflows, runs that are tried again
==================  ==================================================================================

Sources: actions/runner (ActionCommand.cs, ActionCommandManager.cs, FileCommandManager.cs, StepsRunner.cs,
CompositeActionHandler.cs, ScriptHandler.cs, JobExtension.cs, IssueMatcher.cs), actions/upload-artifact,
actions/download-artifact and actions/cache, and docs.github.com: "Workflow syntax", "Contexts reference", "Evaluate
expressions", "Reuse workflows", "Variables reference".
"""
