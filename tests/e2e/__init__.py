"""End-to-end tests: through the installed script, over process and device boundaries."""
