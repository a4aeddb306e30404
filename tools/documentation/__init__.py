"""What the documentation site is made with, and how its links are checked. `mkdocs.yml` names `hooks.py`."""
