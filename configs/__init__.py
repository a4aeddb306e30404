"""The shipped experiments. A folder of YAML files; it is a package only so that it is installed with the rest."""
