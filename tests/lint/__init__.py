"""What ruff and mypy say."""
