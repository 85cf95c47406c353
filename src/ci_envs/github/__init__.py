"""The only package that knows GitHub Actions: its variables, events, inputs, outputs, summaries and workflow commands.

Sources: "Workflow commands for GitHub Actions", "Variables reference", "Events that trigger workflows"
(docs.github.com), and for what the runner takes for a command, actions/runner, src/Runner.Common/ActionCommand.cs.
Nothing here prints: a workflow command is returned as text, and ``console.py`` writes it.
"""
