"""The settings of the server: what each means, what it is and where that comes from; and the page that changes some."""
