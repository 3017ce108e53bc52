"""Live pages: a websocket reports which parts of a page have changed, and the page requests these parts as HTML.

`changes` collects what this process changed, `following` finds what other processes recorded, `hub` knows which pages
show it, `socket` sends it, and with `pages` and `tags` a page answers with some of its parts.
"""
