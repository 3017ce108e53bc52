"""The rules, one theme per file. `policies` defines their order; their docstrings make the rules reference."""
