"""How one browser wants the pages: kept in its cookie, because there are no users yet, and applied by the server."""
