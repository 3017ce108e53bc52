"""Pages that stay true: which of their parts changed goes over a socket, and the parts themselves are ordinary HTML.

`changes` notes what this process changed, `following` finds what others recorded, `hub` knows who shows it, `socket`
sends it, and `pages` and `tags` let a page answer with some of its parts.
"""
