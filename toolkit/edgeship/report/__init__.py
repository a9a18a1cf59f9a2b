"""The report of a build as JSON, Markdown and HTML."""
