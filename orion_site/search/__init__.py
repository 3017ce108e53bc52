"""The search over everything that has a name: a page without scripts, and the list of the command palette with them."""
