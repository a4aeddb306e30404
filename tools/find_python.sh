#!/bin/sh
# Print a Python that TensorFlow 2.15 works with, or say that there is none.
for candidate in "${PYTHON:-}" python3.11 python3.10 python3.9 python3 python; do
  [ -n "$candidate" ] || continue
  if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null
  then
    command -v "$candidate"
    exit 0
  fi
done
echo "No Python 3.9, 3.10 or 3.11 with venv was found, and TensorFlow 2.15 has no other." >&2
echo "Install one (Debian, Ubuntu: python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python3.11 ..." >&2
exit 1
