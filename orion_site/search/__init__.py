"""The search for everything that has a name: a page that works without scripts, and the list of the command palette."""
